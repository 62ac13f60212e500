"""Checks of snapshots that arrive in pages: did all come that Mixpanel announced?"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from mixpanel_etl.pull.cohort_snapshots import MAX_COUNT_DIFFERENCE, Counted
from mixpanel_etl.pull.engage_pages import MAX_CHANGED, Arrival

ALL_ARRIVED = "all_arrived"
COUNTS_AGREE = "members_match_counts"


def all_arrived_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check that every profile arrived that Mixpanel announced."""
    return dg.AssetCheckSpec(
        ALL_ARRIVED,
        asset=key,
        description="As many profiles arrived as Mixpanel announced on the first page (`total`); answers of several "
        f"pages may differ by {MAX_CHANGED:.0%}, because profiles are deleted while the pages are asked for.",
    )


def all_arrived(arrivals: Sequence[tuple[str, Arrival]]) -> dg.AssetCheckResult:
    """The result for some answers.

    Args:
        arrivals: what each answer is about, and how much of it arrived.
    """
    short = [f"{name}: {found.rows:,} of {found.total:,}" for name, found in arrivals if not found.is_whole]
    advice = "Materialize again: the snapshot asks for all pages anew."
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


def counts_agree_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check that each cohort has as many members as Mixpanel's list of cohorts says."""
    return dg.AssetCheckSpec(
        COUNTS_AGREE,
        asset=key,
        description="Each cohort has as many members as Mixpanel's list of cohorts says (`count`), give or take "
        f"{MAX_COUNT_DIFFERENCE:.0%}, because Mixpanel counts a cohort when it was last looked at.",
    )


def counts_agree(members: Sequence[tuple[Counted, int]]) -> dg.AssetCheckResult:
    """The result for some cohorts.

    Args:
        members: each cohort and the number of its members that arrived.
    """
    differ = [
        f"cohort {cohort.id}: {rows:,}, not {cohort.expected:,}" for cohort, rows in members if not cohort.agrees(rows)
    ]
    advice = "Open the cohort in Mixpanel, which counts it anew, and materialize again."
    return dg.AssetCheckResult(
        check_name=COUNTS_AGREE,
        passed=not differ,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{'; '.join(differ)}. {advice}" if differ else f"{len(members)} cohorts agree.",
        metadata={"cohorts": len(members), "that_differ": len(differ)},
    )
