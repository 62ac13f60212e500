"""Dagster: a folder per feature (component, assets, checks, schedules, sensors), and what they share.

Components are imported from `mixpanel_etl`. Here is what a team's own code needs besides them: resources,
the base to write a component, and the items of components that have a list.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mixpanel_etl.extras import require

require("dagster")

if TYPE_CHECKING:
    from mixpanel_etl.dagster.component import MixpanelComponent
    from mixpanel_etl.dagster.connectors.assets import ConnectorImport
    from mixpanel_etl.dagster.fields import OpSpec
    from mixpanel_etl.dagster.push.assets import PushAsset
    from mixpanel_etl.dagster.reports.yaml_entries import NamedReport
    from mixpanel_etl.dagster.resource import MixpanelResource
    from mixpanel_etl.dagster.typed_events.assets import TypedEvent
    from mixpanel_etl.dagster.warehouse import WarehouseResource

__all__ = [
    "ConnectorImport",
    "MixpanelComponent",
    "MixpanelResource",
    "NamedReport",
    "OpSpec",
    "PushAsset",
    "TypedEvent",
    "WarehouseResource",
]

#: Imported when they are first used: features import this package before they exist themselves.
_MODULES = {
    "ConnectorImport": "connectors.assets",
    "MixpanelComponent": "component",
    "MixpanelResource": "resource",
    "NamedReport": "reports.yaml_entries",
    "OpSpec": "fields",
    "PushAsset": "push.assets",
    "TypedEvent": "typed_events.assets",
    "WarehouseResource": "warehouse",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
