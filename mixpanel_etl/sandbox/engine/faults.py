"""Faults: rules that say which requests fail, how, and how often.

Source: mixpanel-api.md#errors, #export-truncation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from random import Random
from threading import Lock
from typing import Literal, get_args

from mixpanel_etl.sandbox.engine.budgets import INGESTION_TEXT, LIMITS, query_limit_text, retry_after_header
from mixpanel_etl.sandbox.engine.projects import RetryAfter
from mixpanel_etl.sandbox.engine.responses import ApiError

# Answered instead of the endpoint.
AnswerKind = Literal[
    "rate_limited",
    "bad_request",
    "future_date",
    "unable_to_authenticate",
    "payment_required",
    "too_large",
    "server_error",
    "error_in_200",
]
# Applied to the connection or to the bytes of the response.
WireKind = Literal["reset", "cut", "truncated", "unterminated", "slow", "trickle"]
# Applied to the lines of an export, before compression.
LineKind = Literal["terminated_early", "duplicate_rows", "extra_lines"]
# Applied to the stored events just before an export reads them.
StoreKind = Literal["late_rows", "merged_rows"]
# Applied to the records of a request.
RecordKind = Literal["partially_accepted"]
Kind = AnswerKind | WireKind | LineKind | StoreKind | RecordKind

KINDS = tuple(kind for group in (AnswerKind, WireKind, LineKind, StoreKind, RecordKind) for kind in get_args(group))


_INGESTION = ("/import", "/track", "/groups", "/lookup-tables")
_APP = ("/projects", "/organizations", "/workspaces", "/data-", "/nessie", "/flags", "/app")


@dataclass(frozen=True)
class Fault:
    """One rule. The first rule that matches a request, and is neither skipping nor spent, applies.

    Attributes:
        route: path with or without the prefix of its API, `/export` or `/api/2.0/export`; `*` matches any characters.
        kind: kind of the fault; docs/sandbox.md describes each.
        count: number of requests before the rule is spent; None: unlimited.
        probability: probability for each matching request, drawn from a generator seeded with `seed`.
        after: bytes of the body (kinds cut, truncated, unterminated; 0 without) or lines (terminated_early: 100
            without; extra_lines: at the end without) that arrive before the fault.
        rows: number of rows that duplicate_rows repeats, late_rows adds and partially_accepted accepts, and of users
            that merged_rows merges.
        lines: the raw lines of extra_lines, each without its newline.
        text: text of the answer, or the line of terminated_early, instead of the default.
        status: status of server_error; 500 by default.
        retry_after: form of the header `Retry-After` of rate_limited; by default it is absent.
        seconds: the delay of slow before the first byte, of trickle before each byte of the body, the wait that
            Retry-After asks for.
        longer_than_days: match only requests whose from_date..to_date has more days.
        day: match only requests whose from_date..to_date includes this day.
        project_id: match only requests with this `project_id` in the query.
        skip: number of matching requests that pass first.
        seed: seed of `probability` and of late_rows.
    """

    route: str
    kind: Kind
    count: int | None = None
    probability: float = 1.0
    after: int | None = None
    rows: int = 10
    lines: Sequence[bytes] = ()
    text: str | None = None
    status: int | None = None
    retry_after: RetryAfter | None = None
    seconds: float = 1.0
    longer_than_days: int | None = None
    day: date | None = None
    project_id: int | None = None
    skip: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} must be one of {', '.join(KINDS)}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability {self.probability} must be in 0..1")
        if not self.route.startswith(("/", "*")):
            raise ValueError(f"route {self.route!r} must begin with a slash, such as /export, or be *")

    def error(self, route: str, project_id: str) -> ApiError | None:
        """The error that replaces the response, if this is a fault of that kind."""
        if self.kind == "rate_limited":
            text = self.text or _limit_text(route, project_id)
            return ApiError(429, text, retry_after_header(self.retry_after, self.seconds))
        if self.kind in _ANSWERS:
            status, text = _ANSWERS[self.kind]
            return ApiError(self.status or status, self.text or text)
        return None


class Faults:
    """The rules of a sandbox, in the order in which they were added. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._rules: list[_Rule] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._rules.append(_Rule(fault))

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def all(self) -> list[tuple[Fault, int]]:
        """Each rule and the number of requests it was applied to."""
        with self._lock:
            return [(rule.fault, rule.hits) for rule in self._rules]

    def take(self, route: str, path: str, parameters: Mapping[str, str]) -> Fault | None:
        """The fault that applies to a request, counted as used."""
        with self._lock:
            return next((rule.fault for rule in self._rules if rule.applies(route, path, parameters)), None)


class _Rule:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.hits = 0
        self._passed = 0
        self._random = Random(fault.seed)  # noqa: S311 - reproducible, not secret

    def applies(self, route: str, path: str, parameters: Mapping[str, str]) -> bool:
        fault = self.fault
        if fault.count is not None and self.hits >= fault.count:
            return False
        if not (fnmatchcase(route, fault.route) or fnmatchcase(path, fault.route)):
            return False
        if not _matches(fault, parameters):
            return False
        if self._passed < fault.skip:
            self._passed += 1
            return False
        if self._random.random() >= fault.probability:
            return False
        self.hits += 1
        return True


def _matches(fault: Fault, parameters: Mapping[str, str]) -> bool:
    if fault.project_id is not None and parameters.get("project_id") != str(fault.project_id):
        return False
    asked = _days(parameters)
    if fault.longer_than_days is not None and len(asked) <= fault.longer_than_days:
        return False
    return fault.day is None or fault.day.toordinal() in asked


def _limit_text(route: str, project_id: str) -> str:
    """The text of a 429 of the API of a route."""
    if route.startswith(_INGESTION):
        return INGESTION_TEXT
    if route.startswith(_APP):
        return "Rate limit exceeded"
    return query_limit_text(int(project_id or 0), 1, 61, LIMITS["query"])


def _days(parameters: Mapping[str, str]) -> range:
    try:
        first, last = (date.fromisoformat(parameters[name]) for name in ("from_date", "to_date"))
    except (KeyError, ValueError):
        return range(0)
    return range(first.toordinal(), last.toordinal() + 1)


_ANSWERS: dict[Kind, tuple[int, str]] = {
    "bad_request": (400, "project_id is invalid"),
    "future_date": (400, "to_date cannot be later than today"),
    "unable_to_authenticate": (400, "Unable to authenticate request"),
    "payment_required": (402, "Your plan does not allow API calls. Upgrade to use the Query API."),
    "too_large": (413, "request exceeds max limit of 2097152 bytes"),
    "server_error": (500, "Internal Server Error"),
    "error_in_200": (200, "An internal error occurred while running the query"),
}
