"""Mixpanel to Parquet and back, as Dagster assets, without losing a row.

    from mixpanel_etl import Mixpanel

    with Mixpanel.from_env() as mixpanel:
        counts = mixpanel.query.segmentation("Purchase", "2026-01-01", "2026-01-31")

Names are imported when they are first used: the client needs no Dagster. See the table of extras in README.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixpanel_etl.client import Mixpanel
    from mixpanel_etl.dagster.components import (
        MixpanelAnnotations,
        MixpanelCatalogue,
        MixpanelCohorts,
        MixpanelConnectors,
        MixpanelExport,
        MixpanelGdpr,
        MixpanelLexicon,
        MixpanelProfiles,
        MixpanelPush,
        MixpanelReports,
        MixpanelTypedEvents,
    )
    from mixpanel_etl.errors import MixpanelEtlError
    from mixpanel_etl.lake import Lake
    from mixpanel_etl.settings import Settings

    __version__: str

__all__ = [
    "Lake",
    "Mixpanel",
    "MixpanelAnnotations",
    "MixpanelCatalogue",
    "MixpanelCohorts",
    "MixpanelConnectors",
    "MixpanelEtlError",
    "MixpanelExport",
    "MixpanelGdpr",
    "MixpanelLexicon",
    "MixpanelProfiles",
    "MixpanelPush",
    "MixpanelReports",
    "MixpanelTypedEvents",
    "Settings",
    "__version__",
]

#: Modules of the names other than components.
_MODULES = {"Lake": "lake", "Mixpanel": "client", "MixpanelEtlError": "errors", "Settings": "settings"}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mixpanel_etl")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'dagster.components')}"), name)


def __dir__() -> list[str]:
    # `dg list components` finds them here.
    return sorted({*globals(), *__all__})
