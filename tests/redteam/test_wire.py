"""Replies that a connection, a proxy or a hostile server damages: only complete ones are accepted.

Each reply is written down byte by byte, and comes over a real socket.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixpanel_etl.client import Mixpanel, MixpanelError
from mixpanel_etl.client.http.credentials import ServiceAccount
from mixpanel_etl.client.operations.operation import Operation, Request
from mixpanel_etl.settings import Settings

from ..client.scripted import Answer, FakeClock, ScriptedServer

# In no budget, of which an hour would soon be used up.
EXPORT = Request(Operation("GET", "export", "/export", accepts=(ServiceAccount,)))
WRITE = Request(Operation("POST", "app", "/jobs", accepts=(ServiceAccount,), idempotent=False), body=b"{}")
QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
#: Lines of an export, perhaps none; the last one perhaps without its end.
BODIES = st.builds(
    lambda lines, end: b"\n".join(lines) + end,
    st.lists(st.sampled_from([b'{"event":"a"}', b'{"event":"bb","properties":{}}', b"[]", b"0"]), max_size=4),
    st.sampled_from([b"", b"\n"]),
)


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture(scope="module")
def mixpanel(server: ScriptedServer) -> Iterator[Mixpanel]:
    values = {"base_url": server.url, "project_id": 1, "service_account_username": "u", "service_account_secret": "s3"}
    with Mixpanel(Settings(_env_file=None, **values), clock=FakeClock().clock, deadline=1e9) as client:
        yield client


@st.composite
def replies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A whole reply on the wire, and the body that it carries."""
    body = draw(BODIES)
    headers = [b"Content-Type: text/plain"]
    sent = body
    if draw(st.booleans()):
        edge = draw(st.integers(0, len(body)))
        # Two members, so that a cut between them leaves a valid gzip.
        sent = gzip.compress(body[:edge]) + gzip.compress(body[edge:])
        headers.append(b"Content-Encoding: gzip")
    if draw(st.booleans()):
        zeros = draw(st.sampled_from([b"", b"0", b"0000"]))
        headers.append(b"Transfer-Encoding: chunked")
        size = draw(st.integers(1, 40))
        chunks = [sent[start : start + size] for start in range(0, len(sent), size)]
        extension = draw(st.sampled_from([b"", b";a=b"]))
        trailer = draw(st.sampled_from([b"", b"X-Sum: 1\r\n"]))
        sent = b"".join(b"%b%x%b\r\n%b\r\n" % (zeros, len(chunk), extension, chunk) for chunk in chunks)
        sent += zeros + b"0\r\n" + trailer + b"\r\n"
    else:
        headers.append(b"Content-Length: %b%d" % (draw(st.sampled_from([b"", b"00"])), len(sent)))
    headers = list(draw(st.permutations(headers)))
    if draw(st.booleans()):
        headers.append(b"Connection: close")
    head = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
    return head + b"HTTP/1.1 200 OK\r\n" + b"\r\n".join(headers) + b"\r\n\r\n" + sent, body


def exported(mixpanel: Mixpanel) -> bytes:
    with mixpanel.transport.stream(EXPORT) as stream:
        return b"".join(stream)


@QUICK
@given(replies())
def test_a_whole_reply_is_taken_as_it_is(
    server: ScriptedServer, mixpanel: Mixpanel, reply: tuple[bytes, bytes]
) -> None:
    wire, body = reply
    server.answers(Answer(raw=wire))
    assert exported(mixpanel) == body


@QUICK
@given(replies(), st.data())
def test_no_beginning_of_a_reply_is_taken_for_an_export(
    server: ScriptedServer, mixpanel: Mixpanel, reply: tuple[bytes, bytes], data: st.DataObject
) -> None:
    wire, _ = reply
    cut = data.draw(st.integers(0, len(wire) - 1))
    server.answers(Answer(raw=wire[:cut]))
    with pytest.raises(MixpanelError):
        exported(mixpanel)


def test_no_beginning_of_a_small_reply_is_taken_for_an_export(server: ScriptedServer, mixpanel: Mixpanel) -> None:
    sent = gzip.compress(b"[]\n", mtime=0) + gzip.compress(b"", mtime=0)
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    wire += b"00%x\r\n%b\r\n000\r\n\r\n" % (len(sent), sent)
    for cut in range(len(wire)):
        server.answers(Answer(raw=wire[:cut]))
        with pytest.raises(MixpanelError):
            exported(mixpanel)
    server.answers(Answer(raw=wire))
    assert exported(mixpanel) == b"[]\n"


@QUICK
@given(replies(), st.data())
def test_no_beginning_of_an_answer_to_a_write_is_taken_for_one_nor_for_a_rejection(
    server: ScriptedServer, mixpanel: Mixpanel, reply: tuple[bytes, bytes], data: st.DataObject
) -> None:
    wire, _ = reply
    cut = data.draw(st.integers(0, len(wire) - 1))
    server.answers(Answer(raw=wire[:cut]))
    asked = len(server.seen)
    with pytest.raises(MixpanelError) as caught:
        mixpanel.transport.done(WRITE)
    assert caught.value.may_have_arrived
    assert len(server.seen) == asked + 1


@QUICK
@given(replies(), st.binary(min_size=1, max_size=30))
def test_a_reply_with_something_behind_it_is_no_export(
    server: ScriptedServer, mixpanel: Mixpanel, reply: tuple[bytes, bytes], more: bytes
) -> None:
    wire, _ = reply
    server.answers(Answer(raw=wire + more))
    with pytest.raises(MixpanelError):
        exported(mixpanel)
