"""Checks of snapshots that arrive in pages: complete, and as many as Mixpanel counts."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from mixpanel_etl.pull.cohort_snapshots import MAX_COUNT_DIFFERENCE, Counted
from mixpanel_etl.pull.engage_pages import MAX_CHANGED, Arrival

ALL_ARRIVED = "all_arrived"
COUNTS_AGREE = "members_match_counts"


#: Description by name of the check.
ARRIVAL_CHECKS = {
    ALL_ARRIVED: "As many profiles arrived as Mixpanel announced on the first page (`total`); answers of several "
    f"pages may differ by {MAX_CHANGED:.0%}, because profiles are deleted while the pages are requested.",
}
MEMBER_CHECKS = ARRIVAL_CHECKS | {
    COUNTS_AGREE: "Each cohort has as many members as Mixpanel's list of cohorts says (`count`), with a tolerance of "
    f"{MAX_COUNT_DIFFERENCE:.0%}, because Mixpanel counts a cohort when it was last viewed.",
}


def all_arrived(arrivals: Sequence[tuple[str, Arrival]]) -> dg.AssetCheckResult:
    """Whether every profile arrived that Mixpanel announced.

    Args:
        arrivals: name and arrival of each answer.
    """
    short = [f"{name}: {found.rows:,} of {found.total:,}" for name, found in arrivals if not found.is_whole]
    advice = "Materialize again: the snapshot requests all pages again."
    return dg.AssetCheckResult(
        check_name=ALL_ARRIVED,
        passed=not short,
        description=f"{'; '.join(short)}. {advice}" if short else "Nothing is missing.",
        metadata={
            "arrived": sum(found.rows for _, found in arrivals),
            "announced": sum(found.total or 0 for _, found in arrivals),
            "without_a_total": sum(found.total is None for _, found in arrivals),
        },
    )


def counts_agree(members: Sequence[tuple[Counted, int]]) -> dg.AssetCheckResult:
    """Whether each cohort has as many members as Mixpanel's list of cohorts says.

    Args:
        members: each cohort, and the number of its members that arrived.
    """
    differ = [
        f"cohort {cohort.id}: {rows:,}, not {cohort.expected:,}" for cohort, rows in members if not cohort.agrees(rows)
    ]
    advice = "Open the cohort in Mixpanel, which counts it again, and materialize again."
    return dg.AssetCheckResult(
        check_name=COUNTS_AGREE,
        passed=not differ,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{'; '.join(differ)}. {advice}" if differ else f"{len(members)} cohorts agree.",
        metadata={"cohorts": len(members), "that_differ": len(differ)},
    )
