"""A Mixpanel on localhost: its endpoints, its rules and its faults, over events of your own. See docs/sandbox.md."""

from mixpanel_etl.sandbox.clock import Clock
from mixpanel_etl.sandbox.faults import Fault
from mixpanel_etl.sandbox.generate import generate_lines
from mixpanel_etl.sandbox.projects import Project, ServiceAccount, read_projects
from mixpanel_etl.sandbox.serve import read_lines, serve
from mixpanel_etl.sandbox.server import Sandbox
from mixpanel_etl.sandbox.state import SeenRequest
from mixpanel_etl.sandbox.store import Kept

__all__ = [
    "Clock",
    "Fault",
    "Kept",
    "Project",
    "Sandbox",
    "SeenRequest",
    "ServiceAccount",
    "generate_lines",
    "read_lines",
    "read_projects",
    "serve",
]
