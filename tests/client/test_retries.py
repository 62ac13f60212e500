"""What is sent again, when, and what never is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, timedelta
from email.utils import format_datetime

import pytest

from mixpanel_etl.client import ConnectionFailed, IncompleteResponse, Mixpanel, MixpanelError, RateLimited, Wait
from mixpanel_etl.client.http.credentials import ServiceAccount
from mixpanel_etl.client.http.retries import ATTEMPTS
from mixpanel_etl.client.operations.operation import Operation, Request

from .scripted import NOW, Answer, FakeClock, ScriptedServer

DAY = date(2026, 3, 1)
OK = Answer(200, b'["a"]')
# In no budget, so that every sleep is one of a retry.
READ = Request(Operation("GET", "app", "/me", accepts=(ServiceAccount,)))
WRITE = Request(Operation("POST", "app", "/syncs", accepts=(ServiceAccount,), idempotent=False), body=b"{}")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again(
    mixpanel: Mixpanel, server: ScriptedServer, clock: FakeClock, status: int
) -> None:
    server.answers(Answer(status), Answer(status), OK)
    assert mixpanel.transport.json(READ) == ["a"]
    assert len(server.seen) == 3
    first, second = clock.slept
    assert 2 <= first <= 4 <= second <= 8


@pytest.mark.parametrize("status", [301, 400, 401, 402, 403, 404, 405, 409, 413, 501])
def test_a_failure_that_stays_is_not_tried_again(
    mixpanel: Mixpanel, server: ScriptedServer, clock: FakeClock, status: int
) -> None:
    server.answers(Answer(status))
    with pytest.raises(MixpanelError):
        mixpanel.transport.json(READ)
    assert len(server.seen) == 1
    assert clock.slept == []


def test_waits_grow_from_two_seconds_to_sixty_and_then_the_last_error_is_raised(
    mixpanel: Mixpanel, server: ScriptedServer, clock: FakeClock
) -> None:
    server.answers(Answer(503, b"down"))
    with pytest.raises(MixpanelError, match="down"):
        mixpanel.transport.json(READ)
    assert len(server.seen) == ATTEMPTS == len(clock.slept) + 1
    least, most = [2, 4, 8, 16, 30, 30, 30], [4, 8, 16, 32, 60, 60, 60]
    assert all(low <= slept <= high for low, slept, high in zip(least, clock.slept, most, strict=True))


def test_waits_have_jitter(mixpanel: Mixpanel, server: ScriptedServer, clock: FakeClock) -> None:
    server.answers(*[Answer(503), OK] * 5)
    for _ in range(5):
        mixpanel.transport.json(READ)
    assert len(set(clock.slept)) == 5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        # Dates count from the server's clock, regardless of ours.
        (format_datetime(NOW + timedelta(days=1, seconds=90), usegmt=True), 90),
        (format_datetime(NOW, usegmt=True), 0),
        ("999999", 3600),
    ],
)
def test_retry_after_is_honoured_in_both_forms_and_capped(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer, clock: FakeClock, value: str, seconds: int
) -> None:
    headers = {"Retry-After": value, "Date": format_datetime(NOW + timedelta(days=1), usegmt=True)}
    server.answers(Answer(429, headers=headers), Answer(503, headers=headers), OK)
    make_mixpanel(deadline=10_000).transport.json(READ)
    assert all(seconds <= slept <= seconds + 1 for slept in clock.slept)
    assert len(clock.slept) == 2


@pytest.mark.parametrize("value", ["soon", "-5", "1e3", ""])
def test_a_retry_after_that_makes_no_sense_is_ignored(
    mixpanel: Mixpanel, server: ScriptedServer, clock: FakeClock, value: str
) -> None:
    server.answers(Answer(429, headers={"Retry-After": value}), OK)
    mixpanel.transport.json(READ)
    assert 2 <= clock.slept[0] <= 4


def test_an_hour_that_others_used_up_is_not_hammered(
    mixpanel: Mixpanel, server: ScriptedServer, clock: FakeClock
) -> None:
    server.answers(
        Answer(429, b'{"error": "1/5 queries running concurrently and 61/60 queries running in the last hour"}'), OK
    )
    mixpanel.transport.json(READ)
    assert 60 <= clock.slept[0] <= 120


def test_no_attempt_begins_after_the_deadline(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer, clock: FakeClock
) -> None:
    server.answers(Answer(429, headers={"Retry-After": "30"}))
    with pytest.raises(RateLimited) as caught:
        make_mixpanel(deadline=100).transport.json(READ)
    assert len(server.seen) == 4  # at 0, 30, 60 and 90 seconds
    assert clock.elapsed < 100
    assert caught.value.retry_after == 30


def test_a_rejected_connection_is_tried_again(make_mixpanel: Callable[..., Mixpanel], clock: FakeClock) -> None:
    with pytest.raises(ConnectionFailed) as caught:
        make_mixpanel(base_url="http://127.0.0.1:9").transport.json(READ)
    assert len(clock.slept) == ATTEMPTS - 1
    assert not caught.value.may_have_arrived


def test_a_connection_that_breaks_before_the_answer_is_tried_again(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(body=None), OK)
    assert mixpanel.transport.json(READ) == ["a"]


def test_a_reply_that_is_cut_is_read_again(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(200, b'["a"', {"Content-Length": "5"}), OK)
    assert mixpanel.transport.json(READ) == ["a"]


def test_an_export_that_is_cut_is_not_asked_for_again_by_itself(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(200, b"x", {"Content-Length": "5"}), OK)
    with pytest.raises(IncompleteResponse), mixpanel.export(DAY, DAY) as stream:
        list(stream)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [Answer(503), Answer(body=None), Answer(200, b"{", {"Content-Length": "2"})],
    ids=["503", "closed without an answer", "cut reply"],
)
def test_a_request_that_is_not_idempotent_is_not_repeated_once_it_may_have_arrived(
    mixpanel: Mixpanel, server: ScriptedServer, answer: Answer
) -> None:
    server.answers(answer)
    with pytest.raises(MixpanelError):
        mixpanel.transport.json(WRITE)
    assert len(server.seen) == 1


def test_a_request_that_is_not_idempotent_is_repeated_after_a_429(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(429), OK)
    assert mixpanel.transport.json(WRITE) == ["a"]
    assert len(server.seen) == 2


def test_a_request_that_is_not_idempotent_is_repeated_when_no_one_was_reached(
    make_mixpanel: Callable[..., Mixpanel], clock: FakeClock
) -> None:
    with pytest.raises(ConnectionFailed):
        make_mixpanel(base_url="http://127.0.0.1:9").transport.json(WRITE)
    assert len(clock.slept) == ATTEMPTS - 1


def test_a_retry_of_more_than_a_few_seconds_is_logged_and_announced(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[Wait] = []
    server.answers(Answer(503, b"maintenance", {"Retry-After": "30"}), OK)
    make_mixpanel(on_wait=waits.append).transport.json(READ)
    (wait,) = waits
    assert wait.seconds is not None
    assert wait.until == NOW + timedelta(seconds=wait.seconds)
    assert "maintenance" in wait.reason
    (line,) = [record for record in caplog.records if record.name == "mixpanel_etl"]
    assert line.levelno == logging.INFO
    assert "maintenance" in line.getMessage()
    assert f"{wait.until:%H:%M:%S} UTC" in line.getMessage()
