"""A Mixpanel on localhost: its endpoints, its rules and its faults, over events of your own. See docs/sandbox.md.

pytest imports this package in every run, for the fixture: what it offers is imported when it is first used, so that
nobody pays for DuckDB and uvicorn, or has to have them, who does not use the sandbox.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixpanel_etl.sandbox.clock import Clock
    from mixpanel_etl.sandbox.environment import CONTROL_HEADER
    from mixpanel_etl.sandbox.faults import Fault
    from mixpanel_etl.sandbox.foreground import serve
    from mixpanel_etl.sandbox.generate import generate_lines
    from mixpanel_etl.sandbox.lines import read_lines
    from mixpanel_etl.sandbox.projects import Project, ServiceAccount, read_projects
    from mixpanel_etl.sandbox.saved import Cohort, Funnel, FunnelStep, Insight
    from mixpanel_etl.sandbox.server import Sandbox
    from mixpanel_etl.sandbox.state import SeenRequest
    from mixpanel_etl.sandbox.store import Kept
    from mixpanel_etl.sandbox.warehouse_runs import RunOutcome

__all__ = [
    "CONTROL_HEADER",
    "Clock",
    "Cohort",
    "Fault",
    "Funnel",
    "FunnelStep",
    "Insight",
    "Kept",
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
    "CONTROL_HEADER": "environment",
    "Clock": "clock",
    "Cohort": "saved",
    "Fault": "faults",
    "Funnel": "saved",
    "FunnelStep": "saved",
    "Insight": "saved",
    "Kept": "store",
    "Project": "projects",
    "RunOutcome": "warehouse_runs",
    "Sandbox": "server",
    "SeenRequest": "state",
    "ServiceAccount": "projects",
    "generate_lines": "generate",
    "read_lines": "lines",
    "read_projects": "projects",
    "serve": "foreground",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
