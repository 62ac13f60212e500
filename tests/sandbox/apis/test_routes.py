"""The operations of Mixpanel's APIs that the sandbox answers, and the table of docs/sandbox.md that shows them."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from starlette.routing import Match, Route

from mixpanel_etl.client.http.regions import FAMILIES
from mixpanel_etl.client.operations.catalogue import OPERATIONS
from mixpanel_etl.client.operations.operation import Operation
from mixpanel_etl.sandbox.apis.routes import api_routes

PAGE = Path(__file__).parents[3] / "docs" / "sandbox.md"


def test_the_page_shows_which_operations_are_answered() -> None:
    table = "\n".join(["| API | operations | answered | not answered |", "|---|---|---|---|", *_rows()])
    assert table in PAGE.read_text("utf-8"), f"put this table into docs/sandbox.md, Operations:\n{table}"


def _rows() -> Iterator[str]:
    routes = api_routes()
    by_api: dict[str, list[Operation]] = defaultdict(list)
    for operation in OPERATIONS:
        by_api[operation.name.rpartition(".")[0] or operation.family].append(operation)
    for api, operations in sorted(by_api.items()):
        missing = [operation for operation in operations if not _is_answered(operation, routes)]
        names = ", ".join(f"`{operation.name.rpartition('.')[2]}`" for operation in missing)
        yield f"| `{api}` | {len(operations)} | {len(operations) - len(missing)} | {names} |"


def _is_answered(operation: Operation, routes: list[Route]) -> bool:
    path = FAMILIES[operation.family].prefix + operation.path
    for name in ("project_id", "workspace_id", "organization_id", "annotation_id", "import_id", "service_account_id"):
        path = path.replace(f"{{{name}}}", "1")
    scope = {"type": "http", "method": operation.method, "path": path}
    return any(route.matches(scope)[0] is Match.FULL for route in routes)
