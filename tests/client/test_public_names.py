"""What `mixpanel_etl.client` exports: the client, its errors, and the types of all parameters and replies."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any, get_args, get_type_hints

import pytest

import mixpanel_etl.client
from mixpanel_etl.client import Mixpanel, MixpanelError
from mixpanel_etl.client.mixpanel import APIS
from mixpanel_etl.client.operations.api import Api, declared
from mixpanel_etl.client.operations.replies import Reply

HEAVY = ("dagster", "polars", "pyarrow", "duckdb", "numpy")


def _classes(hint: Any) -> set[type]:
    """The classes of this package in a type, at every depth."""
    inner = set[type]().union(*(_classes(argument) for argument in get_args(hint)))
    if not isinstance(hint, type) or not hint.__module__.startswith("mixpanel_etl.client"):
        return inner
    fields = get_type_hints(hint).values() if issubclass(hint, Reply) else ()
    return {hint, *inner}.union(*(_classes(field) for field in fields))


def _of_methods(api: type[Api]) -> set[type]:
    methods = [getattr(api, name) for name in declared(api)]
    return set[type]().union(*(_classes(hint) for method in methods for hint in get_type_hints(method).values()))


def test_every_type_of_a_parameter_or_reply_is_exported() -> None:
    apis: list[type[Api]] = [Mixpanel, *APIS.values()]
    types = set(APIS.values()).union(*map(_of_methods, apis))
    assert not {kind.__name__ for kind in types} - set(mixpanel_etl.client.__all__)


def test_every_error_of_a_request_is_exported() -> None:
    def kinds(error: type[MixpanelError]) -> set[str]:
        return {error.__name__}.union(*map(kinds, error.__subclasses__()))

    assert kinds(MixpanelError) <= set(mixpanel_etl.client.__all__)


def test_exported_names_exist_are_sorted_and_documented() -> None:
    names = mixpanel_etl.client.__all__
    exported = {name: getattr(mixpanel_etl.client, name) for name in names}
    assert names == sorted(names)
    assert not [name for name, value in exported.items() if isinstance(value, type) and not inspect.getdoc(value)]


def test_importing_the_client_loads_no_heavy_library() -> None:
    code = f"import sys, mixpanel_etl.client; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("name", ["Segmentation", "Funnel", "Unit", "NewFlag", "WarehouseImport", "Event"])
def test_names_that_the_docs_use_are_exported(name: str) -> None:
    assert name in mixpanel_etl.client.__all__
