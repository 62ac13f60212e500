"""Every way in which Mixpanel says no, as a type that says what to do."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import date

import pytest

from mixpanel_etl.client import (
    BadRequest,
    BudgetExhausted,
    ConnectionFailed,
    CredentialError,
    FailedRecord,
    FutureDate,
    Mixpanel,
    MixpanelError,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    PlanError,
    RateLimited,
    RecordsRejected,
    ReplyError,
    ReplyTooLarge,
    ServerError,
    Timeouts,
)
from mixpanel_etl.client.http.credentials import ServiceAccount
from mixpanel_etl.client.operations.operation import Operation, Request

from .scripted import NOW, Answer, ScriptedServer, gzipped

DAY = date(2026, 3, 1)


def failed_export(mixpanel: Mixpanel) -> MixpanelError:
    with pytest.raises(MixpanelError) as caught, mixpanel.export(DAY, DAY) as stream:
        list(stream)
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b"bad where", BadRequest),
        (400, b"to_date cannot be later than today", FutureDate),
        (400, b"Unable to authenticate request", CredentialError),
        (401, b"", CredentialError),
        (402, b"upgrade", PlanError),
        (403, b'{"request": "/", "error": "Date range exceeds 90 days into the past"}', PermissionDenied),
        (404, b"<html>", NotFound),
        (405, b"", BadRequest),
        (413, b"", PayloadTooLarge),
        (429, b"", RateLimited),
        (500, b'{"message": "error id 8c1"}', ServerError),
        (501, b"", ServerError),
        (502, b"<html>", ServerError),
        (503, b"", ServerError),
        (504, b"", ServerError),
    ],
)
def test_each_status_has_its_kind_with_endpoint_status_and_advice(
    mixpanel: Mixpanel, server: ScriptedServer, status: int, body: bytes, kind: type[MixpanelError]
) -> None:
    server.answers(Answer(status, body))
    error = failed_export(mixpanel)
    assert type(error) is kind
    assert error.status == status
    assert str(error).startswith(f"GET /api/2.0/export: {status} ")
    assert error.advice
    assert error.advice in str(error)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"code": 400, "error": "no rows", "status": "Bad Request", "num_records_imported": 0}', "no rows"),
        (b'{"status": 0, "error": "data, missing"}', "data, missing"),
        (b'{"status": "error", "error": "no such tag"}', "no such tag"),
        (b'{"status": "error", "type": "x", "error": {"message": "flag key taken"}}', "flag key taken"),
        (b'{"request": "/api/query/events", "error": "unit: bad"}', "unit: bad"),
        (b'{"message": "error id 8c1"}', "error id ***"),
        (
            b'{"status":"error","error":"Invalid parameter","error_code":"INVALID_PARAM",'
            b'"details":{"parameter":"from_date","message":"Must be in YYYY-MM-DD format"}}',
            "Invalid parameter (from_date: Must be in YYYY-MM-DD format)",
        ),
        (b"plain text\nin lines", "plain text in lines"),
        (b'["a", 1]', "no explanation that can be repeated (8 bytes)"),
        (b"0", "no explanation that can be repeated (1 bytes)"),
        (b"\xff\xfe", "no explanation that can be repeated (2 bytes)"),
        (b"", "no explanation"),
    ],
)
def test_every_shape_of_an_error_body_yields_what_mixpanel_said(
    mixpanel: Mixpanel, server: ScriptedServer, body: bytes, said: str
) -> None:
    server.answers(Answer(400, body))
    assert failed_export(mixpanel).message == said


def test_a_compressed_error_body_is_read_too(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    answer = gzipped(b'{"error": "no such event"}')
    server.answers(Answer(400, answer.body, answer.headers))
    assert failed_export(mixpanel).message == "no such event"


def test_a_long_body_is_cut_to_a_few_hundred_characters(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(400, b"<p>" + b"x" * 1_000_000))
    assert len(str(failed_export(mixpanel))) < 700


def test_a_200_that_carries_an_error_is_an_error(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(200, b'{"status": "error", "error": "bookmark not found"}'))
    with pytest.raises(ReplyError, match="bookmark not found"):
        mixpanel.query.event_names()


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"", b'["cut'])
def test_a_200_that_is_no_json_is_an_error(mixpanel: Mixpanel, server: ScriptedServer, body: bytes) -> None:
    server.answers(Answer(200, body))
    with pytest.raises(ReplyError, match="not JSON"):
        mixpanel.query.event_names()


def test_an_hourly_429_is_told_from_too_many_at_a_time(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    text = (
        b"Query rate limit exceeded for project_id: 1. %b/5 queries running concurrently and "
        b"%b/60 queries running in the last hour."
    )
    server.answers(Answer(429, text % (b"1", b"61")))
    error = failed_export(mixpanel)
    assert isinstance(error, RateLimited)
    assert error.hourly
    server.answers(Answer(429, text % (b"6", b"12")))
    error = failed_export(mixpanel)
    assert isinstance(error, RateLimited)
    assert not error.hourly


def test_a_redirect_is_not_followed_and_names_the_other_host(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(302, b"", {"Location": "https://elsewhere.example/login?next=/x"}))
    error = failed_export(mixpanel)
    assert isinstance(error, ReplyError)
    assert "elsewhere.example" in str(error)
    assert len(server.seen) == 1


def test_no_one_listening_is_a_failed_connection(make_mixpanel: Callable[..., Mixpanel]) -> None:
    error = failed_export(make_mixpanel(base_url="http://127.0.0.1:9"))
    assert isinstance(error, ConnectionFailed)
    assert "Connection refused" in str(error)
    assert "MIXPANEL_BASE_URL" in str(error)


def test_a_server_that_stays_silent_is_a_failed_connection(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer
) -> None:
    server.hold()
    error = failed_export(make_mixpanel(timeouts=Timeouts(connect=1, read=0.05)))
    assert isinstance(error, ConnectionFailed)
    assert "timed out" in str(error)


def test_advice_names_the_variables_of_the_project_at_fault(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer
) -> None:
    server.answers(Answer(401, b"no"))
    error = failed_export(make_mixpanel(_env_prefix="MIXPANEL_EU_"))
    assert "MIXPANEL_EU_REGION" in str(error)


def test_an_error_survives_the_way_to_another_process() -> None:
    error = BudgetExhausted("used up", endpoint="GET /x", advice="Wait.", free_at=NOW)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.free_at, copy.args) == (str(error), NOW, error.args)


@pytest.mark.parametrize(
    "error",
    [
        BudgetExhausted("used up", endpoint="GET /x", free_at=NOW),
        RateLimited("too many", retry_after=7.0, hourly=True),
        ReplyTooLarge("large", setting="MIXPANEL_MAX_REPLY_BYTES", may_have_arrived=False),
        RecordsRejected("some", status=400, failed_records=[FailedRecord(3, "bad")], imported=2, unplaced=["x"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_changed_error_is_of_the_same_kind_and_keeps_the_rest(error: MixpanelError) -> None:
    changed = error.replace(advice="Do this.")
    assert type(changed) is type(error)
    assert vars(changed) == {**vars(error), "advice": "Do this."}
    assert changed is not error


def test_a_changed_error_keeps_its_traceback(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(400, b"bad where"))
    error = failed_export(mixpanel)
    assert error.replace(advice="").__traceback__ is error.__traceback__


def test_a_value_in_a_path_cannot_leave_its_place(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    operation = Operation("GET", "app", "/projects/{project}/schemas/{name}", accepts=(ServiceAccount,))
    request = Request(operation, path={"project": 1, "name": "a/../b?c"})
    assert request.filled_path == "/projects/1/schemas/a%2F..%2Fb%3Fc"
