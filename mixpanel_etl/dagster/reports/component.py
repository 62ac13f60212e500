"""`type: mixpanel_etl.MixpanelReports`."""

# Dagster reads the annotations of components, so they must be types, not strings.
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import dagster as dg
from dagster.components.resolved.core_models import (
    AssetsDefUpdateKwargs,
    resolve_assets_def_update_kwargs_to_mapping,
)
from pydantic import ValidationError, WithJsonSchema

from mixpanel_etl.dagster.fields import EnvPrefix, Lake, StartDate, first_day, identifier
from mixpanel_etl.dagster.mistakes import Mistake, refuse, rendered
from mixpanel_etl.dagster.reports.assets import NamedReport, Reports
from mixpanel_etl.dagster.reports.schedules import report_definitions
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.pull.reports import KINDS, InvalidReport, report_of
from mixpanel_etl.settings import DEFAULT_PREFIX

_NAME = r"^[A-Za-z0-9_]+$"
# YAML 1.1, which Dagster reads, takes the bare word for a boolean.
_ON = "on"
# Partitions and backfills follow from the report.
_NOT_OURS = ("partitions_def", "skippable")


def _reports(context: dg.ResolutionContext, entries: Sequence[Any]) -> list[NamedReport]:
    """The reports of a list in YAML; all mistakes at once, each with its file and line."""
    found: list[NamedReport] = []
    mistakes: list[Mistake] = []
    lines: dict[str, int] = {}
    for number, entry in enumerate(entries):
        at = context.at_path(number)
        try:
            named = _report(at, entry)
        except _InvalidEntry as error:
            mistakes += error.mistakes
            continue
        if named.name in lines:
            message = f"name is {named.name!r}, which report {lines[named.name] + 1} of the list has: give another"
            mistakes.append(Mistake(("name",), message, at))
        lines.setdefault(named.name, number)
        found.append(named)
    if mistakes:
        refuse(mistakes)
    return found


class _InvalidEntry(Exception):
    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__()
        self.mistakes = mistakes


def _report(context: dg.ResolutionContext, entry: Any) -> NamedReport:
    if not isinstance(entry, Mapping):
        raise _InvalidEntry([Mistake((), "a report is a mapping: give name, kind and the kind's parameters", context)])
    entry = {_ON if name is True else str(name): value for name, value in entry.items()}
    parameters = dict(rendered(context, {name: value for name, value in entry.items() if name != "asset"}))
    name, kind = parameters.pop("name", None), parameters.pop("kind", None)
    mistakes: list[Mistake] = []
    if not isinstance(name, str) or not re.match(_NAME, name):
        message = f"name is {name!r}: give one of letters, digits and underscores, as signups_by_plan"
        mistakes.append(Mistake(("name",), message, context))
    if kind is None:
        message = f"kind is missing: give one of {', '.join(KINDS)}"
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
    """The parameters with the text of the .js file instead of its name."""
    named = parameters.get("script")
    if not isinstance(named, str):
        return parameters
    path = context.resolve_source_relative_path(named)
    if path.suffix != ".js" or not path.is_file():
        message = f"script is {named!r}: give the name of a .js file beside this YAML file; {path} is none"
        raise _InvalidEntry([Mistake(("script",), message, context)])
    return {**parameters, "script": path.read_text(encoding="utf-8")}


def _attributes(context: dg.ResolutionContext, asset: Any) -> Mapping[str, Any]:
    """Attributes of the asset, as Dagster itself reads them."""
    at = context.at_path("asset")
    for name in _NOT_OURS:
        if isinstance(asset, Mapping) and name in asset:
            message = f"{name} can't be given: a report's partitions follow from its kind and unit"
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
    """What `dg check yaml` and editors know of one report: the kinds, and the parameters of each."""
    asset = {
        name: schema
        for name, schema in AssetsDefUpdateKwargs.model().model_json_schema()["properties"].items()
        if name not in _NOT_OURS and "$ref" not in json.dumps(schema)
    }
    common = {
        "name": {"type": "string", "pattern": _NAME, "description": "Last part of the asset's key."},
        "kind": {"enum": list(KINDS), "description": "Which report."},
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
            # Not `additionalProperties`: that knows no key that is a boolean, see `_ON`.
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


_Entry = Annotated[dict[Any, Any], WithJsonSchema(_schema())]


@dataclass
class MixpanelReports(dg.Component, dg.Resolvable):
    """Mixpanel's reports as one asset and one table each: segmentation, funnels, retention and all other kinds.

    Credentials, region and time zone come from the environment (`MIXPANEL_*`; see `.env.example`).
    """

    reports: Annotated[
        Sequence[NamedReport],
        dg.Resolver(
            _reports,
            model_field_type=list[_Entry],
            description="The reports: name, kind and the kind's parameters (docs/reports.md).",
            examples=[[{"name": "signups", "kind": "segmentation", "event": "sign up"}]],
        ),
    ]
    env_prefix: EnvPrefix = DEFAULT_PREFIX
    key_prefix: Annotated[
        str, dg.Resolver.default(description="What the assets' keys begin with; another project has another.")
    ] = "mixpanel/reports"
    folder: Annotated[str, dg.Resolver.default(description="Folder of the lake in which each report has a table.")] = (
        "reports"
    )
    lake: Lake = None
    start_date: StartDate = None
    refresh_at: Annotated[
        str, dg.Resolver.default(description="Cron expression of the schedules, in project time.")
    ] = "0 4 * * *"

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, jobs and schedules of the reports; the YAML's folder gives jobs and schedules their name."""
        return report_definitions(self.described(name=f"mixpanel__{identifier(context.path)}"))

    def described(self, name: str) -> Reports:
        """What this instance describes; override it to describe something else."""
        return Reports(
            reports=self.reports,
            mixpanel=MixpanelResource(env_prefix=self.env_prefix),
            name=name,
            key_prefix=self.key_prefix.split("/"),
            folder=self.folder,
            lake=self.lake,
            start_date=first_day(self.start_date),
            refresh_at=self.refresh_at,
        )
