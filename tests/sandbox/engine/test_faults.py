"""Faults on demand: each kind, and the rules that choose the requests.

Source: mixpanel-api.md#errors, #export-truncation.
"""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

import pytest
import requests
from requests.exceptions import ChunkedEncodingError

from mixpanel_etl.sandbox import Fault, Project, Sandbox

from ..http_calls import HttpCall, exported_events, exported_line

PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture
def filled(sandbox: Sandbox) -> Sandbox:
    sandbox.generate(3000, date(2024, 1, 1), date(2024, 1, 3), duplicates=0)
    return sandbox


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        (Fault("/export", "future_date"), 400, "to_date cannot be later than today"),
        (Fault("/export", "unable_to_authenticate"), 400, "Unable to authenticate request"),
        (Fault("/export", "too_large"), 413, "request exceeds max limit of 2097152 bytes"),
        (Fault("/export", "server_error"), 500, "Internal Server Error"),
        (Fault("/export", "server_error", status=503, text="try later"), 503, "try later"),
        (Fault("/export", "error_in_200"), 200, "An internal error occurred while running the query"),
    ],
)
def test_an_answer_replaces_the_export(
    sandbox: Sandbox, export: HttpCall, fault: Fault, status: int, text: str
) -> None:
    sandbox.add_fault(fault)
    response = export()
    assert (response.status_code, response.text) == (status, text)


def test_an_answer_has_the_shape_of_its_api(sandbox: Sandbox, query: HttpCall, post_import: HttpCall) -> None:
    sandbox.add_fault(Fault("*", "payment_required", count=1))
    assert query("/events/names").json()["error"].startswith("Your plan")
    sandbox.add_fault(Fault("/events/names", "error_in_200", count=1))
    rejected = query("/events/names")
    assert (rejected.status_code, set(rejected.json())) == (200, {"request", "error"})
    sandbox.add_fault(Fault("/import", "rate_limited"))
    assert post_import(json.loads(exported_line())).json() == {
        "code": 429,
        "error": "Project exceeded rate limits. Please retry the request with exponential backoff.",
        "status": "Too Many Requests",
    }


