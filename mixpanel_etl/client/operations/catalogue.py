"""Every operation of the client by attribute and method, such as `query.segmentation`, collected from the methods."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mixpanel_etl.client.mixpanel import APIS, Mixpanel
from mixpanel_etl.client.operations.api import declared
from mixpanel_etl.client.operations.operation import Operation

CATALOGUE: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        **declared(Mixpanel),
        **{f"{api}.{name}": operation for api, kind in APIS.items() for name, operation in declared(kind).items()},
    }
)
