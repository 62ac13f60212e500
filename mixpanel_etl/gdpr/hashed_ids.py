"""Ids of persons as hashes, for what outlives an erasure: certificates, ledgers, the list of suppressed persons."""

from __future__ import annotations

from mixpanel_etl.lake.storage import storage
from mixpanel_etl.lake.suppression import hasher


def hashed(lake: str, distinct_id: str) -> str:
    """The hash of an id, salted with a secret of the lake: 32 hexadecimal digits, the same for all times.

    Args:
        lake: path, `file://` or `s3://` URI.
        distinct_id: any text.
    """
    return hasher(storage(lake))(distinct_id)
