"""What every asset does around its work: failures that say what to do, partitions recorded as they are published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster import DagsterError

from mixpanel_etl.client import MixpanelError
from mixpanel_etl.gdpr.errors import GdprError
from mixpanel_etl.lake import LakeError
from mixpanel_etl.lexicon import LexiconError
from mixpanel_etl.push.errors import PushError
from mixpanel_etl.settings import SettingsError
from mixpanel_etl.warehouse import WarehouseError

Metadata = dict[str, Any]


_OURS = (MixpanelError, GdprError, LakeError, LexiconError, SettingsError, WarehouseError, PushError)


class UnexpectedError(Exception):
    """An error of another library. Its traceback is kept; its message is not, which may quote a person's data."""


@contextmanager
def quoting_nobody() -> Iterator[None]:
    """Lets our own errors pass, and keeps the messages of others from Dagster's storage, where no erasure finds them.

    An Arrow cast or a failed validation quotes the value at fault.
    """
    try:
        yield
        return
    except (dg.Failure, dg.RetryRequested, DagsterError, OSError):
        raise
    except _OURS as error:
        raise error from None
    except Exception as error:  # noqa: BLE001 - whatever a library raises
        kind, where = type(error), error.__traceback__
    # Out here: an error that is chained would be stored with its message.
    raise UnexpectedError(
        f"{kind.__module__}.{kind.__qualname__}; the message is withheld, because it may quote personal data"
    ).with_traceback(where) from None


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turns our own errors into a `dg.Failure` that shows their advice and is not tried again without a change."""
    try:
        with quoting_nobody():
            yield
        return
    except _OURS as error:
        description, where = f"{type(error).__name__}: {error}", error.__traceback__
    raise dg.Failure(description, allow_retries=False).with_traceback(where) from None


@contextmanager
def recorded(context: dg.AssetExecutionContext, key: dg.AssetKey) -> Iterator[dict[str, Metadata]]:
    """Record each published partition as one materialization with its own metadata, also when the run fails later.

    Put the metadata of a partition into the dictionary when the partition is published, and end the asset with
    `return dg.MaterializeResult()`: that is the one materialization of each partition when all goes well.

    Args:
        context: of a run over one partition or a range of them.
        key: of the asset.
    """
    done: dict[str, Metadata] = {}
    try:
        with told_plainly():
            yield done
    except BaseException:
        # Not only exceptions: a run that is terminated keeps what it published, too.
        for partition, metadata in done.items():
            context.log_event(dg.AssetMaterialization(key, partition=partition, metadata=metadata))
        raise
    for partition, metadata in done.items():
        context.add_asset_metadata(metadata, asset_key=key, partition_key=partition)
