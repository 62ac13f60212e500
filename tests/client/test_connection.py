"""A server can take no more time than it is given, and no more memory, and a body ends only where it says so."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
from collections.abc import Callable
from datetime import date

import pytest

from mixpanel_etl.client import (
    Clock,
    ConnectionFailed,
    DeadlineExceeded,
    IncompleteResponse,
    Mixpanel,
    MixpanelError,
    NotFound,
    RateLimited,
    ReplyError,
    ReplyTooLarge,
    Timeouts,
)
from mixpanel_etl.client.http.connection import RATE_SECONDS
from mixpanel_etl.client.http.credentials import ServiceAccount
from mixpanel_etl.client.operations.operation import Operation, Request

from .scripted import Answer, FakeClock, ScriptedServer, gzipped

DAY = date(2026, 3, 1)
LINE = b'{"event":"a","properties":{"time":1}}\n'
READ = Request(Operation("GET", "app", "/me", accepts=(ServiceAccount,)))
WRITE = Request(Operation("POST", "app", "/jobs", accepts=(ServiceAccount,), idempotent=False), body=b"{}")
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

Make = Callable[..., Mixpanel]


def exported(mixpanel: Mixpanel) -> bytes:
    with mixpanel.export(DAY, DAY) as stream:
        return b"".join(stream)


BEFORE_THE_BODY = {
    "100 Continue": Answer(raw=b"", drip=b"HTTP/1.1 100 Continue\r\n\r\n"),
    "status line": Answer(raw=b"HTTP/1.1 200 ", drip=b"O"),
    "headers": Answer(raw=HEAD, drip=b"X-A: b\r\n"),
    "one header": Answer(raw=HEAD + b"X-A: ", drip=b"b"),
}
IN_THE_BODY = {
    "body": Answer(raw=HEAD + b"Content-Length: 100000\r\n\r\n", drip=b"x"),
    "chunks": Answer(raw=CHUNKED, drip=b"1\r\nx\r\n"),
    "size of a chunk": Answer(raw=CHUNKED, drip=b"0"),
    "extension of a chunk": Answer(raw=CHUNKED + b"5;", drip=b"x"),
    "trailers": Answer(raw=CHUNKED + b"0\r\n", drip=b"X-A: b\r\n"),
}
TRICKLES = {**BEFORE_THE_BODY, **IN_THE_BODY}


class TestDeadline:
    @pytest.mark.parametrize("answer", TRICKLES.values(), ids=TRICKLES)
    def test_the_deadline_bounds_a_server_that_sends_a_byte_now_and_then(
        self, make_mixpanel: Make, server: ScriptedServer, answer: Answer
    ) -> None:
        server.answers(answer)
        with pytest.raises(DeadlineExceeded) as caught:
            make_mixpanel(clock=Clock(), deadline=0.3).transport.json(WRITE)
        assert caught.value.may_have_arrived
        assert len(server.seen) == 1

    @pytest.mark.parametrize("answer", BEFORE_THE_BODY.values(), ids=BEFORE_THE_BODY)
    def test_an_export_has_the_deadline_until_its_body_begins(
        self, make_mixpanel: Make, server: ScriptedServer, answer: Answer
    ) -> None:
        server.answers(answer)
        with pytest.raises(DeadlineExceeded):
            exported(make_mixpanel(clock=Clock(), deadline=0.3))

    def test_items_of_a_stream_have_the_deadline_too(self, make_mixpanel: Make, server: ScriptedServer) -> None:
        server.answers(IN_THE_BODY["chunks"])
        with pytest.raises(DeadlineExceeded):
            list(make_mixpanel(clock=Clock(), deadline=0.3).query.jql_items("function main() {}"))

    @pytest.mark.parametrize(("status", "kind"), [(404, NotFound), (429, RateLimited)])
    def test_the_body_of_an_error_is_not_waited_for(
        self, make_mixpanel: Make, server: ScriptedServer, status: int, kind: type[MixpanelError]
    ) -> None:
        server.answers(Answer(raw=f"HTTP/1.1 {status} No\r\nContent-Length: 90000\r\n\r\n".encode(), drip=b"x"))
        with pytest.raises(kind) as caught:
            make_mixpanel(clock=Clock(), deadline=0.3).transport.json(WRITE)
        assert not caught.value.may_have_arrived

    def test_a_server_that_does_not_read_is_given_up_by_the_deadline(
        self, make_mixpanel: Make, server: ScriptedServer
    ) -> None:
        server.reads = False
        request = Request(WRITE.operation, body=b"x" * (32 << 20))
        with pytest.raises(DeadlineExceeded) as caught:
            make_mixpanel(clock=Clock(), deadline=0.3).transport.json(request)
        assert caught.value.may_have_arrived


class TestRate:
    @pytest.fixture
    def slow(self, make_mixpanel: Make) -> Callable[[float], Mixpanel]:
        """A client on whose clock each look takes a minute."""
        looks = itertools.count()
        clock = Clock(sleep=lambda _: None, monotonic=lambda: 60.0 * next(looks), now=FakeClock().now)
        return lambda rate: make_mixpanel(clock=clock, deadline=1e6, export_min_rate=rate)

    @pytest.mark.parametrize("drip", [b"x", b"1\r\nx\r\n"], ids=["body", "chunks"])
    def test_an_export_that_is_slower_than_its_least_rate_is_given_up(
        self, slow: Callable[[float], Mixpanel], server: ScriptedServer, drip: bytes
    ) -> None:
        framing = b"Content-Length: 100000\r\n\r\n" if drip == b"x" else b"Transfer-Encoding: chunked\r\n\r\n"
        server.answers(Answer(raw=HEAD + framing, drip=drip))
        with pytest.raises(IncompleteResponse, match="less than 100 a second") as caught:
            exported(slow(100))
        assert "MIXPANEL_EXPORT_MIN_RATE" in caught.value.advice
        assert RATE_SECONDS > 60

    def test_an_export_may_take_longer_than_the_deadline(
        self, make_mixpanel: Make, server: ScriptedServer, clock: FakeClock
    ) -> None:
        server.answers(Answer(body=LINE * 20_000))
        with make_mixpanel(deadline=10).export(DAY, DAY) as stream:
            for _ in stream:
                clock.elapsed += 1000  # the reader's time, not the server's
        assert stream.wire_bytes == 20_000 * len(LINE)


@pytest.mark.slow
class TestMemory:
    def test_a_line_longer_than_the_longest_is_told_and_not_held(
        self, make_mixpanel: Make, server: ScriptedServer
    ) -> None:
        bomb = gzip.compress(b'{"event":"' + bytes(256 << 20), 1)
        server.answers(Answer(body=bomb, headers={"Content-Encoding": "gzip"}))
        mixpanel = make_mixpanel(max_line_bytes=16 << 20)
        tracemalloc.start()
        with pytest.raises(ReplyTooLarge, match="a line is longer than 16,777,216 bytes") as caught:
            exported(mixpanel)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "MIXPANEL_MAX_LINE_BYTES" in caught.value.advice
        assert peak < 48 << 20
        assert not caught.value.retryable

    def test_a_line_as_long_as_the_longest_arrives(self, make_mixpanel: Make, server: ScriptedServer) -> None:
        lines = b"x" * 100_000 + b"\n" + b"y" * 100_000
        mixpanel = make_mixpanel(max_line_bytes=100_000)
        server.answers(gzipped(lines), Answer(body=lines), Answer(body=b"z" + lines), Answer(body=lines + b"z"))
        assert exported(mixpanel) == exported(mixpanel) == lines
        for _ in range(2):
            with pytest.raises(ReplyTooLarge):
                exported(mixpanel)

    def test_a_reply_larger_than_the_largest_is_told_and_not_held(
        self, make_mixpanel: Make, server: ScriptedServer
    ) -> None:
        server.answers(gzipped(b'["' + bytes(64 << 20) + b'"]'))
        with pytest.raises(ReplyTooLarge, match="MIXPANEL_MAX_REPLY_BYTES"):
            make_mixpanel(max_reply_bytes=1 << 20).transport.json(READ)
        assert len(server.seen) == 1

    def test_an_item_longer_than_the_longest_is_told_and_not_held(
        self, make_mixpanel: Make, server: ScriptedServer
    ) -> None:
        server.answers(gzipped(b'[{"a":1},["' + b"x" * (64 << 20) + b'"]]'))
        found = make_mixpanel(max_line_bytes=1 << 20).query.jql_items("function main() {}")
        assert next(found) == {"a": 1}
        with pytest.raises(ReplyTooLarge):
            next(found)

    @pytest.mark.parametrize("status", [400, 404, 500])
    def test_of_an_error_no_more_than_its_beginning_is_read(
        self, mixpanel: Mixpanel, server: ScriptedServer, status: int
    ) -> None:
        server.answers(Answer(status, gzip.compress(bytes(512 << 20), 1), {"Content-Encoding": "gzip"}))
        tracemalloc.start()
        with pytest.raises(MixpanelError):
            mixpanel.transport.json(WRITE)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 32 << 20

    def test_nesting_without_end_is_no_json_and_no_crash(self, mixpanel: Mixpanel, server: ScriptedServer) -> None:
        server.answers(Answer(body=b"[" * 100_000))
        with pytest.raises(ReplyError):
            mixpanel.transport.json(READ)


class TestStatus:
    @pytest.mark.parametrize("status", [201, 202, 203, 204, 205, 206])
    def test_only_a_200_is_an_export(self, mixpanel: Mixpanel, server: ScriptedServer, status: int) -> None:
        server.answers(Answer(status, LINE))
        with pytest.raises(ReplyError, match="with a 200 only"):
            exported(mixpanel)
        assert len(server.seen) == 1

    @pytest.mark.parametrize("status", [201, 202, 203, 204, 205, 206])
    def test_only_a_200_answers_a_question(self, mixpanel: Mixpanel, server: ScriptedServer, status: int) -> None:
        server.answers(Answer(status, b"[]"))
        with pytest.raises(ReplyError):
            mixpanel.transport.json(READ)
        with pytest.raises(ReplyError):
            mixpanel.query.list_cohorts()

    @pytest.mark.parametrize("status", [200, 201, 202])
    def test_what_was_written_is_answered_by_any_success(
        self, mixpanel: Mixpanel, server: ScriptedServer, status: int
    ) -> None:
        server.answers(Answer(status, b"[1]"))
        assert mixpanel.transport.json(WRITE) == [1]

    @pytest.mark.parametrize("status", [203, 205, 206])
    def test_a_strange_success_of_a_write_may_have_arrived(
        self, mixpanel: Mixpanel, server: ScriptedServer, status: int
    ) -> None:
        server.answers(Answer(status, b"[1]"))
        with pytest.raises(ReplyError) as caught:
            mixpanel.transport.json(WRITE)
        assert caught.value.may_have_arrived
        assert len(server.seen) == 1

    @pytest.mark.parametrize("body", [b"", b"   ", b'{"a":'], ids=["empty", "blank", "cut"])
    def test_an_empty_200_is_no_reply(self, mixpanel: Mixpanel, server: ScriptedServer, body: bytes) -> None:
        server.answers(Answer(200, body))
        with pytest.raises(ReplyError):
            mixpanel.transport.json(READ)


class TestFraming:
    @pytest.mark.parametrize(
        "headers",
        [
            b"",
            b"Content-Length: \r\n",
            b"Content-Length: 38x\r\n",
            b"Content-Length: +38\r\n",
            b"Content-Length: -38\r\n",
            b"Content-Length: 3_8\r\n",
            b"Content-Length: 0x26\r\n",
            b"Content-Length: 38, 39\r\n",
            b"Content-Length: 38\r\nContent-Length: 40\r\n",
            b"Transfer-Encoding: identity\r\n",
            b"Transfer-Encoding: identity\r\nContent-Length: 38\r\n",
            b"Transfer-Encoding: gzip\r\n",
            b"Transfer-Encoding: xchunked\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 38\r\n",
        ],
    )
    def test_a_body_without_credible_framing_is_an_error(
        self, mixpanel: Mixpanel, server: ScriptedServer, headers: bytes
    ) -> None:
        for body, encoding in ((LINE, b""), (gzip.compress(LINE), b"Content-Encoding: gzip\r\n")):
            server.answers(Answer(raw=HEAD + encoding + headers + b"\r\n" + body))
            with pytest.raises(IncompleteResponse):
                exported(mixpanel)
            server.answers(Answer(raw=HEAD + encoding + headers + b"\r\n" + b"[]"))
            with pytest.raises(MixpanelError):
                mixpanel.transport.json(WRITE)

    @pytest.mark.parametrize("body", [LINE + LINE, LINE + b"\n"], ids=["a line", "a byte"])
    @pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
    def test_a_body_that_is_longer_than_its_length_is_an_error(
        self, mixpanel: Mixpanel, server: ScriptedServer, body: bytes, connection: bytes
    ) -> None:
        head = HEAD + b"Connection: " + connection + b"\r\nContent-Length: %d\r\n\r\n" % len(LINE)
        server.answers(Answer(raw=head + body))
        with pytest.raises(IncompleteResponse, match="longer than its framing"):
            exported(mixpanel)

    @pytest.mark.parametrize(
        "wire",
        [
            b"000",
            b"0",
            b"0\r\n",
            b"0\r\n\r",
            b"0\r\nX-Trailer: a\r\n",
            b"%x\r\n" % len(LINE) + LINE + b"\r\n00",
            b"%x\r\n" % len(LINE) + LINE + b"\r\n0000",
            b"%x\r\n" % len(LINE) + LINE + b"xx0\r\n\r\n",
            b"+%x\r\n" % len(LINE) + LINE + b"\r\n0\r\n\r\n",
            b"0x%x\r\n" % len(LINE) + LINE + b"\r\n0\r\n\r\n",
            b"-1\r\n\r\n0\r\n\r\n",
            b"\r\n0\r\n\r\n",
            b"%x\r\n" % len(LINE) + LINE + LINE + b"\r\n0\r\n\r\n",
        ],
    )
    def test_chunks_that_are_damaged_or_cut_are_an_error(
        self, mixpanel: Mixpanel, server: ScriptedServer, wire: bytes
    ) -> None:
        server.answers(Answer(raw=CHUNKED + wire))
        with pytest.raises(IncompleteResponse):
            exported(mixpanel)

    @pytest.mark.parametrize(
        "raw",
        [
            HEAD + b"Content-Length: %d, %d\r\n\r\n" % (len(LINE), len(LINE)) + LINE,
            HEAD + b"Content-Length: 000%d\r\n\r\n" % len(LINE) + LINE,
            b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LINE) + LINE,
            HEAD + b"transfer-encoding: Chunked\r\n\r\n000%x ;a=b\r\n" % len(LINE) + LINE + b"\r\n00\r\nX: y\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % len(LINE) + LINE,
        ],
    )
    def test_unusual_framing_that_is_whole_is_read(
        self, mixpanel: Mixpanel, server: ScriptedServer, raw: bytes
    ) -> None:
        server.answers(Answer(raw=raw))
        assert exported(mixpanel) == LINE

    def test_headers_that_are_cut_are_no_reply(self, mixpanel: Mixpanel, server: ScriptedServer) -> None:
        server.answers(Answer(raw=HEAD + b"Content-Length: 0"))
        with pytest.raises(ConnectionFailed):
            exported(mixpanel)

    def test_http_1_0_has_no_chunks(self, mixpanel: Mixpanel, server: ScriptedServer) -> None:
        raw = CHUNKED.replace(b"1.1", b"1.0") + b"%x\r\n" % len(LINE) + LINE + b"\r\n0\r\n\r\n"
        server.answers(Answer(raw=raw))
        with pytest.raises(IncompleteResponse):
            exported(mixpanel)

    @pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "gzip, br", "gzip, identity"])
    def test_an_encoding_that_was_not_asked_for_is_an_error(
        self, mixpanel: Mixpanel, server: ScriptedServer, encoding: str
    ) -> None:
        server.answers(Answer(body=gzip.compress(LINE), headers={"Content-Encoding": encoding}))
        with pytest.raises(ReplyError, match="Content-Encoding"):
            exported(mixpanel)

    @pytest.mark.parametrize("garbage", [b"x", b"\x1f", b"\x1f\x8b", b"\n", LINE])
    def test_what_follows_the_gzip_is_an_error(
        self, mixpanel: Mixpanel, server: ScriptedServer, garbage: bytes
    ) -> None:
        server.answers(Answer(body=gzip.compress(LINE) + garbage, headers={"Content-Encoding": "gzip"}))
        with pytest.raises(IncompleteResponse):
            exported(mixpanel)

    def test_a_proxy_is_spoken_to_over_the_same_kind_of_connection(
        self, make_mixpanel: Make, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", server.url)
        server.answers(Answer(raw=b"HTTP/1.1 200 ", drip=b"x"))
        mixpanel = make_mixpanel(clock=Clock(), deadline=0.3, base_url="https://mixpanel.invalid")
        with pytest.raises(MixpanelError) as caught:
            mixpanel.transport.json(WRITE)
        assert not caught.value.may_have_arrived, "only the proxy was spoken to"


class TestMayHaveArrived:
    """The error says it by itself; what the flows make of it is in their own tests."""

    @pytest.mark.parametrize(
        ("answer", "arrived", "tries"),
        [
            (Answer(400), False, 1),
            (Answer(401), False, 1),
            (Answer(402), False, 1),
            (Answer(403), False, 1),
            (Answer(404), False, 1),
            (Answer(405), False, 1),
            (Answer(409), False, 1),
            (Answer(413), False, 1),
            (Answer(429), False, 8),
            (Answer(301), False, 1),
            (Answer(307), False, 1),
            (Answer(302), True, 1),
            (Answer(303), True, 1),
            (Answer(400, b'{"failed_records": [{"index": 0}], "num_records_imported": 9}'), True, 1),
            (Answer(500), True, 1),
            (Answer(502), True, 1),
            (Answer(503), True, 1),
            (Answer(504), True, 1),
            (Answer(200, b'{"error": "no"}'), True, 1),
            (Answer(200, b"<html>"), True, 1),
            (Answer(200, b"{}", {"Content-Length": "9"}), True, 1),
            (Answer(body=None), True, 1),
            (Answer(raw=b"nonsense\r\n\r\n"), True, 1),
        ],
    )
    def test_whether_a_write_may_have_arrived_is_a_fact_of_its_error(
        self, mixpanel: Mixpanel, server: ScriptedServer, answer: Answer, arrived: bool, tries: int
    ) -> None:
        server.answers(answer)
        with pytest.raises(MixpanelError) as caught:
            mixpanel.transport.json(WRITE)
        assert (caught.value.may_have_arrived, len(server.seen)) == (arrived, tries)

    def test_a_connection_that_never_opened_carried_nothing(self, make_mixpanel: Make) -> None:
        for url in ("http://127.0.0.1:9", "https://mixpanel.invalid"):
            with pytest.raises(ConnectionFailed) as caught:
                make_mixpanel(base_url=url).transport.json(WRITE)
            assert not caught.value.may_have_arrived

    def test_a_server_that_does_not_speak_tls_was_told_nothing(
        self, make_mixpanel: Make, server: ScriptedServer
    ) -> None:
        with pytest.raises(ConnectionFailed) as caught:
            make_mixpanel(base_url=server.url.replace("http:", "https:")).transport.json(WRITE)
        assert not caught.value.may_have_arrived

    def test_silence_after_the_request_leaves_it_open(self, make_mixpanel: Make, server: ScriptedServer) -> None:
        server.hold()
        with pytest.raises(ConnectionFailed) as caught:
            make_mixpanel(timeouts=Timeouts(1, 0.1)).transport.json(WRITE)
        assert (caught.value.may_have_arrived, caught.value.timed_out) == (True, True)

    def test_a_later_attempt_does_not_deny_what_an_earlier_one_did(
        self, mixpanel: Mixpanel, server: ScriptedServer
    ) -> None:
        delete = Request(Operation("DELETE", "app", "/jobs/1", accepts=(ServiceAccount,)))
        server.answers(Answer(503), Answer(404))
        with pytest.raises(NotFound) as caught:
            mixpanel.transport.json(delete)
        assert caught.value.may_have_arrived

    def test_a_read_time_out_is_longer_than_mixpanels_own(self) -> None:
        assert Timeouts().read > 488
