"""Requests of web pages and of other processes are limited: host names, the control header, memory."""

import gzip
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from mixpanel_etl.sandbox import CONTROL_HEADER, Project, Sandbox

from .http_calls import control_call, exported_line

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def named() -> Iterator[Sandbox]:
    with Sandbox(host_names=["Mixpanel.test"]) as sandbox:
        yield sandbox


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8010", "localhost.evil.example", "127.0.0.1.nip.io"])
@pytest.mark.parametrize("path", ["/sandbox/environment", "/api/app/me", "/track?data=e30=", "/"])
def test_only_its_own_host_names_are_answered(named: Sandbox, host: str, path: str) -> None:
    reply = requests.get(named.url + path, headers={"Host": host, CONTROL_HEADER: "1"}, timeout=10)
    assert reply.status_code == 421
    assert "sandbox-s" not in reply.text
    assert not named.requests


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8010", "127.0.0.1:1", "[::1]:8010", "mixpanel.test"])
def test_its_own_host_names_and_the_configured_ones_are_answered(named: Sandbox, host: str) -> None:
    assert control_call(named, "GET", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["", "[::1", "localhost@evil.example:"])
def test_an_invalid_host_header_is_rejected(named: Sandbox, host: str) -> None:
    assert requests.get(named.url + "/sandbox", headers={"Host": host}, timeout=10).status_code in (400, 421)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/environment"),
        ("POST", "/load"),
        ("POST", "/load/"),
        ("DELETE", "/requests"),
        ("POST", "/gdpr-outcomes"),
        ("GET", "/profiles"),
        ("OPTIONS", "/load"),
    ],
)
def test_the_control_api_requires_a_header_that_web_pages_cannot_send(sandbox: Sandbox, method: str, path: str) -> None:
    headers = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    reply = requests.request(method, f"{sandbox.url}/sandbox{path}", data=exported_line(), headers=headers, timeout=10)
    assert (reply.status_code, CONTROL_HEADER in reply.json()["error"]) == (403, True)
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]
    assert sandbox.count() == 0


LOADED = r"""
import re, sys
from pathlib import Path
from mixpanel_etl.sandbox import CONTROL_HEADER, Project, Sandbox
import requests
with Sandbox([Project(enforce_budgets=False, lookup_tables=[("t1", "T")])]) as sandbox:
    for case in sys.stdin.read().splitlines():
        method, path, kind, body = case.split()
        headers = {CONTROL_HEADER: "1", "Content-Encoding": "gzip", "Content-Type": kind}
        reply = requests.request(method, sandbox.url + path, params={"project_id": 12345}, headers=headers,
                                 data=Path(body).read_bytes(), auth=sandbox.projects[0].account[:2], timeout=100)
        # Not getrusage, which a process inherits from the one that started it.
        peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]
        print(reply.status_code, int(peak) // 1000)
"""


def bomb(content: Callable[[], Iterator[bytes]]) -> bytes:
    """Gzip of parts, which are not held together."""
    packer = zlib.compressobj(1, wbits=31)
    return b"".join([*map(packer.compress, content()), packer.flush()])


def one_line(size: int) -> bytes:
    return bomb(lambda: iter([b'{"event":"', *[b"a" * MEGABYTE] * size, b'"}']))


BOMBS = (
    ("PUT /lookup-tables/t1 text/csv", bomb(lambda: iter([b"," * MEGABYTE] * 100)), 400),
    ("PUT /lookup-tables/t1 text/csv", bomb(lambda: iter([b"a\n", *[b"b\n" * (MEGABYTE // 2)] * 60])), 400),
    ("PUT /lookup-tables/t1 text/csv", one_line(300), 413),
    ("POST /import application/json", one_line(300), 413),
    ("POST /track application/json", one_line(300), 413),
    ("POST /sandbox/load text/plain", one_line(300), 400),
    ("POST /sandbox/load text/plain", bomb(lambda: iter([b"\n" * MEGABYTE] * 10 + [exported_line()])), 201),
)


@pytest.mark.slow
def test_a_small_gzip_stays_under_500_megabytes(tmp_path: Path) -> None:
    cases = []
    for number, (request, body, _) in enumerate(BOMBS):
        assert len(body) < 1.5 * MEGABYTE
        (tmp_path / str(number)).write_bytes(body)
        cases.append(f"{request} {tmp_path / str(number)}")
    command = [sys.executable, "-c", LOADED]
    told = subprocess.run(command, input="\n".join(cases), capture_output=True, check=True, text=True).stdout
    found = [tuple(map(int, text.split())) for text in told.splitlines()]
    assert [status for status, _ in found] == [status for *_, status in BOMBS]
    assert max(megabytes for _, megabytes in found) < 500, found


WHOLE = gzip.compress(exported_line(), mtime=0)


@pytest.mark.parametrize(
    "damaged", [b"no gzip", WHOLE[:-4], WHOLE[:-9] + b"12345678x"], ids=["none", "cut", "wrong sum"]
)
def test_a_damaged_gzip_is_reported(sandbox: Sandbox, damaged: bytes) -> None:
    reply = control_call(sandbox, "POST", "/load", data=damaged, headers={"Content-Encoding": "gzip"})
    assert (reply.status_code, "gzip is damaged" in reply.json()["error"]) == (400, True)


def test_every_member_of_a_gzip_counts(sandbox: Sandbox) -> None:
    sandbox.reset([Project(enforce_budgets=False)])
    parts = [exported_line(insert_id=f"i-{n}") for n in range(4)]
    body = gzip.compress(parts[0] + b"\n" + parts[1][:20]) + gzip.compress(parts[1][20:])
    headers = {"Content-Encoding": "gzip"}
    assert control_call(sandbox, "POST", "/load", data=body, headers=headers).json() == {"events": 2}
    project = sandbox.projects[0]
    reply = requests.post(
        f"{sandbox.url}/import",
        params={"project_id": project.project_id, "strict": 1},
        data=gzip.compress(parts[2] + b"\n") + gzip.compress(parts[3]),
        headers={**headers, "Content-Type": "application/x-ndjson"},
        auth=project.account[:2],
        timeout=10,
    )
    assert reply.json()["num_records_imported"] == 2
