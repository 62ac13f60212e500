"""`mixpanel-etl connectors`: the imports of Mixpanel's warehouse connectors, as YAML of `MixpanelConnectors`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any

import typer
import yaml

from mixpanel_etl.cli.shared import exit_on_error
from mixpanel_etl.client import Mixpanel, WarehouseImport
from mixpanel_etl.settings import DEFAULT_PREFIX, Settings


def connectors(
    env_prefix: Annotated[str, typer.Option(help="Prefix of the project's environment variables.")] = DEFAULT_PREFIX,
) -> None:
    """Print the imports of Mixpanel's warehouse connectors as a `defs.yaml`. Save it, and fill in `deps`."""
    with exit_on_error(), Mixpanel(Settings.load(env_prefix), deadline=60) as mixpanel:
        listed = [item for item in mixpanel.warehouse_connectors.list_imports() if not item.is_deleted]
        imports = [mixpanel.warehouse_connectors.get_import(item.id) for item in listed]  # the list has no event names
    attributes: dict[str, Any] = {"imports": described(imports)}
    if env_prefix != DEFAULT_PREFIX:
        attributes["mixpanel"] = {"env_prefix": env_prefix}
    document = {"type": "mixpanel_etl.MixpanelConnectors", "attributes": attributes}
    typer.echo(yaml.safe_dump(document, sort_keys=False, width=120), nl=False)


def described(imports: Iterable[WarehouseImport]) -> list[dict[str, Any]]:
    """The imports as attributes of the component, each with a key of its own."""
    found: list[dict[str, Any]] = []
    taken: set[str] = set()
    for item in sorted(imports, key=lambda item: item.id):
        name = _name(item)
        key = f"mixpanel/{name}" if name not in taken else f"mixpanel/{name}_{item.id}"
        taken.add(name)
        asset = {"key": key, "description": _description(item), "deps": []}
        found.append({"id": item.id, "asset": asset, "sync_mode": item.sync_mode})
    return found


def _name(item: WarehouseImport) -> str:
    """The table's name as far as it can be told: what `table_params` holds depends on the warehouse."""
    tables = [str(value) for name, value in (item.table_params or {}).items() if "table" in name.lower() and value]
    text = tables[-1] if tables else item.event_name or f"{item.import_type}_{item.id}"
    return re.sub(r"\W+", "_", text.lower()).strip("_") or f"import_{item.id}"


def _description(item: WarehouseImport) -> str:
    paused = ", paused" if item.paused else ""
    return f"Warehouse import {item.id} of Mixpanel: {item.import_type}, {item.sync_mode}{paused}."
