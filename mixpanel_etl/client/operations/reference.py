"""The reference page of all operations: `python -m mixpanel_etl.client.operations.reference > docs/reference.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby

from mixpanel_etl.client.http.credentials import Credential, OAuthToken, ProjectSecret, ProjectToken, ServiceAccount
from mixpanel_etl.client.http.regions import FAMILIES
from mixpanel_etl.client.limits.rates import BUDGETS, Limits
from mixpanel_etl.client.operations.catalogue import NOT_IN_SANDBOX, OPERATIONS
from mixpanel_etl.client.operations.operation import Operation

TITLES = {
    "": "The client itself",
    "query": "Query",
    "ingestion": "Ingestion",
    "identity": "Identity",
    "lexicon": "Lexicon",
    "gdpr": "GDPR and CCPA",
    "annotations": "Annotations",
    "feature_flags": "Feature flags",
    "experiments": "Experiments",
    "service_accounts": "Service accounts",
    "pipelines": "Data pipelines (deprecated by Mixpanel)",
    "warehouse": "Warehouse connectors",
}

KINDS: dict[type[Credential], str] = {
    ServiceAccount: "service account",
    ProjectSecret: "project secret",
    ProjectToken: "project token",
    OAuthToken: "OAuth token",
}

INTRODUCTION = """\
# Every operation

Generated from `mixpanel_etl/client/operations/catalogue.py` by `make reference`.

`with Mixpanel(Settings.load()) as mixpanel:` opens the client, and `mixpanel.query.segmentation(...)` is the method
`query.segmentation` below. The docstring of a method says what goes in and out. A source is a section of
[the facts about Mixpanel's APIs](mixpanel-api.md) on which the package rests.

- **Credentials**: the first kind in the settings is used. "In the body" means that no header is sent.
- **Budget**: a name of the table at the end. All processes of a deployment share it.
- **Checked**: what is rejected before anything is sent, besides missing and malformed values.
- **Repeated**: whether a request that may have arrived is sent again after a failure. "as sent": it depends on what is
  in it.
"""

# Operations whose requests say for themselves whether they may be repeated.
BY_CONTENT = frozenset(("ingestion.track", "ingestion.engage", "ingestion.groups"))


def page() -> str:
    """The page, as Markdown."""
    return "\n".join([INTRODUCTION, *_hosts(), *_groups(), *_budgets()]) + "\n"


def _hosts() -> Iterator[str]:
    yield "## Hosts\n"
    yield "| API | US | EU | India | prefix |"
    yield "|---|---|---|---|---|"
    for family, home in FAMILIES.items():
        yield f"| {family} | {home.us} | {home.eu} | {home.in_} | {_code(home.prefix)} |"
    yield ""


def _groups() -> Iterator[str]:
    for group, operations in groupby(
        sorted(OPERATIONS, key=lambda operation: list(TITLES).index(_group(operation))), key=_group
    ):
        yield f"## {TITLES[group]}\n"
        yield "| method | request | credentials | sends | budget | checked | repeated | sandbox | source |"
        yield "|---|---|---|---|---|---|---|---|---|"
        yield from map(_row, operations)
        yield ""


def _row(operation: Operation) -> str:
    place = ", in the body" if operation.credentials_in == "body" else ""
    cells = (
        _code(operation.name),
        _code(operation.endpoint),
        " or ".join(KINDS[kind] for kind in operation.accepts) + place,
        operation.sends,
        ", ".join(operation.budgets),
        "; ".join(operation.limits),
        "as sent" if operation.name in BY_CONTENT else _yes(operation.idempotent),
        _yes(operation.name not in NOT_IN_SANDBOX),
        f"[{operation.source}](mixpanel-api.md#{operation.source})",
    )
    return f"| {' | '.join(cells)} |"


def _budgets() -> Iterator[str]:
    yield "## Budgets\n"
    yield "| budget | counted for | limits | at a time |"
    yield "|---|---|---|---|"
    for name, limits in BUDGETS.items():
        yield f"| {name} | {_scope(limits)} | {'; '.join(map(str, limits.rates))} | {limits.concurrent or ''} |"


def _scope(limits: Limits) -> str:
    return f"the {limits.scope}"


def _group(operation: Operation) -> str:
    return operation.name.rpartition(".")[0]


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


if __name__ == "__main__":
    sys.stdout.write(page())
