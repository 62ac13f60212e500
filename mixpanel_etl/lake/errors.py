"""What can go wrong between the bytes of an export and the files of the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from mixpanel_etl.errors import MixpanelEtlError, describe, listed

#: Number of days or partitions that a message lists.


class LakeError(MixpanelEtlError):
    """Base of everything that this package raises."""


class ConfigurationError(LakeError, ValueError):
    """A setting of the lake is wrong; raised before anything is read or written."""


class ColumnTaken(ConfigurationError):
    """A column would hold another property than in the files that the table has.

    Attributes:
        table: path or URI of the table.
        column: name of the column.
        before: property that fills the column.
        now: property that would fill it.
    """

    def __init__(self, table: str, column: str, before: str, now: str) -> None:
        self.table, self.column, self.before, self.now = table, column, before, now
        super().__init__(
            f"column {column!r} of {table} holds property {before!r} and cannot hold {now!r} from now on; give "
            f"the column of {now!r} another `name`"
        )


class ExportError(LakeError):
    """The response as a whole cannot be trusted: nothing of it was published."""


class TerminatedEarly(ExportError):
    """The response ended before its last event, though HTTP said 200. Fewer days at once may help.

    Source: mixpanel-api.md#export-truncation.
    """


class MalformedLine(ExportError):
    """A line is not an event: it is not JSON, or its day is unknown. Another request will not help.

    Attributes:
        line: number of the line within the response, from 1; empty lines do not count.
        reason: what is wrong with the line.
        excerpt: beginning of the line, with its values hidden.
    """

    def __init__(self, line: int, reason: str, excerpt: str) -> None:
        self.line, self.reason, self.excerpt = line, reason, excerpt
        super().__init__(f"line {line} of the export {reason}: {excerpt}")


class DaysMixed(ExportError):
    """Lines are malformed, and their days are unknown. A request for fewer days helps."""


class OutsideWindow(ExportError):
    """Events lie outside the requested days: the time-zone setting does not match the project."""


class DaysMalformed(LakeError):
    """Days that were not replaced, because malformed lines of the export may belong to them.

    Attributes:
        days: by day, what is wrong with each of its lines.
    """

    def __init__(self, days: Mapping[date, Sequence[str]]) -> None:
        self.days = days
        described = [
            f"{day}: {reasons[0]}" + (f" (and {len(reasons) - 1:,} more lines)" if len(reasons) > 1 else "")
            for day, reasons in sorted(days.items())
        ]
        super().__init__(
            f"{len(days)} day(s) were left as they are, because lines of the export are malformed. "
            f"{listed(described)}. Report it to Mixpanel; to publish the other events of these days and keep such "
            "lines beside them, run again with set_aside_malformed=true"
        )


class DaysHeldBack(LakeError):
    """Days that were not replaced, because the new export holds fewer events than the file in the lake.

    Attributes:
        days: the days with the rows (in the lake, in the export).
        explained: rows of each day that Mixpanel may have dropped without a loss: copies, and suppressed persons.
        allowed: further rows of each day that `shrink_tolerance` lets go.
    """

    def __init__(
        self,
        days: Mapping[date, tuple[int, int]],
        explained: Mapping[date, int] | None = None,
        allowed: Mapping[date, int] | None = None,
    ) -> None:
        self.days, self.explained, self.allowed = dict(days), dict(explained or {}), dict(allowed or {})
        described = [self._described(day) for day in sorted(days)]
        super().__init__(
            f"{len(days)} day(s) would shrink and were left as they are: {listed(described)}. Mixpanel's retention, "
            "a deletion or a changed filter explains it; to replace them anyway, run again with allow_shrink=true"
        )

    @classmethod
    def joined(cls, errors: Sequence[DaysHeldBack]) -> DaysHeldBack:
        """The days of several."""
        return cls(
            {day: rows for error in errors for day, rows in error.days.items()},
            {day: rows for error in errors for day, rows in error.explained.items()},
            {day: rows for error in errors for day, rows in error.allowed.items()},
        )

    def _described(self, day: date) -> str:
        old, new = self.days[day]
        explained, allowed = self.explained.get(day, 0), self.allowed.get(day, 0)
        return f"{day} ({old:,} rows -> {new:,}; {explained:,} explained by copies and erasures, {allowed:,} tolerated)"


class DaysMissing(LakeError):
    """Days of a pull were not published, for several reasons; all others were.

    Attributes:
        days: by day, why.
    """

    def __init__(
        self, held: Sequence[DaysHeldBack], malformed: Sequence[DaysMalformed], failed: Mapping[date, Exception]
    ) -> None:
        reasons = {str(error): sorted(error.days) for error in held}
        reasons |= {str(error): sorted(error.days) for error in malformed}
        for day, error in sorted(failed.items()):
            reasons.setdefault(describe(error), []).append(day)
        self.days = {day: reason for reason, days in reasons.items() for day in days}
        lines = "\n".join(f"- {listed(days)}: {reason}" for reason, days in reasons.items())
        super().__init__(f"{len(self.days)} day(s) were not published; the others were.\n{lines}")


class DayShrinks(LakeError):
    """One day of `DaysHeldBack`."""

    def __init__(self, day: date, rows: tuple[int, int], explained: int = 0, allowed: int = 0) -> None:
        self.day, self.rows, self.explained, self.allowed = day, rows, explained, allowed
        super().__init__(day, rows)


class PartitionsHeldBack(LakeError):
    """Partitions that were not replaced, because what Mixpanel says now is less than half of what the lake has.

    Attributes:
        partitions: what the partitions hold (in the lake, in the reply), by key.
        unit: what is counted.
    """

    def __init__(self, partitions: Mapping[str, tuple[float, float]], unit: str = "rows") -> None:
        self.partitions, self.unit = dict(partitions), unit
        described = [f"{key} ({old:,.10g} {unit} -> {new:,.10g})" for key, (old, new) in sorted(partitions.items())]
        super().__init__(
            f"{len(partitions)} partition(s) would shrink by more than half and were left as they are: "
            f"{listed(described)}. "
            "A renamed event, a changed filter, a deletion or Mixpanel's retention explains it; to replace them "
            "anyway, run again with allow_shrink: true"
        )


def shrinks(old: float, new: float) -> bool:
    """Whether something that was there is gone, or less than half of it is left.

    Args:
        old: number of rows (or a sum) before.
        new: the same afterwards.
    """
    return old > 0 and new < old / 2


class ForeignFile(LakeError):
    """The file in the lake came from another project: two exports write to one table.

    Attributes:
        uri: path or URI of the file.
    """

    def __init__(self, uri: str, difference: str) -> None:
        self.uri = uri
        super().__init__(
            f"{uri} was written by another export ({difference}). "
            "Give each export a `table` of its own, or move the old files away"
        )


class UnreadableFile(LakeError):
    """A file of the lake is not a complete Parquet file: this package did not publish it, or it was damaged since.

    Attributes:
        uri: path or URI of the file.
    """

    def __init__(self, uri: str, reason: str) -> None:
        self.uri = uri
        super().__init__(f"{uri} is not a Parquet file ({reason}). Move it away and ask for its day again")


class WriteConflict(LakeError):
    """A file was not written or removed, because another process changed it since it was read.

    Attributes:
        uri: path or URI of the file.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        super().__init__(f"{uri} was changed by another process meanwhile. Run again")


