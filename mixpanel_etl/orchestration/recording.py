"""What every asset does around its work: failures that say what to do, partitions recorded as they are published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from mixpanel_etl.client import MixpanelError
from mixpanel_etl.gdpr.errors import GdprError
from mixpanel_etl.lake import LakeError
from mixpanel_etl.lexicon import LexiconError
from mixpanel_etl.push.errors import PushError
from mixpanel_etl.settings import SettingsError
from mixpanel_etl.warehouse import WarehouseError

Metadata = dict[str, Any]


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turns our own errors into a `dg.Failure` that shows their advice and is not tried again without a change."""
    try:
        yield
    except (MixpanelError, GdprError, LakeError, LexiconError, SettingsError, WarehouseError, PushError) as error:
        raise dg.Failure(description=f"{type(error).__name__}: {error}", allow_retries=False) from error


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
