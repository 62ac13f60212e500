"""All errors have one root, and the tree at the top of `mixpanel_etl.errors` is the tree that the code has."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import mixpanel_etl
from mixpanel_etl import errors
from mixpanel_etl.errors import MixpanelEtlError

#: Errors that never leave the package: the transport and the sandbox's server turn them into others.
INTERNAL = {"BodyError", "Unframed", "OutOfTime", "BadCell", "ApiError"}


def drawn() -> set[tuple[str, str]]:
    """Pairs (parent, child) of the drawing."""
    pairs, ancestors = set(), ["MixpanelEtlError"]
    for line in (errors.__doc__ or "").splitlines():
        if match := re.fullmatch(r"((?:│   |    )*)[├└]── (\w+)", line):
            depth = len(match[1]) // 4
            ancestors[depth + 1 :] = [match[2]]
            pairs.add((ancestors[depth], match[2]))
    return pairs


def declared() -> Iterator[type[BaseException]]:
    """All exceptions that the package declares."""
    for module in pkgutil.walk_packages(mixpanel_etl.__path__, "mixpanel_etl."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, BaseException) and value.__module__ == module.name:
                yield value


def test_every_error_has_the_one_root() -> None:
    public = [error for error in declared() if not error.__name__.startswith("_")]
    assert {error.__name__ for error in public if not issubclass(error, MixpanelEtlError)} == INTERNAL


def test_the_drawn_tree_is_the_tree_of_the_code() -> None:
    actual = {
        (parent.__name__, error.__name__)
        for error in declared()
        for parent in error.__bases__
        if issubclass(parent, MixpanelEtlError) and not error.__name__.startswith("_")
    }
    assert drawn() == actual
