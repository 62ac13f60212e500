"""Checks of reports: complete replies, and names that Mixpanel knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import dagster as dg

from mixpanel_etl.dagster.checks import evaluated
from mixpanel_etl.dagster.recording import Results
from mixpanel_etl.errors import MAX_LISTED, listed
from mixpanel_etl.pull.reports import Published

NOT_TRUNCATED = "not_truncated"
NAMES_KNOWN = "names_known"
#: Description by name of the check.
CHECKS = {
    NOT_TRUNCATED: "Every reply is shorter than its limit, no segment is left out, and the segments add up to the "
    "total where Mixpanel gives one.",
    NAMES_KNOWN: "Mixpanel's own lists contain the events and properties that the report names.",
}


def report_checks(context: dg.AssetExecutionContext, key: dg.AssetKey, taken: Sequence[Published]) -> Results:
    """The results for the partitions of a run; failures are logged, too.

    Args:
        context: context of the run; its materializations are stored already.
        key: key of the asset.
        taken: the partitions.
    """
    for name, judge in {NOT_TRUNCATED: _not_truncated, NAMES_KNOWN: _names_known}.items():
        summary = judge(taken)
        if not summary.passed:
            context.log.warning(summary.description)
        by_partition = {each.partition.key: judge([each]) for each in taken}
        yield evaluated(context, dg.AssetCheckKey(key, name), summary, by_partition)


def _not_truncated(taken: Sequence[Published]) -> dg.AssetCheckResult:
    cut = _keys(taken, lambda each: each.doubts.cut)
    chosen = _keys(taken, lambda each: each.doubts.cut and each.doubts.chosen)
    left_out = _keys(taken, lambda each: each.doubts.left_out > 0)
    missing = _keys(taken, lambda each: each.doubts.missing > 0)
    sentences = list(_sentences(cut, left_out, missing))
    # A limit of the report's own is a warning, a limit of Mixpanel's an error.
    severe = len(cut) > len(chosen)
    return dg.AssetCheckResult(
        passed=not sentences,
        severity=dg.AssetCheckSeverity.ERROR if severe else dg.AssetCheckSeverity.WARN,
        description=" ".join(sentences) or "Replies are complete.",
        metadata={
            "partitions": len(taken),
            "possibly_truncated": cut[:MAX_LISTED],
            "with_segments_left_out": left_out[:MAX_LISTED],
            "with_segments_below_the_total": missing[:MAX_LISTED],
        },
    )


def _sentences(cut: Sequence[str], left_out: Sequence[str], missing: Sequence[str]) -> Iterator[str]:
    if cut:
        yield (
            f"{len(cut)} partition(s) are possibly truncated, because the reply is as long as its limit: "
            f"{listed(cut)}. Give a higher `limit` where the report has one, or narrow the report with `where`."
        )
    if left_out:
        yield (
            f"{len(left_out)} partition(s) have more segments than `limit` keeps: {listed(left_out)}. "
            "Raise or remove `limit` to have all of them."
        )
    if missing:
        yield (
            f"In {len(missing)} partition(s) the segments add up to less than Mixpanel's total: {listed(missing)}. "
            "Mixpanel leaves segments out; narrow the report with `where`."
        )


def _names_known(taken: Sequence[Published]) -> dg.AssetCheckResult:
    unknown = list(dict.fromkeys(name for each in taken for name in each.doubts.unknown_names))
    advice = "Correct the report; if these are sent only later, the check passes from the first of them on."
    return dg.AssetCheckResult(
        passed=not unknown,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Mixpanel's lists don't contain {', '.join(unknown)}. {advice}"
        if unknown
        else "All names are known.",
        metadata={"unknown": unknown},
    )


def _keys(taken: Sequence[Published], applies: Callable[[Published], bool]) -> list[str]:
    return [each.partition.key for each in taken if applies(each)]
