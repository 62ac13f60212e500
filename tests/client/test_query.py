"""Query and App API against the sandbox, and replies of other shapes than documented."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mixpanel_etl.client import CredentialError, InvalidRequest, Mixpanel, PlanError, ReplyError
from mixpanel_etl.client.http.regions import FAMILIES, url_of
from mixpanel_etl.sandbox import Project, Sandbox
from mixpanel_etl.settings import Settings

from .scripted import Answer, ScriptedServer

FIRST, LAST = date(2026, 1, 1), date(2026, 1, 3)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(projects=[Project(), Project(project_id=777, plan="free")]) as sandbox:
        sandbox.generate(300, FIRST, LAST)
        yield sandbox


@pytest.fixture
def connect(sandbox: Sandbox, tmp_path: Path) -> Iterator[Callable[..., Mixpanel]]:
    opened: list[Mixpanel] = []

    def connect_it(project_id: int | None = None, **overrides: Any) -> Mixpanel:
        variables = sandbox.environment(project_id)
        values: dict[str, Any] = {name.removeprefix("MIXPANEL_").lower(): value for name, value in variables.items()}
        values |= {"budget_url": str(tmp_path / "budget.sqlite"), **overrides}
        opened.append(Mixpanel(Settings(_env_file=None, **values)))
        return opened[-1]

    yield connect_it
    for mixpanel in opened:
        mixpanel.close()


def test_event_names_and_counts_agree_with_what_is_stored(sandbox: Sandbox, connect: Callable[..., Mixpanel]) -> None:
    mixpanel = connect()
    stored = sandbox.deduplicated(FIRST, LAST)
    names = mixpanel.query.event_names(from_date=FIRST, to_date=LAST)
    assert set(names) == {kept.event for kept in stored}
    counts = mixpanel.query.events(names, FIRST, LAST)
    assert counts.series == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert {name: sum(days.values()) for name, days in counts.values.items()} == {
        name: sum(kept.event == name for kept in stored) for name in names
    }


def test_an_export_of_the_sandbox_arrives_whole(sandbox: Sandbox, connect: Callable[..., Mixpanel]) -> None:
    with connect().export(FIRST, LAST) as stream:
        assert b"".join(stream).count(b"\n") == sandbox.count()
        assert 0 < stream.wire_bytes < 300 * 650


def test_me_is_whoever_the_credentials_belong_to(connect: Callable[..., Mixpanel]) -> None:
    me = connect().me()
    assert me.results
    assert me["results"] is me.results


def test_wrong_credentials_are_a_credential_error_on_every_api(connect: Callable[..., Mixpanel]) -> None:
    mixpanel = connect(service_account_secret="wrong")
    for call in (mixpanel.me, mixpanel.query.event_names):
        with pytest.raises(CredentialError):
            call()
    with pytest.raises(CredentialError), mixpanel.export(FIRST, LAST):
        pass


def test_a_plan_without_the_query_api_is_a_plan_error(connect: Callable[..., Mixpanel]) -> None:
    with pytest.raises(PlanError):
        connect(777).query.event_names()


def test_a_reply_keeps_what_its_type_does_not_name(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(
        Answer(200, b'{"data": {"series": [], "values": {}, "new": 1}, "legend_size": 0, "computed_at": "now"}')
    )
    counts = mixpanel.query.events(["a"], FIRST, LAST)
    assert counts.unknown == {"new": 1, "computed_at": "now"}
    assert counts["new"] == 1
    assert counts.get("absent", 2) == 2


@pytest.mark.parametrize(
    ("reply", "counts"),
    [
        (
            b'{"error": {"count": 5}, "plan": {"count": 9}, "status": {"count": 2}}',
            {"error": 5, "plan": 9, "status": 2},
        ),
        (b'{"error": 0.5, "message": 0.25, "status": 1.0}', {"error": 0.5, "message": 0.25, "status": 1.0}),
        (b'{"error": {"count": 5, "top_count": 3}, "results": {"count": 1}}', {"error": 5, "results": 1}),
    ],
)
def test_a_property_called_error_is_a_property(
    mixpanel: Mixpanel, server: ScriptedServer, reply: bytes, counts: dict[str, float]
) -> None:
    server.answers(Answer(body=reply))
    assert mixpanel.query.top_properties("Sign up") == counts


@pytest.mark.parametrize(
    "reply",
    [
        b'{"error": "no such event", "request": "/events"}',
        b'{"error": {"message": "no such event"}, "status": "error"}',
    ],
)
def test_an_error_beside_properties_is_still_an_error(mixpanel: Mixpanel, server: ScriptedServer, reply: bytes) -> None:
    server.answers(Answer(body=reply))
    with pytest.raises(ReplyError, match="no such event"):
        mixpanel.query.top_properties("Sign up")


def test_a_script_may_return_a_key_called_error(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(body=b'{"error": 3, "ok": 7}'))
    assert mixpanel.query.jql("function main() {}") == {"error": 3, "ok": 7}


def test_a_status_of_error_is_an_error_where_nothing_else_is_read(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(body=b'{"status": "error", "message": "not allowed"}'))
    with pytest.raises(ReplyError, match="not allowed"):
        mixpanel.annotations.delete_annotation(1)


def test_segments_may_be_called_steps_and_counts(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    step = b'[{"count": 3, "event": "Sign up"}]'
    server.answers(
        Answer(
            body=b'{"meta": {"dates": ["2026-01-01"]}, "data": {"2026-01-01": {"$overall": %b, "steps": %b}}}'
            % (step, step)
        )
    )
    day = mixpanel.query.funnels(7, FIRST, FIRST, on='properties["x"]').data["2026-01-01"]
    assert ([found.count for found in day.steps], list(day.segments)) == ([3], ["steps"])
    cohort = b'{"counts": [4, 2], "first": 4}'
    server.answers(Answer(body=b'{"2026-01-01": {"$overall": %b, "counts": %b}}' % (cohort, cohort)))
    found = mixpanel.query.retention(FIRST, LAST, born_event="Sign up", on='properties["x"]')["2026-01-01"]
    assert (found.first, list(found.segments)) == (4, ["counts"])


@pytest.mark.parametrize("body", [b"[]", b"null", b'{"data": {"series": 1, "values": {}}}', b'{"data": 5}'])
def test_a_reply_of_another_shape_is_an_error(mixpanel: Mixpanel, server: ScriptedServer, body: bytes) -> None:
    server.answers(Answer(200, body))
    with pytest.raises(ReplyError):
        mixpanel.query.events(["a"], FIRST, LAST)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"unit": "year"}, "minute, hour, day, week, month"),
        ({"type": "total"}, "general, unique, average"),
        ({"unit": "hour", "type": "unique"}, "by day or more"),
        ({"events": []}, "at least one"),
        ({"from_date": date(2026, 2, 1)}, "is after"),
    ],
)
def test_counts_that_cannot_be_had_are_rejected_before_anything_is_sent(
    mixpanel: Mixpanel, server: ScriptedServer, parameters: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says):
        mixpanel.query.events(**{"events": ["a"], "from_date": FIRST, "to_date": LAST, **parameters})
    assert server.seen == []


@pytest.mark.parametrize(
    ("parameters", "says"), [({"limit": 5001}, "1 to 5000"), ({"from_date": FIRST}, "both or none")]
)
def test_names_that_cannot_be_had_are_rejected_before_anything_is_sent(
    mixpanel: Mixpanel, server: ScriptedServer, parameters: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says):
        mixpanel.query.event_names(**parameters)
    assert server.seen == []


def test_the_data_view_is_named_when_there_is_one(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer
) -> None:
    server.answers(Answer(200, b"[]"))
    make_mixpanel(workspace_id=9).query.event_names()
    assert server.seen[0].query["workspace_id"] == ["9"]


@pytest.mark.parametrize(
    ("family", "region", "url"),
    [
        ("export", "us", "https://data.mixpanel.com/api/2.0/x"),
        ("export", "eu", "https://data-eu.mixpanel.com/api/2.0/x"),
        ("export", "in", "https://data-in.mixpanel.com/api/2.0/x"),
        ("query", "us", "https://mixpanel.com/api/query/x"),
        ("query", "eu", "https://eu.mixpanel.com/api/query/x"),
        ("query", "in", "https://in.mixpanel.com/api/query/x"),
        ("ingestion", "us", "https://api.mixpanel.com/x"),
        ("ingestion", "eu", "https://api-eu.mixpanel.com/x"),
        ("ingestion", "in", "https://api-in.mixpanel.com/x"),
        ("app", "in", "https://in.mixpanel.com/api/app/x"),
        ("flags", "eu", "https://api-eu.mixpanel.com/x"),
        ("pipelines", "in", "https://data-in.mixpanel.com/api/2.0/x"),
    ],
)
def test_each_api_family_has_a_host_in_each_region(family: Any, region: Any, url: str) -> None:
    assert url_of(family, "/x", region=region) == url


def test_a_base_url_takes_every_family_and_keeps_its_prefix() -> None:
    for family, home in FAMILIES.items():
        url = url_of(family, "/x", region="eu", base_url="http://127.0.0.1:8000")
        assert url == f"http://127.0.0.1:8000{home.prefix}/x"
