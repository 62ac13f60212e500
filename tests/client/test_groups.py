"""What belongs to one group only: secrets that must not show, pages, links, expressions, numbers of the settings."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mixpanel_etl.client import (
    AwsPipeline,
    BadRequest,
    BigQueryPipeline,
    BudgetExhausted,
    InvalidRequest,
    Mixpanel,
    MixpanelError,
    NotFound,
    Pipeline,
    Reply,
    ReplyError,
    S3RawPipeline,
    Schema,
    SchemaProperty,
)
from mixpanel_etl.client.operations.replies import typed
from mixpanel_etl.timestamps import from_epoch

from .examples import EXAMPLES
from .examples.example import FIRST, LAST
from .examples.query import all_profiles
from .examples.warehouses import PIPELINES, SECRET
from .scripted import Answer, ScriptedServer

Make = Callable[..., Mixpanel]


def page_of(size: int, **more: Any) -> Answer:
    results = [{"$distinct_id": str(n), "$properties": {}} for n in range(size)]
    return Answer(200, json.dumps({"results": results, "page_size": 3, "total": 3, **more}).encode())


def test_pages_go_on_with_the_newest_session_and_the_same_query(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(page_of(3, session_id="s0"), page_of(3, session_id="s1"), page_of(1))
    assert len(all_profiles(mixpanel, where='user["a"] == 1', output_properties=["b"])) == 7
    query = b"where=user%5B%22a%22%5D+%3D%3D+1&output_properties=%5B%22b%22%5D"
    assert [seen.body for seen in server.seen] == [
        query,
        query + b"&session_id=s0&page=1",
        query + b"&session_id=s1&page=2",
    ]


def test_a_full_page_without_a_session_is_an_error_and_no_end(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(page_of(3))
    with pytest.raises(ReplyError, match=r"after page 0 \(a full page\) there is no session_id"):
        all_profiles(mixpanel)


def test_each_page_is_a_request_of_the_hour(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(page_of(3, session_id="s"), page_of(0))
    all_profiles(mixpanel)
    assert mixpanel.budget("query").used == 2


def test_a_script_is_counted_among_scripts_and_among_queries(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(200, b"[]"))
    mixpanel.query.jql("function main() { return [] }")
    assert (mixpanel.budget("jql").used, mixpanel.budget("query").used) == (1, 1)


def test_the_101st_replacement_of_lookup_tables_waits_for_tomorrow(make_mixpanel: Make, server: ScriptedServer) -> None:
    mixpanel = make_mixpanel(deadline=3600)
    server.answers(*[Answer(200, b'{"code": 200, "status": "OK"}')] * 100)
    for _ in range(100):
        EXAMPLES["ingestion.replace_lookup_table"].call(mixpanel)
    with pytest.raises(BudgetExhausted, match="100 requests a day"):
        EXAMPLES["ingestion.replace_lookup_table"].call(mixpanel)
    assert len(server.seen) == 100


def test_items_of_the_lexicon_are_counted_by_the_minute(mixpanel: Mixpanel, server: ScriptedServer, clock: Any) -> None:
    schema = Schema(properties={f"p{n}": SchemaProperty(type="string") for n in range(2500)})
    mixpanel.lexicon.create_schema("event", "a", schema)
    assert clock.slept == []
    mixpanel.lexicon.create_schema("event", "b", schema)
    assert sum(clock.slept) >= 60


@pytest.mark.parametrize("name", ["export", "query.segmentation", "query.engage", "pipelines.create"])
def test_what_is_no_expression_is_rejected_where_it_is_wrong(
    mixpanel: Mixpanel, server: ScriptedServer, name: str
) -> None:
    bad = 'properties["plan" == 1'
    calls: dict[str, Callable[[], Any]] = {
        "export": lambda: mixpanel.export(FIRST, LAST, where=bad).__enter__(),
        "query.segmentation": lambda: mixpanel.query.segmentation("a", FIRST, LAST, on=bad),
        "query.engage": lambda: mixpanel.query.engage(where=bad),
        "pipelines.create": lambda: mixpanel.pipelines.create(replace(PIPELINES[0], where=bad)),
    }
    with pytest.raises(InvalidRequest, match=r"(where|on) is not a segmentation expression: .* at position 19: .*>>>"):
        calls[name]()
    assert server.seen == []


@pytest.mark.parametrize("status", [400, 401, 500, 200])
@pytest.mark.parametrize("pipeline", [PIPELINES[2], PIPELINES[4]], ids=["azure", "snowflake"])
def test_a_vendors_secret_is_in_the_request_and_in_no_message(
    mixpanel: Mixpanel, server: ScriptedServer, caplog: pytest.LogCaptureFixture, status: int, pipeline: Pipeline
) -> None:
    secret = SECRET.get_secret_value()
    server.answers(Answer(status, json.dumps({"error": f"wrong: {secret}, pass+word%2F1, pass%20word%2F1"}).encode()))
    with pytest.raises(MixpanelError, match=r"wrong: \*\*\*, \*\*\*, \*\*\*") as caught:
        mixpanel.pipelines.create(pipeline)
    assert b"pass+word%2F1" in server.seen[0].body
    for text in (repr(pipeline), repr(caught.value.__dict__), caplog.text):
        assert secret not in text


@pytest.mark.parametrize(
    ("pipeline", "says"),
    [
        (S3RawPipeline(s3_bucket="b", s3_region="eu-west-1", s3_role="r"), "from_date is missing"),
        (replace(PIPELINES[1], from_date=date(2025, 9, 1)), "more than six months ago"),
        (replace(PIPELINES[1], to_date=date(2026, 3, 11), frequency="daily"), "frequency and to_date"),
        (replace(PIPELINES[1], s3_region="us-east-9"), "s3_region is 'us-east-9'"),  # type: ignore[call-arg]
        (replace(PIPELINES[1], s3_bucket=""), "s3_bucket is ''"),  # type: ignore[call-arg]
        (replace(PIPELINES[3], data_source="people", events=["a"]), "drop them"),  # type: ignore[call-arg]
        (AwsPipeline(from_date=FIRST, s3_bucket="b", s3_region="eu-west-1", s3_role="r", use_glue=True), "Give both"),
    ],
)
def test_a_pipeline_that_cannot_work_is_rejected(mixpanel: Mixpanel, pipeline: Pipeline, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        mixpanel.pipelines.create(pipeline)


def test_a_trial_needs_no_date(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(200, b'{"pipeline_names": ["trial-events", "trial-people"]}'))
    trial = BigQueryPipeline(trial=True, bq_region="US", gcp_project="p", bq_dataset_name="d")
    assert len(mixpanel.pipelines.create(trial).pipeline_names) == 2
    assert b"trial=true" in server.seen[0].body


@pytest.mark.parametrize(
    "reply",
    [
        b'{"results": {"id": "not a number", "token": "sa_secret_1"}, "status": "ok"}',
        b'{"results": {"id": 1, "token": ["sa_secret_1"]}, "status": "ok"}',
        b'{"results": {"id": 1, "token": "sa_secret_1"}, "status": "ok"',
        b'{"results": {"id": 1, "token": "sa_secret_1"}, "error": {"token": "sa_secret_1"}}',
    ],
)
def test_the_secret_of_a_new_account_is_in_no_message_even_if_the_reply_is_odd(
    make_mixpanel: Make, server: ScriptedServer, caplog: pytest.LogCaptureFixture, reply: bytes
) -> None:
    server.answers(Answer(201, reply))
    with pytest.raises(ReplyError) as caught:
        make_mixpanel().service_accounts.create_service_account(9, "api")
    assert "sa_secret_1" not in repr(caught.value.__dict__) + str(caught.value) + caplog.text


def test_a_new_accounts_secret_is_masked_wherever_the_account_is_shown(
    mixpanel: Mixpanel, server: ScriptedServer
) -> None:
    server.answers(Answer(201, b'{"results": {"id": 1, "username": "api", "token": "sa_secret_1"}}'))
    made = mixpanel.service_accounts.create_service_account(9, "api")
    for text in (repr(made), str(made), f"{made.token}", repr(copy.copy(made))):
        assert "sa_secret_1" not in text
    assert made.token.get_secret_value() == "sa_secret_1"


@pytest.mark.parametrize("status", [200, 403])
def test_a_download_gets_no_credentials_and_shows_no_link(
    *,
    make_mixpanel: Make,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    mixpanel = make_mixpanel(project_token="t-1", oauth_token="o-1")
    server.answers(Answer(status, b"the-archive?X-Signature=abc123"))
    link = f"{server.url}/files/archive.zip?X-Signature=abc123"
    shown = ""
    if status == 200:
        with mixpanel.gdpr.download(link) as stream:
            assert b"".join(stream) == b"the-archive?X-Signature=abc123"
    else:
        with pytest.raises(MixpanelError) as caught, mixpanel.gdpr.download(link):
            pass
        shown = str(caught.value) + repr(caught.value.__dict__)
    (seen,) = server.seen
    assert "Authorization" not in seen.headers
    ours = [record.getMessage() for record in caplog.records if record.name == "mixpanel_etl"]
    assert "abc123" not in shown + "".join(ours)


@pytest.mark.parametrize("link", ["http://storage.example.com/x", "file:///etc/passwd", ""])
def test_a_download_is_encrypted(mixpanel: Mixpanel, link: str) -> None:
    with pytest.raises(InvalidRequest, match="not an https URL"), mixpanel.gdpr.download(link):
        pass


def test_a_started_deletion_says_that_it_is_too_late(make_mixpanel: Make, server: ScriptedServer) -> None:
    server.answers(Answer(405, b'{"status": "error", "error": "Method Not Allowed"}'))
    mixpanel = make_mixpanel(project_token="t-1", oauth_token="o-1")
    with pytest.raises(BadRequest, match="can't be cancelled any more"):
        mixpanel.gdpr.cancel_deletion("job")


@pytest.mark.parametrize("name", ["feature_flags.list_flags", "experiments.list_experiments"])
def test_a_missing_workspace_is_named(mixpanel: Mixpanel, server: ScriptedServer, name: str) -> None:
    with pytest.raises(InvalidRequest, match="Set MIXPANEL_WORKSPACE_ID"):
        EXAMPLES[name].call(mixpanel)
    assert server.seen == []


def test_an_error_that_arrives_with_a_200_is_an_error(make_mixpanel: Make, server: ScriptedServer) -> None:
    server.answers(Answer(200, b'{"status": "error", "type": "NotFound", "error": {"message": "no such flag"}}'))
    with pytest.raises(ReplyError, match="no such flag"):
        make_mixpanel(workspace_id=1).feature_flags.delete_flag("x")


def test_a_name_with_a_slash_is_one_part_of_the_path(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(404, b'{"error": "no"}'))
    with pytest.raises(NotFound):
        mixpanel.lexicon.get_schema("event", "a/b?c#d")
    assert server.seen[0].path == "/api/app/projects/12345/schemas/event/a%2Fb%3Fc%23d"


class _Inner(Reply, frozen=True, kw_only=True):
    a: int = 0


class _Outer(Reply, frozen=True, kw_only=True):
    one: _Inner | None = None
    many: dict[str, list[_Inner]] = msgspec.field(default_factory=dict)


def test_unknown_fields_are_kept_at_every_depth() -> None:
    reply = {"one": {"a": 1, "b": 2}, "many": {"x": [{"c": 3}]}, "unknown": 4, "d": [5]}
    outer = typed(reply, _Outer)
    assert outer.one
    assert (outer.one.a, outer.one["b"]) == (1, 2)
    assert outer.many["x"][0].unknown == {"c": 3}
    assert outer.unknown == {"unknown": 4, "d": [5]}


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_a_timestamp_is_read_in_every_unit(unit: int) -> None:
    assert from_epoch(1_768_003_200 * unit) == datetime(2026, 1, 10, tzinfo=UTC)


def test_nothing_of_a_request_with_secrets_is_logged(
    make_mixpanel: Make, server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers(Answer(200, b'{"status": 1}'))
    mixpanel = make_mixpanel(project_token="the-project-token")
    EXAMPLES["ingestion.track"].call(mixpanel)
    EXAMPLES["identity.create_alias"].call(mixpanel)
    assert "the-project-token" not in caplog.text
