"""What can go wrong between the bytes of an export and the files of the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from mixpanel_etl.errors import MixpanelEtlError


class LakeError(MixpanelEtlError):
    """Base of everything that this package raises."""


class ConfigurationError(LakeError, ValueError):
    """A setting of the lake is wrong; raised before anything is read or written."""


class ColumnTaken(ConfigurationError):
    """A column would hold another property than in the files that the table has."""

    def __init__(self, table: str, column: str, before: str, now: str) -> None:
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
    """A line is no event: not JSON, or it cannot be placed on a day. Asking again will not help.

    Attributes:
        line: number of the line within the response, from 1; empty lines do not count.
    """

    def __init__(self, line: int, reason: str, excerpt: str) -> None:
        self.line = line
        super().__init__(f"line {line} of the export {reason}: {excerpt}")


class DaysMixed(ExportError):
    """Lines are no events, and it cannot be told to which days they belong. Fewer days at once help."""


class OutsideWindow(ExportError):
    """Events lie on days that were not asked for: the time-zone setting does not match the project."""


class DaysMalformed(LakeError):
    """Days that were not replaced, because lines of the export that may belong to them are no events.

    Attributes:
        days: by day, what is wrong with each of its lines.
    """

    def __init__(self, days: Mapping[date, Sequence[str]]) -> None:
        self.days = days
        listed = "; ".join(
            f"{day}: {reasons[0]}" + (f" (and {len(reasons) - 1:,} more lines)" if len(reasons) > 1 else "")
            for day, reasons in sorted(days.items())[:10]
        )
        more = f"; and {len(days) - 10} more days" if len(days) > 10 else ""
        super().__init__(
            f"{len(days)} day(s) were left as they are, because lines of the export are no events. {listed}{more}. "
            "Report it to Mixpanel; to publish the other events of these days and keep such lines beside them, run "
            "again with set_aside_malformed=true"
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
        listed = ", ".join(map(self._described, sorted(days)[:10]))
        more = f" and {len(days) - 10} more" if len(days) > 10 else ""
        super().__init__(
            f"{len(days)} day(s) would shrink and were left as they are: {listed}{more}. Mixpanel's retention, a "
            "deletion or a changed filter explains it; to replace them all the same, run again with allow_shrink=true"
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
            reasons.setdefault(f"{type(error).__name__}: {error}", []).append(day)
        self.days = {day: reason for reason, days in reasons.items() for day in days}
        listed = "\n".join(
            f"- {', '.join(map(str, days[:10]))}{' ...' if len(days) > 10 else ''}: {reason}"
            for reason, days in reasons.items()
        )
        super().__init__(f"{len(self.days)} day(s) were not published; the others were.\n{listed}")


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
        shown = sorted(partitions.items())[:10]
        listed = ", ".join(f"{key} ({old:,.10g} {unit} -> {new:,.10g})" for key, (old, new) in shown)
        more = f" and {len(partitions) - 10} more" if len(partitions) > 10 else ""
        super().__init__(
            f"{len(partitions)} partition(s) would shrink by more than half and were left as they are: {listed}{more}. "
            "A renamed event, a changed filter, a deletion or Mixpanel's retention explains it; to replace them all "
            "the same, run again with allow_shrink: true"
        )


def shrinks(old: float, new: float) -> bool:
    """Whether something that was there is gone, or less than half of it is left.

    Args:
        old: number of rows (or a sum) before.
        new: the same afterwards.
    """
    return old > 0 and new < old / 2


class ForeignFile(LakeError):
    """The file in the lake came from another project: two exports write to one table."""

    def __init__(self, uri: str, difference: str) -> None:
        super().__init__(
            f"{uri} was written by another export ({difference}). "
            "Give each export a `table` of its own, or move the old files away"
        )


class UnreadableFile(LakeError):
    """A file of the lake is not a whole Parquet file: it was not published by this package, or damaged since."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(f"{uri} is no Parquet file ({reason}). Move it away and ask for its day again")


class WriteConflict(LakeError):
    """A file was not written or removed, because another process changed it since it was read."""

    def __init__(self, uri: str) -> None:
        super().__init__(f"{uri} was changed by another process meanwhile. Run again")


class ConditionsIgnored(LakeError):
    """A bucket takes writes whose condition is not met."""

    def __init__(self, uri: str) -> None:
        super().__init__(
            f"{uri} ignores the conditions of writes (If-None-Match and If-Match, also of uploads in parts). Two "
            "processes can undo each other's days and data subject requests there, and send a push twice. Use a bucket "
            "that honours them, as Amazon S3 does, or let one process at a time work on this lake"
        )


class LockTimeout(LakeError, OSError):
    """A lock of the lake is held for longer than any work with it takes."""

    def __init__(self, path: str, holder: str, seconds: float) -> None:
        super().__init__(
            f"{path} has been locked by {holder} for more than {seconds:.0f} s. See whether that process was stopped "
            "(state T in `ps`), and continue or end it: the lock ends with the process"
        )


class LeaseHeld(LakeError):
    """Another process does the same work at this moment."""


class LeaseLost(LakeError):
    """This process could not renew a lease in time, so that another one may be doing the same work."""


class DamagedSalt(LakeError):
    """The salt of a lake is not the one that its hashes were made with."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(
            f"{uri} {reason}. Without it no suppressed person can be recognized. Restore it from a backup; a new one "
            "would let their events return"
        )


class Unerasable(LakeError):
    """A file, or a part of it, in which ids cannot be looked for or from which they cannot be removed."""
