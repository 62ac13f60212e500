"""A report with a name, and the list of them in YAML: all mistakes at once, each with its file and line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import dagster as dg
from pydantic import ValidationError, WithJsonSchema

from mixpanel_etl.dagster.internals import AssetsDefUpdateKwargs, resolve_assets_def_update_kwargs_to_mapping
from mixpanel_etl.dagster.mistakes import Mistake, reject, rendered
from mixpanel_etl.pull.reports import KINDS, InvalidReport, RangeReport, Snapshot, report_of

_NAME = r"^[A-Za-z0-9_]+$"
# YAML 1.1, which Dagster reads, takes the bare word for a boolean.
_ON = "on"
# Partitions and backfills follow from the report.
_RESERVED = ("partitions_def", "skippable")


@dataclass(frozen=True)
class NamedReport:
    """A report that becomes an asset.

    Args:
        name: last part of the asset's key, and folder of its table: letters, digits and underscores.
        report: kind and parameters, e.g. `report_of("funnel", {"funnel_id": 7509})`.
        asset: attributes of the asset's `dg.AssetSpec`: owners, tags, description, group_name ...
    """

    name: str
    report: RangeReport | Snapshot
    asset: Mapping[str, Any] = field(default_factory=dict)


def named_reports(context: dg.ResolutionContext, entries: Sequence[Any]) -> list[NamedReport]:
    """The reports of a list in YAML.

    Raises:
        ResolutionException: all mistakes, each with its file and line.
    """
    found: list[NamedReport] = []
    mistakes: list[Mistake] = []
    lines: dict[str, int] = {}
    for number, entry in enumerate(entries):
        at = context.at_path(number)
        try:
            report = _report(at, entry)
        except _InvalidEntry as error:
            mistakes += error.mistakes
            continue
        if report.name in lines:
            message = f"name {report.name!r} is also that of report {lines[report.name] + 1}: give another name"
            mistakes.append(Mistake(("name",), message, at))
        lines.setdefault(report.name, number)
        found.append(report)
    if mistakes:
        reject(mistakes)
    return found


class _InvalidEntry(Exception):
    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__()
        self.mistakes = mistakes


def _report(context: dg.ResolutionContext, entry: Any) -> NamedReport:
    if not isinstance(entry, Mapping):
        raise _InvalidEntry(
            [Mistake((), "a report must be a mapping with name, kind and the kind's parameters", context)]
        )
    entry = {_ON if name is True else str(name): value for name, value in entry.items()}
    parameters = dict(rendered(context, {name: value for name, value in entry.items() if name != "asset"}))
    name, kind = parameters.pop("name", None), parameters.pop("kind", None)
    mistakes: list[Mistake] = []
    if not isinstance(name, str) or not re.match(_NAME, name):
        message = f"name is {name!r}; it must have only letters, digits and underscores, e.g. signups_by_plan"
        mistakes.append(Mistake(("name",), message, context))
    if kind is None:
        message = f"kind is missing; allowed: {', '.join(KINDS)}"
        raise _InvalidEntry([*mistakes, Mistake((), message, context)])
    try:
        if str(kind).startswith("jql"):
            parameters = _with_script(context, parameters)
        report = report_of(str(kind), parameters)
        attributes = _attributes(context, entry.get("asset") or {})
    except InvalidReport as error:
        raise _InvalidEntry([*mistakes, *(Mistake(p.path, p.message, context) for p in error.problems)]) from None
    except _InvalidEntry as error:
        raise _InvalidEntry([*mistakes, *error.mistakes]) from None
    if mistakes:
        raise _InvalidEntry(mistakes)
    return NamedReport(name, report, attributes)


def _with_script(context: dg.ResolutionContext, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters with the content of the .js file instead of its name."""
    named = parameters.get("script")
    if not isinstance(named, str):
        return parameters
    path = context.resolve_source_relative_path(named)
    if path.suffix != ".js" or not path.is_file():
        message = f"script is {named!r}; it must name a .js file beside this YAML file, but {path} is not one"
        raise _InvalidEntry([Mistake(("script",), message, context)])
    return {**parameters, "script": path.read_text(encoding="utf-8")}


def _attributes(context: dg.ResolutionContext, asset: Any) -> Mapping[str, Any]:
    """Attributes of the asset, as Dagster itself reads them."""
    at = context.at_path("asset")
    for name in _RESERVED:
        if isinstance(asset, Mapping) and name in asset:
            message = f"{name} is not allowed: a report's partitions follow from its kind and unit"
            raise _InvalidEntry([Mistake((name,), message, at)])
    try:
        model = AssetsDefUpdateKwargs.model().model_validate(asset)
    except ValidationError as error:
        raise _InvalidEntry(
            [Mistake(detail["loc"][:1], f"{detail['loc'][0]}: {detail['msg']}", at) for detail in error.errors()[:1]]
        ) from None
    resolved: Mapping[str, Any] = resolve_assets_def_update_kwargs_to_mapping(at, model)
    return resolved


def _schema() -> dict[str, Any]:
    """JSON schema of a report for `dg check yaml` and editors: the kinds, and the parameters of each."""
    asset = {
        name: schema
        for name, schema in AssetsDefUpdateKwargs.model().model_json_schema()["properties"].items()
        if name not in _RESERVED and "$ref" not in json.dumps(schema)
    }
    common = {
        "name": {"type": "string", "pattern": _NAME, "description": "Last part of the asset's key."},
        "kind": {"enum": list(KINDS), "description": "Kind of report."},
        "asset": {"type": "object", "properties": asset, "additionalProperties": False},
    }
    branches = []
    for name, kind in KINDS.items():
        own = kind.model_json_schema()
        properties = {field: _or_template(schema) for field, schema in own["properties"].items()}
        then = {
            "description": own.get("description", ""),
            "properties": {**common, **properties},
            "required": own.get("required", []),
            # Not `additionalProperties`, which can't name a key that is a boolean, see `_ON`.
            "propertyNames": {"enum": [*common, *properties, *([True] if _ON in properties else [])]},
        }
        condition = {"properties": {"kind": {"const": name}}, "required": ["kind"]}
        branches.append({"if": condition, "then": then})
    return {"type": "object", "properties": common, "required": ["name", "kind"], "allOf": branches}


def _or_template(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, which a template such as `{{ env.FUNNEL }}` fulfils too."""
    if schema.get("type") == "string" and "enum" not in schema:
        return schema
    about: dict[str, Any] = {name: schema[name] for name in ("description", "default") if name in schema}
    return {**about, "if": {"type": "string", "pattern": r"\{\{"}, "else": schema}


ReportEntry = Annotated[dict[Any, Any], WithJsonSchema(_schema())]
