"""Checks of reports: nothing cut off at a limit, no name that Mixpanel does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from logging import Logger

import dagster as dg

from mixpanel_etl.pull.reports import Published

NOT_CUT = "not_cut"
NAMES_KNOWN = "names_known"
_MAX_LISTED = 10


def report_check_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of a report's asset."""
    return [
        dg.AssetCheckSpec(
            NOT_CUT,
            asset=key,
            description="No reply is as long as its limit, no segment is left out, and the segments add up to the "
            "total where Mixpanel gives one.",
        ),
        dg.AssetCheckSpec(
            NAMES_KNOWN,
            asset=key,
            description="Mixpanel's own lists have the events and properties that the report names.",
        ),
    ]


def report_checks(taken: Sequence[Published], log: Logger) -> list[dg.AssetCheckResult]:
    """The results for the partitions of a run; what is wrong is logged, too.

    Args:
        taken: the partitions.
        log: of the run.
    """
    results = [_not_cut(taken), _names_known(taken)]
    for result in results:
        if not result.passed:
            log.warning(result.description)
    return results


def _not_cut(taken: Sequence[Published]) -> dg.AssetCheckResult:
    cut = _keys(taken, lambda one: one.doubts.cut)
    chosen = _keys(taken, lambda one: one.doubts.cut and one.doubts.chosen)
    left_out = _keys(taken, lambda one: one.doubts.left_out > 0)
    missing = _keys(taken, lambda one: one.doubts.missing > 0)
    said = list(_sentences(cut, left_out, missing))
    # What a parameter asked for is told, what Mixpanel left out is wrong.
    severe = len(cut) > len(chosen)
    return dg.AssetCheckResult(
        check_name=NOT_CUT,
        passed=not said,
        severity=dg.AssetCheckSeverity.ERROR if severe else dg.AssetCheckSeverity.WARN,
        description=" ".join(said) or "Nothing is cut.",
        metadata={
            "partitions": len(taken),
            "possibly_cut": cut[:_MAX_LISTED],
            "with_segments_left_out": left_out[:_MAX_LISTED],
            "with_segments_below_the_total": missing[:_MAX_LISTED],
        },
    )


def _sentences(cut: Sequence[str], left_out: Sequence[str], missing: Sequence[str]) -> Iterator[str]:
    if cut:
        yield (
            f"{len(cut)} partition(s) are possibly cut, because the reply is as long as its limit: {_listed(cut)}. "
            "Give a higher `limit` where the report has one, or narrow the report with `where`."
        )
    if left_out:
        yield (
            f"{len(left_out)} partition(s) have more segments than `limit` keeps: {_listed(left_out)}. "
            "Raise or remove `limit` to have all of them."
        )
    if missing:
        yield (
            f"In {len(missing)} partition(s) the segments add up to less than Mixpanel's total: {_listed(missing)}. "
            "Mixpanel leaves segments out; narrow the report with `where`."
        )


def _names_known(taken: Sequence[Published]) -> dg.AssetCheckResult:
    unknown = list(dict.fromkeys(name for one in taken for name in one.doubts.unknown_names))
    advice = "Correct the report; if Mixpanel gets them only later, the check turns green with the first of them."
    return dg.AssetCheckResult(
        check_name=NAMES_KNOWN,
        passed=not unknown,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Mixpanel's lists do not have {', '.join(unknown)}. {advice}" if unknown else "All are known.",
        metadata={"unknown": unknown},
    )


def _keys(taken: Sequence[Published], is_so: Callable[[Published], bool]) -> list[str]:
    return [one.partition.key for one in taken if is_so(one)]


def _listed(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - _MAX_LISTED} more" if len(keys) > _MAX_LISTED else ""
    return ", ".join(keys[:_MAX_LISTED]) + more
