"""The reference page of all operations: `python -m mixpanel_etl.client.operations.reference > docs/reference.md`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

from mixpanel_etl.client.http.credentials import Credential, OAuthToken, ProjectSecret, ProjectToken, ServiceAccount
from mixpanel_etl.client.http.regions import FAMILIES
from mixpanel_etl.client.limits.rates import BUDGETS
from mixpanel_etl.client.mixpanel import APIS, Mixpanel
from mixpanel_etl.client.operations.api import Api, declared
from mixpanel_etl.client.operations.operation import Operation

KINDS: dict[type[Credential], str] = {
    ServiceAccount: "service account",
    ProjectSecret: "project secret",
    ProjectToken: "project token",
    OAuthToken: "OAuth token",
}

INTRODUCTION = """\
# Every operation

```python
from mixpanel_etl import Mixpanel

with Mixpanel.from_env() as mixpanel:
    counts = mixpanel.query.segmentation("Purchase", "2026-01-01", "2026-01-31")
    print(counts.to_polars())
```

Generated from the methods of the client by `make reference`. The docstring of a method describes its parameters and its
reply; their types are in `mixpanel_etl.client`. A source is a section of
[the facts about Mixpanel's APIs](mixpanel-api.md) on which the package rests. The sandbox answers all operations.

- **Credentials**: the first kind that the settings hold is used. "In the body" means that no header is sent.
- **Budget**: a name of the table at the end. All processes of a deployment share it.
- **Checked**: limits that are checked before anything is sent, besides missing and malformed values.
- **Repeated**: whether a request that may have arrived is sent again after a failure. "as sent": it depends on the
  content.
"""


def page() -> str:
    """The page, as Markdown."""
    return "\n".join([INTRODUCTION, *_hosts(), *_apis(), *_budgets()]) + "\n"


def _hosts() -> Iterator[str]:
    yield "## Hosts\n"
    yield "| API | US | EU | India | prefix |"
    yield "|---|---|---|---|---|"
    for family, home in FAMILIES.items():
        yield f"| {family} | {home.us} | {home.eu} | {home.in_} | {_code(home.prefix)} |"
    yield ""


def _apis() -> Iterator[str]:
    yield from _api("mixpanel", Mixpanel, "")
    for name, api in APIS.items():
        yield from _api(f"mixpanel.{name}", api, f"{name}.")


def _api(title: str, api: type[Api], prefix: str) -> Iterator[str]:
    yield f"## {_code(title)}\n"
    yield (inspect.getdoc(api) or "").partition("\n")[0] + "\n"
    yield "| method | request | credentials | sends | budget | checked | repeated | source |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, operation in declared(api).items():
        yield _row(prefix + name, operation)
    yield ""


def _row(name: str, operation: Operation) -> str:
    place = ", in the body" if operation.credentials_in == "body" else ""
    cells = (
        _code(name),
        _code(operation.endpoint),
        " or ".join(KINDS[kind] for kind in operation.accepts) + place,
        operation.sends,
        ", ".join(operation.budgets),
        "; ".join(operation.limits),
        _repeated(operation),
        f"[{operation.source}](mixpanel-api.md#{operation.source})",
    )
    return f"| {' | '.join(cells)} |"


def _budgets() -> Iterator[str]:
    yield "## Budgets\n"
    yield "| budget | counted for | limits | at a time |"
    yield "|---|---|---|---|"
    for name, limits in BUDGETS.items():
        yield f"| {name} | the {limits.scope} | {'; '.join(map(str, limits.rates))} | {limits.concurrent or ''} |"


def _repeated(operation: Operation) -> str:
    if operation.idempotent == "as sent":
        return operation.idempotent
    return "yes" if operation.idempotent else "no"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    sys.stdout.write(page())