class ConditionsIgnored(LakeError):
    """A bucket takes writes whose condition is not met.

    Attributes:
        uri: URI of the lake.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        super().__init__(
            f"{uri} ignores the conditions of writes (If-None-Match and If-Match, also of uploads in parts). Two "
            "processes can undo each other's days and data subject requests there, and send a push twice. Use a bucket "
            "that honours them, as Amazon S3 does, or let one process at a time work on this lake"
        )


class LockTimeout(LakeError, OSError):
    """A lock of the lake is held for longer than any work with it takes.

    Attributes:
        path: path of the locked file or folder.
        holder: processes that hold the lock.
        seconds: time that this process waited.
    """

    def __init__(self, path: str, holder: str, seconds: float) -> None:
        self.path, self.holder, self.seconds = path, holder, seconds
        super().__init__(
            f"{path} has been locked by {holder} for more than {seconds:.0f} s. See whether that process was stopped "
            "(state T in `ps`), and continue or end it: the lock ends with the process"
        )


class LeaseHeld(LakeError):
    """Another process is doing the same work now."""


class LeaseLost(LakeError):
    """This process could not renew a lease in time, so that another one may be doing the same work."""


class DamagedSalt(LakeError):
    """The salt of a lake is not the one that its hashes were made with.

    Attributes:
        uri: path or URI of the salt.
    """

    def __init__(self, uri: str, reason: str) -> None:
        self.uri = uri
        super().__init__(
            f"{uri} {reason}. Without it no suppressed person can be recognized. Restore it from a backup; a new one "
            "would let their events return"
        )


class Unerasable(LakeError):
    """A file, or a part of it, in which ids cannot be looked for or from which they cannot be removed."""
