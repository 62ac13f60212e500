"""The operations of Mixpanel's APIs that the sandbox answers, and the table of docs/sandbox.md that shows them."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from starlette.routing import Match, Route

from mixpanel_etl.client.http.regions import FAMILIES
from mixpanel_etl.client.operations.catalogue import CATALOGUE
from mixpanel_etl.client.operations.operation import Operation
from mixpanel_etl.sandbox.apis.routes import api_routes

PAGE = Path(__file__).parents[3] / "docs" / "sandbox.md"


def test_the_page_shows_which_operations_are_answered() -> None:
    table = "\n".join(["| API | operations | answered | not answered |", "|---|---|---|---|", *_rows()])
    assert table in PAGE.read_text("utf-8"), f"put this table into docs/sandbox.md, Operations:\n{table}"


def _rows() -> Iterator[str]:
    routes = api_routes()
    by_api: dict[str, dict[str, Operation]] = defaultdict(dict)
    for name, operation in CATALOGUE.items():
        api, _, method = name.rpartition(".")
        by_api[api or operation.family][method] = operation
    for api, operations in sorted(by_api.items()):
        missing = [name for name, operation in operations.items() if not _is_answered(operation, routes)]
        names = ", ".join(f"`{name}`" for name in missing)
        yield f"| `{api}` | {len(operations)} | {len(operations) - len(missing)} | {names} |"


def _is_answered(operation: Operation, routes: list[Route]) -> bool:
    path = FAMILIES[operation.family].prefix + operation.path
    for name in ("project_id", "workspace_id", "organization_id", "annotation_id", "import_id", "service_account_id"):
        path = path.replace(f"{{{name}}}", "1")
    scope = {"type": "http", "method": operation.method, "path": path}
    return any(route.matches(scope)[0] is Match.FULL for route in routes)
