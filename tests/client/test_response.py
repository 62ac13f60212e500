"""A body is whole, or it is an error."""

from __future__ import annotations

import gzip
from datetime import date

import pytest

from mixpanel_etl.client import IncompleteResponse, Mixpanel, ReplyError

from .scripted import Answer, ScriptedServer

DAY = date(2026, 3, 1)
LINES = b'{"event":"a"}\n' * 5000
GZIP = {"Content-Encoding": "gzip"}


def chunked(*chunks: bytes, headers: str = "", end: bytes = b"0\r\n\r\n") -> Answer:
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n{headers}\r\n"
    return Answer(raw=head.encode() + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end)


def unframed(body: bytes, headers: str = "") -> Answer:
    return Answer(raw=f"HTTP/1.1 200 OK\r\nConnection: close\r\n{headers}\r\n".encode() + body)


def exported(mixpanel: Mixpanel) -> bytes:
    with mixpanel.export(DAY, DAY) as stream:
        return b"".join(stream)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, LINES),
        Answer(200, gzip.compress(LINES), GZIP),
        chunked(LINES[:7], LINES[7:]),
        chunked(gzip.compress(LINES), headers="Content-Encoding: gzip\r\n"),
        Answer(200, gzip.compress(LINES[:7]) + gzip.compress(LINES[7:]), GZIP),
    ],
    ids=["length", "length, gzip", "chunked", "chunked, gzip", "two gzip members"],
)
def test_a_whole_body_arrives(mixpanel: Mixpanel, server: ScriptedServer, answer: Answer) -> None:
    server.answers(answer)
    assert exported(mixpanel) == LINES


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, LINES, {"Content-Length": str(len(LINES) + 1)}),
        Answer(200, gzip.compress(LINES), {**GZIP, "Content-Length": "100000"}),
        Answer(200, gzip.compress(LINES)[:-1], GZIP),
        Answer(200, b"", GZIP),
        Answer(200, LINES, GZIP),
        chunked(LINES, end=b""),
        chunked(LINES, end=b"40\r\nabc"),
        chunked(gzip.compress(LINES), headers="Content-Encoding: gzip\r\n", end=b""),
        chunked(gzip.compress(LINES)[:-3], headers="Content-Encoding: gzip\r\n"),
        unframed(gzip.compress(LINES)[:-3], "Content-Encoding: gzip\r\n"),
        unframed(gzip.compress(LINES), "Content-Encoding: gzip\r\n"),
        unframed(LINES),
    ],
    ids=[
        "shorter than its length",
        "gzip whole, but shorter than its length",
        "gzip cut, length right",
        "gzip of nothing",
        "not gzip",
        "no last chunk",
        "cut in a chunk",
        "gzip whole, no last chunk",
        "gzip cut, chunks right",
        "gzip cut, no framing",
        "gzip that may lack its second member, no framing",
        "plain, no framing",
    ],
)
def test_a_body_that_may_have_been_cut_is_an_error(mixpanel: Mixpanel, server: ScriptedServer, answer: Answer) -> None:
    server.answers(answer)
    with pytest.raises(IncompleteResponse):
        exported(mixpanel)


def test_the_error_of_a_cut_body_names_the_endpoint(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(200, b"", GZIP))
    with pytest.raises(IncompleteResponse, match=r"GET /api/2\.0/export"):
        exported(mixpanel)


def test_an_encoding_that_was_not_asked_for_is_an_error(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(200, LINES, {"Content-Encoding": "br"}))
    with pytest.raises(ReplyError, match="br"):
        exported(mixpanel)


def test_the_connection_of_a_body_that_was_read_is_used_again(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(200, gzip.compress(LINES), {**GZIP, "Connection": "keep-alive"}))
    for _ in range(3):
        assert exported(mixpanel) == LINES
    assert server.connections == 1


def test_the_connection_of_a_body_that_was_left_unread_is_not_used_again(
    mixpanel: Mixpanel, server: ScriptedServer
) -> None:
    server.answers(Answer(200, LINES, {"Connection": "keep-alive"}))
    with mixpanel.export(DAY, DAY):
        pass
    assert exported(mixpanel) == LINES
    assert server.connections == 2
