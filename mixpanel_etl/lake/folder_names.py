"""Names that become folders of the lake."""

from __future__ import annotations

import re

from mixpanel_etl.lake.errors import ConfigurationError

#: One folder: not hidden, no partition, and nothing that leads elsewhere on a disk or in a bucket.
_FOLDER = re.compile(r"[^/\\=._\x00-\x1f\x7f][^/\\=\x00-\x1f\x7f]*")


def check_folder(name: str, field: str = "table") -> None:
    """Make sure that a table stays in the lake.

    Args:
        name: folder of a table, for example `events` or `reports/signups`.
        field: the setting that has it, for the error.

    Raises:
        ConfigurationError: an absolute path, a part that is empty or leads elsewhere, or one that readers skip.
    """
    if not all(_FOLDER.fullmatch(part) for part in name.split("/")):
        raise ConfigurationError(
            f"{field} {name!r} must be a folder of the lake, such as events or reports/signups: its parts are "
            "separated by one `/`, don't begin with `.` or `_`, and have no `=`, backslash or control character"
        )
