"""The catalogue against the client, the sandbox, the tests and the page: nothing may be missing on any side."""

from __future__ import annotations

import importlib
import inspect
from operator import attrgetter
from pathlib import Path

import requests

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.client.http.regions import FAMILIES
from mixpanel_etl.client.limits.rates import BUDGETS
from mixpanel_etl.client.operations.api import Api
from mixpanel_etl.client.operations.catalogue import CATALOGUE
from mixpanel_etl.client.operations.operation import Operation, Request
from mixpanel_etl.client.operations.reference import page
from mixpanel_etl.sandbox import Sandbox
from tests.docs.facts import anchors

from .examples import EXAMPLES
from .round_trips import ROUND_TRIPS

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"
# Public methods that use the operation of another method, or none.
OTHERS = {
    *(
        "budget",
        "close",
        "from_env",
        "replies",
        "spent",
        "feature_flags.evaluate_locally",
        "gdpr.download",
        "ingestion.import_lines",
        "identity.import_links",
        "identity.id_merge",
        "identity.foreign_events",
        "pipelines.status_summary",
        "query.jql_items",
    ),
}


def test_every_operation_has_a_documented_method(mixpanel: Mixpanel) -> None:
    assert [name for name in CATALOGUE if not inspect.getdoc(attrgetter(name)(mixpanel))] == []


def test_every_method_is_an_operation(mixpanel: Mixpanel) -> None:
    apis = {name: value for name, value in vars(mixpanel).items() if isinstance(value, Api)}
    methods = {f"{name}.{method}" for name, api in apis.items() for method in _public(api)}
    assert methods | set(_public(mixpanel)) == set(CATALOGUE) | OTHERS


def _public(thing: object) -> list[str]:
    return [name for name, value in inspect.getmembers(thing, callable) if not name.startswith("_")]


def test_every_operation_has_a_request_and_a_reply_in_the_tests() -> None:
    assert [name for name in CATALOGUE if name not in EXAMPLES] == []


def test_every_operation_makes_a_round_trip() -> None:
    for module in ("app", "query"):
        importlib.import_module(f"{__package__}.test_round_trips_{module}")  # which fills the list
    assert set(CATALOGUE) == set(ROUND_TRIPS)


def test_the_sandbox_answers_every_operation(running_sandbox: Sandbox) -> None:
    assert not {name for name in CATALOGUE if not _is_routed(CATALOGUE[name], running_sandbox.url)}


def _is_routed(operation: Operation, url: str) -> bool:
    values = dict.fromkeys(("project_id", "workspace_id", "organization_id", "annotation_id", "import_id"), 1)
    path: dict[str, str | int] = {
        **values,
        "service_account_id": 1,
        "entity_type": "event",
        **dict.fromkeys(("name", "id", "tracking_id", "flag_id", "experiment_id"), "x"),
    }
    where = url + FAMILIES[operation.family].prefix + Request(operation, path=path).filled_path
    answer = requests.request(operation.method, where, timeout=10)
    # Without credentials, a route that exists rejects the request; any other is not found.
    return answer.status_code not in (404, 405)


def test_every_operation_has_credentials_a_source_and_known_budgets() -> None:
    known = anchors()
    assert [name for name, item in CATALOGUE.items() if not item.accepts] == []
    assert [name for name, item in CATALOGUE.items() if item.source not in known] == []
    assert [name for name, item in CATALOGUE.items() if not set(item.budgets) <= BUDGETS.keys()] == []


def test_the_committed_page_is_current() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: make reference"
