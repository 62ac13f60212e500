"""No process ever sees a 429 that its own deployment caused, and every wait says why and until when."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mixpanel_etl.client import BudgetExhausted, BudgetUnavailable, Clock, InvalidRequest, Mixpanel, Wait
from mixpanel_etl.client.http.credentials import ServiceAccount
from mixpanel_etl.client.limits.rates import BUDGETS, Rate
from mixpanel_etl.client.operations.operation import Operation, Request
from mixpanel_etl.sandbox import Fault, Sandbox
from mixpanel_etl.settings import Settings

from .conftest import SECRET
from .scripted import NOW, Answer, FakeClock, ScriptedServer
from .test_stores import start

DAY = date(2026, 3, 1)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.generate(100, date(2026, 1, 1), date(2026, 1, 1))
        yield sandbox


def settings_of(sandbox: Sandbox, location: str) -> dict[str, Any]:
    variables = sandbox.environment()
    values = {name.removeprefix("MIXPANEL_").lower(): value for name, value in variables.items()}
    return {**values, "budget_url": location}


def outputs(processes: list[subprocess.Popen[str]]) -> list[str]:
    found = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return found


def use_up(mixpanel: Mixpanel, times: int) -> None:
    for _ in range(times):
        mixpanel.query.event_names()


@pytest.mark.slow
def test_four_processes_use_up_the_hour_without_a_single_429(sandbox: Sandbox, location: str) -> None:
    settings = settings_of(sandbox, location)
    counts = [json.loads(output) for output in outputs([start("query", settings, 20) for _ in range(4)])]
    assert sum(done for done, _ in counts) == 60
    assert sum(exhausted for _, exhausted in counts) == 20
    assert [request.status for request in sandbox.requests] == [200] * 60


@pytest.mark.slow
def test_four_processes_keep_to_three_exports_a_second_without_a_single_429(sandbox: Sandbox, tmp_path: Path) -> None:
    settings = settings_of(sandbox, str(tmp_path / "budget.sqlite"))
    outputs([start("export", settings, 2) for _ in range(4)])
    assert [request.status for request in sandbox.requests] == [200] * 8


def test_a_wait_longer_than_the_deadline_is_rejected_at_once_and_says_when_the_budget_is_free(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer, clock: FakeClock
) -> None:
    server.answers(Answer(200, b"[]"))
    mixpanel = make_mixpanel(deadline=1800)
    use_up(mixpanel, 60)
    with pytest.raises(BudgetExhausted) as caught:
        mixpanel.query.event_names()
    assert clock.slept == []
    assert caught.value.free_at is not None
    assert timedelta(hours=1) < caught.value.free_at - NOW < timedelta(hours=1, minutes=1)
    assert "the 60 requests an hour of project 12345 (query budget) are used up" in str(caught.value)
    assert f"{caught.value.free_at:%Y-%m-%d %H:%M:%S} UTC" in str(caught.value)
    assert len(server.seen) == 60


def test_a_wait_within_the_deadline_is_announced_and_waited_for(
    make_mixpanel: Callable[..., Mixpanel],
    server: ScriptedServer,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.answers(Answer(200, b"[]"))
    waits: list[Wait] = []
    mixpanel = make_mixpanel(on_wait=waits.append)
    use_up(mixpanel, 61)
    (wait,) = waits
    assert wait.reason == "the 60 requests an hour of project 12345 (query budget) are used up"
    assert wait.seconds is not None
    assert wait.seconds > 3600
    assert wait.until == NOW + timedelta(seconds=wait.seconds)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "mixpanel_etl"]
    assert wait.reason in line
    assert f"{wait.until:%H:%M:%S} UTC" in line
    assert len(server.seen) == 61


def test_each_attempt_counts_a_retry_included(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(503), Answer(503), Answer(200, b"[]"))
    mixpanel.query.event_names()
    assert mixpanel.budget("query").used == 3


def test_usage_tells_what_is_used_left_and_when_the_next_is_free(
    mixpanel: Mixpanel, server: ScriptedServer, clock: FakeClock
) -> None:
    server.answers(Answer(200, b"[]"))
    fresh = mixpanel.budget("query")
    assert (fresh.used, fresh.left, fresh.limit, fresh.free_at) == (0, 60, 60, clock.now())
    use_up(mixpanel, 60)
    used = mixpanel.budget("query")
    assert (used.used, used.left) == (60, 0)
    assert used.free_at > clock.now() + timedelta(hours=1)
    clock.sleep(2 * 3600)
    assert mixpanel.budget("query").left == 60


def test_exports_are_counted_by_second_and_by_hour(mixpanel: Mixpanel, clock: FakeClock) -> None:
    for _ in range(4):
        with mixpanel.export(DAY, DAY):
            pass
    assert sum(clock.slept) > 1
    assert mixpanel.budget("export").used == 4
    assert mixpanel.budget("query").used == 0


def test_another_project_and_another_host_have_budgets_of_their_own(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer
) -> None:
    server.answers(Answer(200, b"[]"))
    use_up(make_mixpanel(), 2)
    assert make_mixpanel().budget("query").used == 2
    assert make_mixpanel(project_id=999).budget("query").used == 0
    assert make_mixpanel(base_url=None).budget("query").used == 0
    assert make_mixpanel(service_account_secret="rotated").budget("query").used == 2


def test_the_organizations_budget_is_shared_by_its_projects(make_mixpanel: Callable[..., Mixpanel]) -> None:
    operation = Operation("GET", "app", "/x", accepts=(ServiceAccount,), budgets=("lexicon",))
    make_mixpanel().transport.json(Request(operation))
    assert make_mixpanel(project_id=999).budget("lexicon").used == 1


def test_no_secret_is_in_the_shared_state(mixpanel: Mixpanel, tmp_path: Path) -> None:
    with mixpanel.export(DAY, DAY):
        stored = b"".join(part.read_bytes() + part.name.encode() for part in tmp_path.rglob("*") if part.is_file())
    assert b"12345" in stored
    assert SECRET.encode() not in stored


def test_jql_counts_in_its_own_budget_and_in_the_query_budget(mixpanel: Mixpanel) -> None:
    operation = Operation("POST", "query", "/jql", accepts=(ServiceAccount,), budgets=("jql", "query"))
    mixpanel.transport.json(Request(operation))
    assert (mixpanel.budget("jql").used, mixpanel.budget("query").used) == (1, 1)


def test_a_full_second_budget_takes_nothing_from_the_first(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer
) -> None:
    server.answers(Answer(200, b"[]"))
    mixpanel = make_mixpanel(deadline=60)
    use_up(mixpanel, 60)
    operation = Operation("POST", "query", "/jql", accepts=(ServiceAccount,), budgets=("jql", "query"))
    with pytest.raises(BudgetExhausted, match="query budget"):
        mixpanel.transport.json(Request(operation))
    assert mixpanel.budget("jql").used == 0


def test_units_other_than_requests_are_counted_by_what_a_request_costs(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer
) -> None:
    operation = Operation("POST", "app", "/x", accepts=(ServiceAccount,), budgets=("lexicon",))
    mixpanel = make_mixpanel(deadline=10)
    mixpanel.transport.json(Request(operation, cost={"items": 3000}))
    with pytest.raises(BudgetExhausted, match="4000 items a minute of the organization"):
        mixpanel.transport.json(Request(operation, cost={"items": 1001}))
    with pytest.raises(InvalidRequest, match="4001 items"):
        mixpanel.transport.json(Request(operation, cost={"items": 4001}))
    assert len(server.seen) == 1


def test_places_for_concurrent_requests_are_one_fewer_than_mixpanels_and_given_back_on_close(
    make_mixpanel: Callable[..., Mixpanel], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BUDGETS, "export", BUDGETS["export"].__class__("project", (Rate(60, 3600),), concurrent=3))
    waits: list[Wait] = []
    mixpanel = make_mixpanel(deadline=30, on_wait=waits.append)
    with ExitStack() as stack:
        streams = [stack.enter_context(mixpanel.export(DAY, DAY)) for _ in range(2)]
        with pytest.raises(BudgetExhausted, match="all 2 places") as caught, mixpanel.export(DAY, DAY):
            pass
        assert caught.value.free_at is None
        assert 29 < clock.elapsed < 32
        assert [(wait.seconds, wait.until) for wait in waits] == [(None, None)]
        streams[0].close()
        stack.enter_context(mixpanel.export(DAY, DAY))
    with mixpanel.export(DAY, DAY), mixpanel.export(DAY, DAY):
        pass


def test_a_failed_request_gives_its_place_back(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BUDGETS, "query", BUDGETS["query"].__class__("project", (Rate(60, 3600),), concurrent=1))
    server.answers(Answer(400), Answer(body=None), Answer(200, b"cut", {"Content-Length": "9"}), Answer(200, b"[]"))
    mixpanel = make_mixpanel(deadline=60)
    with pytest.raises(Exception, match="400"):
        mixpanel.query.event_names()
    assert mixpanel.query.event_names() == []


@pytest.mark.parametrize(
    "unreachable",
    ["/proc/nowhere/budget.sqlite", "postgresql://u:pa55word@127.0.0.1:9/x", "redis://:pa55word@127.0.0.1:9/0"],
)
def test_without_the_shared_state_nothing_is_sent(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer, unreachable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixpanel_etl.client.limits.stores.postgres.CONNECT_SECONDS", 0.2)
    with pytest.raises(BudgetUnavailable, match="MIXPANEL_BUDGET_URL") as caught:
        make_mixpanel(budget_url=unreachable).query.event_names()
    assert "pa55word" not in str(caught.value) + repr(caught.value.__cause__)
    assert server.seen == []


def test_the_window_is_longer_than_mixpanels_by_the_time_a_request_may_travel() -> None:
    assert [Rate(1, seconds).interval_ms for seconds in (1, 60, 3600, 86400)] == [2000, 66_000, 3_630_000, 86_430_000]


def test_every_bucket_has_a_name_of_its_own_in_postgresql(make_settings: Callable[..., Settings]) -> None:
    """PostgreSQL silently cuts names at 63 bytes, and two cut names could be the same table."""
    with Mixpanel(make_settings(project_id=9_999_999_999)) as mixpanel:
        names = [
            mixpanel.budgets.key(name, limits, rate.unit) for name, limits in BUDGETS.items() for rate in limits.rates
        ]
    assert all(len(f"timestampindex_{name}") <= 63 for name in names)


def test_free_at_is_aware(mixpanel: Mixpanel) -> None:
    free_at: datetime = mixpanel.budget("export").free_at
    assert free_at.tzinfo is not None


def test_a_client_knows_what_it_has_spent_itself(sandbox: Sandbox, tmp_path: Path) -> None:
    settings = Settings(**settings_of(sandbox, str(tmp_path / "budget.sqlite")))
    sandbox.add_fault(Fault("/funnels/list", "server_error", count=1))
    with Mixpanel(settings, clock=Clock(sleep=lambda _: None)) as client, Mixpanel(settings) as other:
        client.query.list_funnels()
        other.query.list_funnels()
        assert (client.spent("query"), client.spent("export")) == (2, 0)
        assert client.budget("query").used == 3
