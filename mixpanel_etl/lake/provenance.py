"""Where the rows of a file came from, kept in the file itself: there is no second ledger to disagree with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import Any

import pyarrow.parquet as pq

from mixpanel_etl.lake.errors import ForeignFile

#: Of the record in the metadata of a file.
METADATA_KEY = "mixpanel_etl"
#: What only this package, its configuration and Mixpanel itself write into a record: no property, id or expression.
OWN_KEYS = {
    *("requested_at", "run_id", "project_id", "version", "kind", "listing", "reply", "from_date", "to_date", "zone"),
    *("duplicates", "suppressed", "erased", "first_time", "last_time", "newest_processing_time"),
    *("session", "begun", "last"),
}


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Which request and run wrote a file.

    Attributes:
        requested_at: when the request was made (aware). Of two publications of a file the later request wins.
        run_id: the run that wrote it; a retry of that run can skip the file.
        project_id: of Mixpanel, where known. A file of another project is not overwritten.
        request: what was asked for, as JSON can hold it.
        version: of this package.
    """

    requested_at: datetime
    run_id: str = ""
    project_id: int | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    version: str = field(default_factory=lambda: version("mixpanel_etl"))

    def plain(self) -> dict[str, Any]:
        """As JSON holds it: times in ISO form, what was asked for beside the rest."""
        known = {key: value for key, value in asdict(self).items() if key != "request"}
        return {**known, "requested_at": self.requested_at.isoformat(), **self.request}


def write_record(writer: pq.ParquetWriter, record: Mapping[str, Any]) -> None:
    """Put a record into the metadata of a file that is being written."""
    writer.add_key_value_metadata({METADATA_KEY: json.dumps(record, ensure_ascii=False, default=str)})


def read_record(footer: pq.FileMetaData) -> dict[str, Any]:
    """The record of a file; empty for one that this package did not write."""
    record: dict[str, Any] = json.loads((footer.metadata or {}).get(METADATA_KEY.encode(), b"{}"))
    return record


def is_newer(uri: str, there: Mapping[str, Any], provenance: Provenance) -> bool:
    """Whether the file that is there was asked for later than what is about to replace it.

    Args:
        uri: of the file that is there.
        there: its `Provenance.plain()`.
        provenance: of what would replace it.

    Raises:
        ForeignFile: another project's file is there.
    """
    if there.get("project_id") and provenance.project_id and there["project_id"] != provenance.project_id:
        raise ForeignFile(uri, f"project {there['project_id']}, not {provenance.project_id}")
    return bool(there) and datetime.fromisoformat(there["requested_at"]) > provenance.requested_at
