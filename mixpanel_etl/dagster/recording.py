"""What every asset does around its work: failures that say what to do, partitions recorded as they are published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster import DagsterError

from mixpanel_etl.errors import EXPECTED_ERRORS, MixpanelEtlError, describe

Metadata = dict[str, Any]
#: What `execute` of a component yields.
Results = Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult | dg.AssetCheckEvaluation]


class UnexpectedError(MixpanelEtlError):
    """An error of another library. Its traceback is kept; its message is not, which may quote a person's data."""


@contextmanager
def withheld_messages() -> Iterator[None]:
    """Lets expected errors pass, and keeps the messages of others out of Dagster's storage, where no erasure reaches.

    An Arrow cast or a failed validation quotes the value that it rejects.
    """
    try:
        yield
        return
    except (dg.Failure, dg.RetryRequested, DagsterError):
        raise
    except EXPECTED_ERRORS as error:
        raise error from None
    except Exception as error:  # noqa: BLE001 - of any library
        kind, where = type(error), error.__traceback__
    # Out here: an error that is chained would be stored with its message.
    raise UnexpectedError(
        f"{kind.__module__}.{kind.__qualname__}; the message is withheld, because it may quote personal data"
    ).with_traceback(where) from None


@contextmanager
def as_failure() -> Iterator[None]:
    """Turns this package's errors into a `dg.Failure` that shows their advice and is not retried.

    An `OSError` passes as it is: the network or the disk may be back when a retry policy tries again.
    """
    try:
        with withheld_messages():
            yield
        return
    except MixpanelEtlError as error:
        if isinstance(error, UnexpectedError):
            raise
        description, where = describe(error), error.__traceback__
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
        with as_failure():
            yield done
    except BaseException:
        # Not only exceptions: a run that is terminated keeps what it published, too.
        for partition, metadata in done.items():
            context.log_event(dg.AssetMaterialization(key, partition=partition, metadata=metadata))
        raise
    for partition, metadata in done.items():
        context.add_asset_metadata(metadata, asset_key=key, partition_key=partition)
