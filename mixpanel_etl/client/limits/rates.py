"""Mixpanel's rate limits, as data. Source: mixpanel-api.md#rate-limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Whose requests Mixpanel counts together.
Scope = Literal["project", "organization"]


@dataclass(frozen=True)
class Rate:
    """At most `limit` units in any `seconds` in a row. Units are requests, unless named otherwise.

    Args:
        limit: maximum number of units.
        seconds: length of the window in seconds.
        unit: name of the counted units.
        ahead: units that a process counts at once, and then uses without reading the shared state again.
    """

    limit: int
    seconds: int
    unit: str = "requests"
    ahead: int = 1

    @property
    def interval_ms(self) -> int:
        """The window in milliseconds: longer than Mixpanel's, by the time that a request may take to arrive.

        A request is counted here when it is sent, and by Mixpanel when it arrives. For Mixpanel, a slow request and a
        fast later one are closer together than they were here.
        """
        return int(1000 * (self.seconds + min(30.0, max(1.0, self.seconds / 10))))

    def __str__(self) -> str:
        per = {1: "a second", 60: "a minute", 3600: "an hour", 86400: "a day"}.get(self.seconds)
        return f"{self.limit} {self.unit} {per or f'in {self.seconds} s'}"


@dataclass(frozen=True)
class Limits:
    """What Mixpanel allows one API family in one scope.

    Args:
        scope: `project` or `organization`, whose requests Mixpanel counts together; `project` if undocumented.
        rates: rates, each counted separately; all must have room.
        concurrent: maximum number of concurrent requests.
    """

    scope: Scope
    rates: tuple[Rate, ...]
    concurrent: int | None = None

    @property
    def places(self) -> int | None:
        """The maximum number of concurrent requests of this deployment.

        One less than Mixpanel's: it may still count a request whose last byte has arrived here.
        """
        return None if self.concurrent is None else max(1, self.concurrent - 1)


# An operation names the budgets it is counted in; JQL is counted in two. Units other than requests are coarse,
# because each is an entry in the shared state.
BUDGETS: dict[str, Limits] = {
    "export": Limits("project", (Rate(60, 3600), Rate(3, 1)), concurrent=100),
    "query": Limits("project", (Rate(60, 3600),), concurrent=5),
    "jql": Limits("project", (Rate(60, 3600),), concurrent=5),
    "ingestion": Limits(
        "project",
        # 2 GB of uncompressed JSON a minute, or about 30,000 events a second, which Mixpanel measures by the minute.
        (Rate(2000, 60, "megabytes", ahead=20), Rate(1800, 60, "thousand events", ahead=18)),
        concurrent=20,
    ),
    "lexicon": Limits("organization", (Rate(5, 60), Rate(4000, 60, "items"))),
    "gdpr": Limits("project", (Rate(1, 1),)),
    "lookup_tables": Limits("project", (Rate(100, 86400),)),
    "warehouse_sync": Limits("project", (Rate(5, 3600),)),
}