def test_a_429_comes_without_retry_after_or_with_one_in_either_form(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.add_fault(Fault("/export", "rate_limited", count=1))
    sandbox.add_fault(Fault("/export", "rate_limited", count=1, retry_after="seconds", seconds=7))
    sandbox.add_fault(Fault("/export", "rate_limited", count=1, retry_after="date", seconds=7))
    first, second, third = (export() for _ in range(3))
    assert {first.status_code, second.status_code, third.status_code} == {429}
    assert "Retry-After" not in first.headers
    assert second.headers["Retry-After"] == "7"
    assert parsedate_to_datetime(third.headers["Retry-After"]).tzinfo is not None


def test_reset_ends_the_connection_before_any_reply(filled: Sandbox, export: HttpCall) -> None:
    filled.add_fault(Fault("/export", "reset", count=1))
    with pytest.raises(requests.ConnectionError):
        export()
    assert filled.requests[0].status is None
    assert export().status_code == 200


@pytest.mark.parametrize("headers", [PLAIN, {"Accept-Encoding": "gzip"}])
@pytest.mark.parametrize("kind", ["cut", "unterminated"])
def test_a_connection_that_ends_within_the_body_is_seen_by_the_client(
    filled: Sandbox, export: HttpCall, kind: str, headers: dict[str, str]
) -> None:
    filled.add_fault(Fault("/export", kind, after=20_000))  # type: ignore[arg-type]
    with pytest.raises((ChunkedEncodingError, requests.ConnectionError)):
        export(headers)


def test_unterminated_sends_exactly_the_bytes_before_the_end(filled: Sandbox, export: HttpCall) -> None:
    filled.add_fault(Fault("/export", "unterminated", after=20_000))
    assert len(_received(filled)) == 20_000


def test_a_truncated_body_ends_cleanly_for_http(filled: Sandbox, export: HttpCall) -> None:
    whole = export(PLAIN).content
    filled.add_fault(Fault("/export", "truncated", after=20_000))
    assert export(PLAIN).content == whole[:20_000]
    compressed = export({"Accept-Encoding": "gzip"})
    assert 20_000 < len(compressed.content) < len(whole)  # requests does not notice that the gzip has no end
    assert whole.startswith(compressed.content)


def test_terminated_early_is_the_last_line_of_a_200(filled: Sandbox, export: HttpCall) -> None:
    whole = export().content.split(b"\n")
    filled.add_fault(Fault("/export", "terminated_early", after=2999))
    assert export().content.split(b"\n") == [*whole[:2999], b"terminated early", b""]
    filled.clear_faults()
    filled.add_fault(Fault("/export", "terminated_early", after=0, text="export terminated early"))
    assert export().content == b"export terminated early\n"


def test_a_short_export_can_be_terminated_early_too(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.load([exported_line()])
    sandbox.add_fault(Fault("/export", "terminated_early"))
    assert export().content == exported_line() + b"\nterminated early\n"


def test_duplicate_rows_are_sent_twice_in_one_response(filled: Sandbox, export: HttpCall) -> None:
    whole = export().content.split(b"\n")[:-1]
    filled.add_fault(Fault("/export", "duplicate_rows", rows=5))
    assert export().content.split(b"\n")[:-1] == whole + whole[:5]


@pytest.mark.parametrize(("after", "place"), [(None, 3000), (3000, 3000), (5000, 3000), (0, 0), (2500, 2500), (7, 7)])
def test_extra_lines_appear_raw_at_the_requested_line(
    filled: Sandbox, export: HttpCall, after: int | None, place: int
) -> None:
    whole = export().content.split(b"\n")[:-1]
    hostile = [b"\xff\xfe", b'{"event":', b""]
    filled.add_fault(Fault("/export", "extra_lines", lines=hostile, after=after))
    assert export().content.split(b"\n")[:-1] == whole[:place] + hostile + whole[place:]


def test_late_rows_arrive_between_two_exports_of_the_same_days(filled: Sandbox, export: HttpCall) -> None:
    before = exported_events(export(time_in_ms="true"))
    filled.add_fault(Fault("/export", "late_rows", count=1, rows=7))
    after = exported_events(export(time_in_ms="true"))
    late = after[len(before) :]
    assert len(late) == 7
    now_ms = filled.clock.now().timestamp() * 1000
    for event in late:
        assert (
            date(2024, 1, 1)
            <= datetime.fromtimestamp(event["properties"]["time"] / 1000, UTC).date()
            <= date(2024, 1, 3)
        )
        assert now_ms - 60_000 < event["properties"]["mp_processing_time_ms"] <= now_ms
    assert len(exported_events(export())) == len(after)


def test_merged_rows_have_another_distinct_id_and_remember_the_old(filled: Sandbox, export: HttpCall) -> None:
    before = {event["properties"]["distinct_id"] for event in exported_events(export())}
    filled.add_fault(Fault("/export", "merged_rows", rows=3))
    rewritten = [
        event["properties"] for event in exported_events(export()) if event["properties"]["distinct_id"] not in before
    ]
    assert len({properties["distinct_id"] for properties in rewritten}) == 3
    assert {properties["$distinct_id_before_identity"] for properties in rewritten} < before


def test_a_slow_request_is_answered_in_full(filled: Sandbox, export: HttpCall) -> None:
    filled.add_fault(Fault("/export", "slow", seconds=0.05))
    response = export()
    assert response.elapsed.total_seconds() >= 0.05
    assert len(exported_events(response)) == 3000


def test_a_fault_applies_count_times(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.add_fault(Fault("/export", "server_error", count=2))
    assert [export().status_code for _ in range(4)] == [500, 500, 200, 200]
    sandbox.add_fault(Fault("/export", "server_error"))
    assert [export().status_code for _ in range(4)] == [500] * 4
    sandbox.clear_faults()
    assert export().status_code == 200


def test_a_fault_can_let_requests_pass_first(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.add_fault(Fault("/export", "server_error", skip=2, count=1))
    assert [export().status_code for _ in range(4)] == [200, 200, 500, 200]


def test_probability_is_seeded(sandbox: Sandbox, export: HttpCall) -> None:
    def outcomes(seed: int) -> list[int]:
        sandbox.clear_faults()
        sandbox.add_fault(Fault("/export", "server_error", probability=0.5, seed=seed))
        return [export().status_code for _ in range(20)]

    first = outcomes(1)
    assert set(first) == {200, 500}
    assert outcomes(1) == first
    assert outcomes(2) != first


def test_a_fault_can_be_for_long_ranges_only(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.add_fault(Fault("/export", "server_error", longer_than_days=25))
    assert export(from_date="2024-01-01", to_date="2024-01-25").status_code == 200
    assert export(from_date="2024-01-01", to_date="2024-01-26").status_code == 500


def test_a_fault_can_be_for_one_project_only(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.reset([Project(1), Project(2)])
    sandbox.add_fault(Fault("/export", "server_error", project_id=2))
    assert [export(project_id=number).status_code for number in (1, 2)] == [200, 500]


@pytest.mark.parametrize(
    ("route", "struck"),
    [("/export", True), ("/api/2.0/export", True), ("*", True), ("/exp*", True), ("/events", False), ("/expor", False)],
)
def test_a_route_is_a_path_with_or_without_prefix_or_a_pattern(
    sandbox: Sandbox, export: HttpCall, route: str, struck: bool
) -> None:
    sandbox.add_fault(Fault(route, "server_error"))
    assert (export().status_code == 500) is struck


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Fault("/export", "explode"), "kind 'explode'"),  # type: ignore[arg-type]
        (lambda: Fault("/export", "cut", probability=2), "probability 2"),
        (lambda: Fault("export", "cut"), "route 'export'"),
    ],
)
def test_an_invalid_fault_is_rejected(make: Callable[[], Fault], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make()


def _received(sandbox: Sandbox) -> bytes:
    """What arrives of a plain export whose end is missing."""
    project = sandbox.projects[0]
    response = requests.get(
        f"{sandbox.url}/api/2.0/export",
        params={"project_id": str(project.project_id), "from_date": "2024-01-01", "to_date": "2024-01-03"},
        auth=project.account[:2],
        headers=PLAIN,
        stream=True,
        timeout=10,
    )
    received: list[bytes] = []
    with pytest.raises((ChunkedEncodingError, requests.ConnectionError)):
        received.extend(response.iter_content(None))
    return b"".join(received)
