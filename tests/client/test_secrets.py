"""Credentials reach the configured host only."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from mixpanel_etl.client import Mixpanel, MixpanelError, WrongCredentialKind
from mixpanel_etl.client.http import credentials as kinds
from mixpanel_etl.client.http.error_mapping import Scrubber
from mixpanel_etl.client.operations.operation import Operation, Request

from .conftest import SECRET
from .scripted import Answer, ScriptedServer

DAY = date(2026, 3, 1)
FORMS = (SECRET, quote(SECRET, safe=""), base64.b64encode(f"etl.user:{SECRET}".encode()).decode())


def everything_that_can_be_seen(error: BaseException, caplog: pytest.LogCaptureFixture) -> str:
    """The error, all it is chained to, their attributes, local variables excepted, and the log."""
    seen = [*traceback.format_exception(error), caplog.text]
    chained: BaseException | None = error
    while chained is not None:
        seen += [repr(chained), repr(vars(chained))]
        chained = chained.__cause__ or chained.__context__
    return "\n".join(seen)


@pytest.mark.parametrize(
    "answer",
    [
        *[Answer(status, f"{status}: you sent {' and '.join(FORMS)}".encode()) for status in (400, 401, 403, 429, 500)],
        Answer(200, f'{{"error": "wrong secret {SECRET}"}}'.encode()),
        Answer(200, SECRET.encode()),
        Answer(302, b"", {"Location": f"https://user:{quote(SECRET, safe='')}@elsewhere.example/?s={SECRET}"}),
        Answer(body=None),
        Answer(raw=f"HTTP/1.1 {SECRET}\r\n\r\n".encode()),
    ],
)
def test_no_error_and_no_log_line_shows_a_secret(
    mixpanel: Mixpanel, server: ScriptedServer, caplog: pytest.LogCaptureFixture, answer: Answer
) -> None:
    server.answers(answer)
    with pytest.raises(MixpanelError) as caught:
        mixpanel.query.event_names()
    seen = everything_that_can_be_seen(caught.value, caplog)
    assert not [form for form in FORMS if form in seen]


def test_no_error_of_a_failed_connection_shows_a_secret(
    make_mixpanel: Callable[..., Mixpanel], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(MixpanelError) as caught:
        make_mixpanel(base_url="http://127.0.0.1:9").me()
    seen = everything_that_can_be_seen(caught.value, caplog)
    assert not [form for form in FORMS if form in seen]


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic ZXRsOnMzY3IzdA==",
        "authorization: bearer abcdef123456",
        "/track?ip=0&token=abcdef123456&verbose=1",
        '{"properties": {"token": "abcdef123456"}}',
        "api_secret=abcdef123456",
    ],
)
def test_what_looks_like_a_credential_is_masked_even_when_it_is_not_ours(text: str) -> None:
    scrubbed = Scrubber([])(text)
    assert "***" in scrubbed
    assert "abcdef123456" not in scrubbed
    assert "ZXRsOnMzY3IzdA" not in scrubbed


def test_the_secret_is_in_no_url(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    with mixpanel.export(DAY, DAY):
        pass
    assert "s3cr3t" not in str(server.seen[0].query)


def test_the_secret_is_in_no_repr(make_settings: Callable[..., Any]) -> None:
    settings = make_settings(
        project_token=SECRET, project_secret=SECRET, oauth_token=SECRET, budget_url=f"redis://:{quote(SECRET)}@host/0"
    )
    client = Mixpanel(settings)
    shown = repr(settings) + str(settings) + repr(kinds.configured(settings)) + repr(client)
    assert "s3cr3t" not in shown
    assert repr(settings) == "Settings(project_id=12345, region='us')"
    assert repr(client) == "Mixpanel(project_id=12345, region='us')"
    assert len(kinds.configured(settings)) == 4


def test_credentials_do_not_follow_a_redirect(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    with ScriptedServer() as elsewhere:
        server.answers(Answer(307, b"", {"Location": f"{elsewhere.url}/api/2.0/export"}))
        with pytest.raises(MixpanelError, match="redirected"):
            mixpanel.query.event_names()
        assert elsewhere.seen == []


def test_a_netrc_does_not_answer_in_our_place(
    mixpanel: Mixpanel, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    # As towards a host that is not loopback, where the environment is asked for proxies and certificates.
    mixpanel.transport.session.trust_env = True
    monkeypatch.setenv("NO_PROXY", "*")
    mixpanel.transport.json(Request(Operation("GET", "app", "/me", accepts=(kinds.ServiceAccount,))))
    assert server.seen[0].headers["Authorization"] == f"Basic {FORMS[2]}"


def test_a_proxy_of_the_environment_does_not_see_what_goes_to_loopback(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        make_mixpanel().me()
        assert proxy.seen == []
    assert len(server.seen) == 1


def test_a_proxy_of_the_environment_is_used_for_mixpanel_itself(make_mixpanel: Callable[..., Mixpanel]) -> None:
    assert make_mixpanel(base_url=None).transport.session.trust_env


def test_cookies_are_not_kept(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(200, b"{}", {"Set-Cookie": "session=1; Path=/"}))
    mixpanel.me()
    mixpanel.me()
    assert "Cookie" not in server.seen[1].headers


def test_service_account_is_basic_with_the_project_in_the_query(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    mixpanel.me()
    assert server.seen[0].headers["Authorization"] == f"Basic {FORMS[2]}"
    assert server.seen[0].query["project_id"] == ["12345"]


def test_project_secret_is_basic_with_a_colon_and_warns_that_it_will_be_retired(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer
) -> None:
    mixpanel = make_mixpanel(
        service_account_username=None, service_account_secret=None, project_id=None, project_secret="abc"
    )
    with pytest.warns(FutureWarning, match="2027-03-03"), mixpanel.export(DAY, DAY):
        pass
    assert server.seen[0].headers["Authorization"] == "Basic " + base64.b64encode(b"abc:").decode()


def test_the_preferred_kind_is_taken_and_no_warning_given(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer, recwarn: pytest.WarningsRecorder
) -> None:
    with make_mixpanel(project_secret="abc").export(DAY, DAY):
        pass
    assert server.seen[0].headers["Authorization"] == f"Basic {FORMS[2]}"
    assert not [warning for warning in recwarn if warning.category is FutureWarning]


def test_oauth_is_a_bearer(make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer) -> None:
    operation = Operation("GET", "app", "/data-retrievals/v3.0", accepts=(kinds.OAuthToken,))
    make_mixpanel(oauth_token="user-token").transport.json(Request(operation))
    assert server.seen[0].headers["Authorization"] == "Bearer user-token"
    assert "project_id" not in server.seen[0].query


def test_a_kind_that_the_api_does_not_take_is_rejected_before_anything_is_sent(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer
) -> None:
    mixpanel = make_mixpanel(service_account_username=None, service_account_secret=None, project_token="abc")
    with pytest.raises(WrongCredentialKind) as caught, mixpanel.export(DAY, DAY):
        pass
    assert "service account or project secret" in str(caught.value)
    assert "MIXPANEL_SERVICE_ACCOUNT_USERNAME" in str(caught.value)
    assert server.seen == []


def test_no_credentials_at_all_are_rejected_before_anything_is_sent(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer
) -> None:
    with pytest.raises(WrongCredentialKind, match="configured: none"):
        make_mixpanel(service_account_username=None, service_account_secret=None).me()
    assert server.seen == []
