"""A Mixpanel on localhost: its operations, its rules and its faults, with your own events. See docs/sandbox.md.

`shop` generates events; `engine` stores them and keeps clock, budgets and faults; `apis` answers as Mixpanel's APIs do;
`control` arranges the sandbox over HTTP; `app`, `server` and `foreground` run it.

pytest imports this package in every run, for the fixture. Its names are imported on first use, so that DuckDB and
uvicorn are needed, and loaded, only by users of the sandbox.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mixpanel_etl.extras import require

if TYPE_CHECKING:
    from mixpanel_etl.sandbox.apis.warehouse_connectors.models import RunOutcome
    from mixpanel_etl.sandbox.control.environment import CONTROL_HEADER
    from mixpanel_etl.sandbox.engine.clock import Clock
    from mixpanel_etl.sandbox.engine.event_store import DeduplicatedEvent
    from mixpanel_etl.sandbox.engine.faults import Fault
    from mixpanel_etl.sandbox.engine.line_reader import read_lines
    from mixpanel_etl.sandbox.engine.projects import Project, ServiceAccount, read_projects
    from mixpanel_etl.sandbox.engine.saved_reports import Cohort, Funnel, FunnelStep, Insight
    from mixpanel_etl.sandbox.engine.state import SeenRequest
    from mixpanel_etl.sandbox.foreground import serve
    from mixpanel_etl.sandbox.server import Sandbox
    from mixpanel_etl.sandbox.shop.generate import generate_lines

__all__ = [
    "CONTROL_HEADER",
    "Clock",
    "Cohort",
    "DeduplicatedEvent",
    "Fault",
    "Funnel",
    "FunnelStep",
    "Insight",
    "Project",
    "RunOutcome",
    "Sandbox",
    "SeenRequest",
    "ServiceAccount",
    "generate_lines",
    "read_lines",
    "read_projects",
    "serve",
]

_HOMES = {
    "CONTROL_HEADER": "control.environment",
    "Clock": "engine.clock",
    "Cohort": "engine.saved_reports",
    "Fault": "engine.faults",
    "Funnel": "engine.saved_reports",
    "FunnelStep": "engine.saved_reports",
    "Insight": "engine.saved_reports",
    "DeduplicatedEvent": "engine.event_store",
    "Project": "engine.projects",
    "RunOutcome": "apis.warehouse_connectors.models",
    "Sandbox": "server",
    "SeenRequest": "engine.state",
    "ServiceAccount": "engine.projects",
    "generate_lines": "shop.generate",
    "read_lines": "engine.line_reader",
    "read_projects": "engine.projects",
    "serve": "foreground",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("sandbox")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
