"""Mistakes in YAML, reported with file and line as Dagster reports its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, NamedTuple, NoReturn, TypeVar

import dagster as dg

from mixpanel_etl.dagster.internals import ResolutionException
from mixpanel_etl.lake import ConfigurationError

_Value = TypeVar("_Value")
_Resolved = TypeVar("_Resolved")


class Mistake(NamedTuple):
    """What is wrong at one place.

    Attributes:
        path: path to the value, from the place of `context`.
        message: what is wrong, and what to write instead.
        context: context of the field or of the list's entry.
    """

    path: Sequence[str | int]
    message: str
    context: dg.ResolutionContext

    def __str__(self) -> str:
        context = self.context
        if context.source_position_tree is None:
            return self.message
        path = [*context.path, *self.path]
        tree = context.source_position_tree
        for number, part in enumerate(path):
            # A bare `on` is a boolean to YAML 1.1.
            path[number] = True if part == "on" and True in tree.children else part
            tree = tree.children.get(path[number], tree)
        source = context.source_position_tree.source_error(path, self.message, value_error=False)
        return f"{source.file_name}:{source.start_line_no}: {self.message}\n{source.snippet}"


def reject(mistakes: Sequence[Mistake]) -> NoReturn:
    """Stop loading.

    Raises:
        ResolutionException: with all mistakes; Dagster shows it as it is.
    """
    raise ResolutionException("\n".join(map(str, mistakes)))


def located(resolve: Callable[[dg.ResolutionContext, _Value], _Resolved]) -> Callable[..., _Resolved]:
    """A resolver whose `ConfigurationError` becomes a mistake with file and line."""

    @wraps(resolve)
    def resolved(context: dg.ResolutionContext, value: _Value) -> _Resolved:
        try:
            return resolve(context, value)
        except ConfigurationError as error:
            reject([Mistake((), str(error), context)])

    return resolved


def rendered(context: dg.ResolutionContext, value: Any) -> Any:
    """A value with its templates filled in, and every other string as it was written.

    Dagster itself takes each string for a template, so that `"10"` becomes a number: an event may have this name.
    """
    if isinstance(value, Mapping):
        return {name: rendered(context.at_path(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rendered(context.at_path(number), inner) for number, inner in enumerate(value)]
    return context.resolve_value(value) if isinstance(value, str) and "{{" in value else value
