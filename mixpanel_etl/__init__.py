"""Mixpanel to Parquet and back, as Dagster assets, without losing a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixpanel_etl.dagster.components import MixpanelAnnotation as MixpanelAnnotation
    from mixpanel_etl.dagster.components import MixpanelCatalogue as MixpanelCatalogue
    from mixpanel_etl.dagster.components import MixpanelCohorts as MixpanelCohorts
    from mixpanel_etl.dagster.components import MixpanelExport as MixpanelExport
    from mixpanel_etl.dagster.components import MixpanelGdpr as MixpanelGdpr
    from mixpanel_etl.dagster.components import MixpanelLexicon as MixpanelLexicon
    from mixpanel_etl.dagster.components import MixpanelProfiles as MixpanelProfiles
    from mixpanel_etl.dagster.components import MixpanelPush as MixpanelPush
    from mixpanel_etl.dagster.components import MixpanelReports as MixpanelReports
    from mixpanel_etl.dagster.components import MixpanelTypedEvents as MixpanelTypedEvents
    from mixpanel_etl.dagster.components import MixpanelWarehouseSync as MixpanelWarehouseSync

#: The components.
__all__ = [
    "MixpanelAnnotation",
    "MixpanelCatalogue",
    "MixpanelCohorts",
    "MixpanelExport",
    "MixpanelGdpr",
    "MixpanelLexicon",
    "MixpanelProfiles",
    "MixpanelPush",
    "MixpanelReports",
    "MixpanelTypedEvents",
    "MixpanelWarehouseSync",
]


def __getattr__(name: str) -> Any:
    # Components are named `mixpanel_etl.X` in YAML; the client, the lake and the sandbox can do without Dagster.
    if name in __all__:
        from mixpanel_etl.dagster import components

        return getattr(components, name)
    raise AttributeError(name)


def __dir__() -> list[str]:
    # `dg list components` finds them here.
    return sorted([*globals(), *__all__])
