"""Downloads go where they may go, with nothing of ours."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixpanel_etl.client import InvalidRequest, Mixpanel, MixpanelError, ReplyError
from mixpanel_etl.client.http.addresses import is_public

from .scripted import Answer, ScriptedServer

Make = Callable[..., Mixpanel]
ELSEWHERE = "https://mixpanel.example.com"

PRIVATE = [
    *("127.0.0.1", "localhost", "files.localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]"),
    *("10.0.0.1", "172.16.0.9", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "2852039166", "224.0.0.1"),
    *("[fe80::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[::]", "[::7f00:1]"),
    *("１２７.0.0.1", "localhost.", "127.0.0.1."),
]


def read(mixpanel: Mixpanel, link: str) -> bytes:
    with mixpanel.gdpr.download(link) as response:
        return b"".join(response)


@pytest.mark.parametrize("host", PRIVATE)
def test_a_link_or_redirect_to_a_private_address_is_not_followed(
    make_mixpanel: Make, server: ScriptedServer, host: str
) -> None:
    port = server.url.rpartition(":")[2]
    with pytest.raises(InvalidRequest, match=r"private address|no https URL"):
        read(make_mixpanel(base_url=ELSEWHERE), f"https://{host}:{port}/archive.zip?signature=abc123")
    assert server.connections == 0
    if "127" in host or "localhost" in host or host in ("[::1]", "0x7f000001", "0177.0.0.1"):
        return  # to which this server is allowed to redirect, or which resolve to it
    server.answers(Answer(302, headers={"Location": f"https://{host}/latest/meta-data"}), Answer(body=b"secret"))
    with pytest.raises(InvalidRequest, match="private address"):
        read(make_mixpanel(), f"{server.url}/archive.zip")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "location",
    [
        "http://storage.example.com/x",
        "ftp://storage.example.com/x",
        "file:///etc/passwd",
        "//[::1",
        "https://:x/",
        "http:",
    ],
)
def test_a_redirect_to_what_is_not_encrypted_is_not_followed(
    make_mixpanel: Make, server: ScriptedServer, location: str
) -> None:
    server.answers(Answer(307, headers={"Location": location}))
    with pytest.raises(MixpanelError) as caught:
        read(make_mixpanel(), f"{server.url}/archive.zip?signature=abc123")
    assert "abc123" not in str(caught.value)
    assert "redirect" in str(caught.value) or location == "http:"


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    """Let `files.example.com` have one address after the other."""
    real, left = socket.getaddrinfo, list(answers)

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host != "files.example.com":
            return real(host, port, *arguments, **options)
        address = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_a_name_that_resolves_to_a_private_address_is_not_followed(
    make_mixpanel: Make, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "127.0.0.1")
    with pytest.raises(InvalidRequest, match="private address"):
        read(make_mixpanel(), f"https://files.example.com:{server.url.rpartition(':')[2]}/archive.zip")
    assert server.connections == 0


def test_a_name_that_leads_elsewhere_the_second_time_is_sent_nothing(
    make_mixpanel: Make, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "93.184.216.34", "127.0.0.1")
    with pytest.raises(InvalidRequest, match="private address"):
        read(make_mixpanel(), f"https://files.example.com:{server.url.rpartition(':')[2]}/archive.zip")
    assert server.seen == []


@pytest.mark.parametrize("link", ["https://me:mine@storage.example.com/x", "https://me@storage.example.com/x"])
def test_a_link_with_a_password_is_not_followed(make_mixpanel: Make, link: str) -> None:
    with pytest.raises(InvalidRequest, match="user name"):
        read(make_mixpanel(), link)


def test_redirects_get_neither_netrc_nor_cookies(
    make_mixpanel: Make, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\ndefault login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    cookie = {"Set-Cookie": "session=1; Path=/"}
    server.answers(
        Answer(302, headers={"Location": "/second?signature=abc123", **cookie}),
        Answer(308, headers={"Location": server.url + "/third", **cookie}),
        Answer(body=b"archive"),
    )
    assert read(make_mixpanel(), f"{server.url}/first") == b"archive"
    assert [seen.path for seen in server.seen] == ["/first", "/second", "/third"]
    assert not [name for seen in server.seen for name in seen.headers if name.lower() in ("authorization", "cookie")]


def test_redirects_that_go_round_end(make_mixpanel: Make, server: ScriptedServer) -> None:
    server.answers(Answer(302, headers={"Location": "/again?signature=abc123"}))
    with pytest.raises(ReplyError, match="more than 5 times"):
        read(make_mixpanel(), f"{server.url}/first")
    assert len(server.seen) == 6


def test_which_addresses_are_public() -> None:
    assert all(map(is_public, ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822")))
    assert not any(map(is_public, ("fe80::1%eth0", "::ffff:127.0.0.1", "240.0.0.1", "192.0.2.1", "not an address", "")))
