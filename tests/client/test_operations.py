"""Every operation of the catalogue over HTTP: documented requests, documented replies, and errors."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from mixpanel_etl.client import (
    CredentialError,
    InvalidRequest,
    Mixpanel,
    MixpanelError,
    RateLimited,
    ServerError,
    WrongCredentialKind,
)
from mixpanel_etl.client.http.credentials import ProjectToken, ServiceAccount
from mixpanel_etl.client.operations.catalogue import CATALOGUE

from ..openapi.descriptions import FILES, descriptions
from .documented import DOCUMENTED, NOT_IN_OPENAPI
from .examples import EXAMPLES, Example
from .scripted import Answer, ScriptedServer, Seen

pytestmark = pytest.mark.slow  # seven tests of each of the 92 operations

NAMES = list(CATALOGUE)
# Nothing is read in their replies, or anything is welcome.
NOTHING_TO_READ = {
    *("query.jql", "lexicon.create_schema", "ingestion.replace_lookup_table", "annotations.delete_annotation"),
    *("feature_flags.delete_flag", "experiments.delete_experiment", "experiments.archive_experiment"),
    *("service_accounts.delete_service_account", "service_accounts.add_to_projects"),
    *(
        "service_accounts.remove_from_projects",
        "warehouse_connectors.delete_import",
        "warehouse_connectors.manual_sync",
    ),
}
SECRET = "s3cr3t/with+odd=chars"
HEADERS = {
    "account": "Basic " + base64.b64encode(f"etl.user:{SECRET}".encode()).decode(),
    "oauth": "Bearer the-oauth-token",
}

Make = Callable[..., Mixpanel]


@pytest.fixture
def everything(make_mixpanel: Make) -> Mixpanel:
    """A client with every kind of credentials but the one that Mixpanel retires."""
    return make_mixpanel(
        project_token="the-project-token",
        oauth_token="the-oauth-token",
        workspace_id=67890,
        timezone="America/Los_Angeles",
    )


def answer(reply: Any, status: int = 200) -> Answer:
    return Answer(status, reply if isinstance(reply, bytes) else json.dumps(reply).encode())


def body_of(seen: Seen) -> Any:
    content = gzip.decompress(seen.body) if seen.headers.get("Content-Encoding") == "gzip" else seen.body
    kind = seen.headers.get("Content-Type")
    if kind == "application/json":
        return json.loads(content)
    if kind == "text/csv":
        return content.decode()
    if kind == "application/x-www-form-urlencoded":
        form = {name: values[0] if len(values) == 1 else values for name, values in parse_qs(content.decode()).items()}
        return {**form, "data": json.loads(base64.b64decode(str(form["data"])))} if "data" in form else form
    assert (kind, content) == (None, b"")
    return None


@pytest.mark.parametrize("name", NAMES)
def test_a_call_sends_the_request_that_is_documented(everything: Mixpanel, server: ScriptedServer, name: str) -> None:
    documented, example = DOCUMENTED[name], EXAMPLES[name]
    server.answers(answer(example.reply, example.status))
    example.call(everything)
    (seen,) = server.seen
    varying = {"project_id": 12345, "workspace_id": 67890, **example.path}
    path = documented.path.format(**{part: quote(str(value), safe="") for part, value in varying.items()})
    assert (seen.method, seen.path) == (documented.method, path)
    query = {key: values[0] if len(values) == 1 else values for key, values in seen.query.items()}
    assert query.pop("project_id", None) == ("12345" if documented.credentials == "account" else None)
    assert query.pop("workspace_id", None) == ("67890" if path.startswith("/api/query/") else None)
    assert query == example.query
    assert body_of(seen) == example.body
    assert seen.headers.get("Authorization") == HEADERS.get(documented.credentials)


def test_every_operation_is_documented_where_the_table_says() -> None:
    described = {
        (one.method, _shape(urlsplit(server).path.rstrip("/") + one.path))
        for files in FILES.values()
        for file in files
        for one in descriptions(file)
        for server in one.servers
    }
    missing = {name for name, one in DOCUMENTED.items() if (one.method, _shape(one.path)) not in described}
    assert missing == NOT_IN_OPENAPI.keys()
    assert DOCUMENTED.keys() == set(NAMES)


def _shape(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


@pytest.mark.parametrize(
    ("name", "reply"),
    [(name, reply) for name in NAMES for reply in (EXAMPLES[name].reply, *EXAMPLES[name].also)],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_reply_is_understood_in_each_shape_that_is_documented(
    everything: Mixpanel, server: ScriptedServer, name: str, reply: Any
) -> None:
    server.answers(answer(reply, EXAMPLES[name].status))
    assert EXAMPLES[name].expect(EXAMPLES[name].call(everything))


@pytest.mark.parametrize("name", NAMES)
def test_rejected_credentials_are_a_credential_error(everything: Mixpanel, server: ScriptedServer, name: str) -> None:
    server.answers(answer({"status": "error", "error": "Invalid credentials"}, 401))
    with pytest.raises(CredentialError, match="Invalid credentials") as caught:
        EXAMPLES[name].call(everything)
    assert len(server.seen) == 1
    assert caught.value.endpoint == CATALOGUE[name].endpoint


@pytest.mark.parametrize("name", NAMES)
def test_credentials_of_another_kind_send_nothing(make_mixpanel: Make, server: ScriptedServer, name: str) -> None:
    mixpanel = make_mixpanel(**_credentials_not_for(name), workspace_id=67890)
    with pytest.raises(WrongCredentialKind, match="Set MIXPANEL_"):
        EXAMPLES[name].call(mixpanel)
    assert server.seen == []


def _credentials_not_for(name: str) -> dict[str, Any]:
    none = {"service_account_username": None, "service_account_secret": None}
    return none if ServiceAccount in CATALOGUE[name].accepts or ProjectToken in CATALOGUE[name].accepts else {}


@pytest.mark.parametrize("name", NAMES)
def test_a_429_says_that_nothing_was_done_and_is_tried_again(
    everything: Mixpanel, server: ScriptedServer, name: str
) -> None:
    server.answers(answer({"status": "error", "error": "Too many requests"}, 429))
    with pytest.raises(RateLimited, match="Too many requests") as caught:
        EXAMPLES[name].call(everything)
    assert len(server.seen) == 8
    assert not caught.value.may_have_arrived


@pytest.mark.parametrize("name", NAMES)
def test_a_503_is_tried_again_only_when_that_does_nothing_twice(
    everything: Mixpanel, server: ScriptedServer, name: str
) -> None:
    server.answers(answer({"status": "error", "error": "maintenance"}, 503))
    with pytest.raises(ServerError, match="maintenance") as caught:
        EXAMPLES[name].call(everything)
    # The example of /track has insert ids, and those of /engage and /groups change nothing when repeated.
    repeated = CATALOGUE[name].idempotent is not False
    assert len(server.seen) == (8 if repeated else 1)
    assert caught.value.may_have_arrived


@pytest.mark.parametrize("name", [name for name in NAMES if EXAMPLES[name].bad])
def test_what_cannot_work_is_rejected_before_anything_is_sent(
    everything: Mixpanel, server: ScriptedServer, name: str
) -> None:
    example: Example = EXAMPLES[name]
    assert example.bad is not None
    with pytest.raises(InvalidRequest, match=example.says) as caught:
        example.bad(everything)
    assert server.seen == []
    assert caught.value.endpoint == CATALOGUE[name].endpoint


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in NOTHING_TO_READ and not isinstance(EXAMPLES[name].reply, bytes)]
)
def test_a_reply_of_no_documented_shape_is_an_error_and_no_traceback(
    everything: Mixpanel, server: ScriptedServer, name: str
) -> None:
    example = EXAMPLES[name]
    server.answers(answer([[7]], example.status))
    with pytest.raises(MixpanelError):
        example.call(everything)
