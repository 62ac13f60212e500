"""An API of Mixpanel as a class whose methods declare their operations.

    operation = Operations("app", prefix="/projects/{project_id}/annotations", source="annotations")

    class Annotations(Api):
        @operation("DELETE", "/{annotation_id}")
        def delete_annotation(self, annotation_id: int) -> None:
            self._done(path={"annotation_id": annotation_id})

The catalogue, the reference page and the tests collect the operations from the methods. Within a method, `self` is the
API during a call of the operation: it knows what to send, and errors that are raised without an endpoint get it here.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from inspect import isgenerator
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, cast

from mixpanel_etl.client.errors import InvalidRequest, located
from mixpanel_etl.client.http.credentials import (
    Credential,
    OAuthToken,
    ProjectSecret,
    ProjectToken,
    ServiceAccount,
)
from mixpanel_etl.client.http.encoding import Body, as_form, as_json
from mixpanel_etl.client.http.regions import Family
from mixpanel_etl.client.http.response import Response
from mixpanel_etl.client.http.transport import Transport
from mixpanel_etl.client.operations.operation import Method, Operation, Place, Request
from mixpanel_etl.client.operations.replies import results, typed, wire

READERS = (ServiceAccount, ProjectSecret)
WRITERS = (ServiceAccount, ProjectSecret, ProjectToken, OAuthToken)

FORM, JSON, NDJSON, CSV, BASE64 = "form", "JSON", "JSON or NDJSON, gzip", "CSV, gzip", "form, base64"

T = TypeVar("T")
A = TypeVar("A", bound="Api")
P = ParamSpec("P")
R = TypeVar("R")

_Parts = Mapping[str, str | Sequence[str]]


class Api:
    """Base of the APIs."""

    _operation: Operation

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def _json(self, **parts: Any) -> Any:
        """Send, and decode the JSON of the reply. See `_request` for the parts."""
        return self.transport.json(self._request(**parts))

    def _result(self, kind: type[T], **parts: Any) -> T:
        """Send, and read what the App API answers in `results`."""
        return typed(results(self._json(**parts)), kind)

    def _done(self, **parts: Any) -> Any:
        """Send where success is all that matters; returns the reply if it is a JSON object."""
        return self.transport.done(self._request(**parts))

    def _stream(self, **parts: Any) -> AbstractContextManager[Response]:
        """Send, and hand out the response with its body unread."""
        return self.transport.stream(self._request(**parts))

    def _request(
        self,
        *,
        query: _Parts | None = None,
        path: Mapping[str, str | int] | None = None,
        json: Any = None,
        form: _Parts | None = None,
        body: Body | None = None,
        **parts: Any,
    ) -> Request:
        _check_path(path or {})
        if json is not None:
            body = as_json(wire(json))
        elif form is not None:
            body = as_form(form)
        return Request(
            self._operation,
            query=query or {},
            path={**self._ids_of_settings(), **(path or {})},
            body=body.content if body else None,
            headers=body.headers if body else {},
            **parts,
        )

    def _ids_of_settings(self) -> dict[str, int]:
        return {
            name: self.transport.required(name)
            for name in ("project_id", "workspace_id")
            if f"{{{name}}}" in self._operation.path
        }

    def _located(self) -> AbstractContextManager[None]:
        return located(self._operation.endpoint, self.transport.settings.prefix)

    def _each(self, items: Iterator[T]) -> Iterator[T]:
        with self._located():
            yield from items


@dataclass(frozen=True)
class Operations:
    """What the operations of an API have in common. Calling it declares one of them, on its method.

    Args:
        family: see `Operation`.
        source: see `Operation`.
        prefix: beginning of all paths.
        accepts: see `Operation`.
        budgets: see `Operation`.
        credentials_in: see `Operation`.
    """

    family: Family
    source: str
    prefix: str = ""
    accepts: tuple[type[Credential], ...] = (ServiceAccount,)
    budgets: tuple[str, ...] = ()
    credentials_in: Place = "header"

    def __call__(
        self,
        method: Method,
        path: str = "",
        *limits: str,
        sends: str = "",
        accepts: tuple[type[Credential], ...] | None = None,
        budgets: tuple[str, ...] | None = None,
        idempotent: bool | Literal["as sent"] | None = None,
        open_keys: bool = False,
    ) -> Callable[[Callable[Concatenate[A, P], R]], Callable[Concatenate[A, P], R]]:
        """Declare the operation that a method calls.

        Args:
            method: HTTP method.
            path: path below the prefix.
            limits: what is checked before sending, in words.
            sends: see `Operation`.
            accepts: accepted credentials, if others than those of the API.
            budgets: budgets, if others than those of the API.
            idempotent: see `Operation`; true by default, except for POST.
            open_keys: see `Operation`.
        """
        return _calling(
            Operation(
                method,
                self.family,
                self.prefix + path,
                accepts=self.accepts if accepts is None else accepts,
                budgets=self.budgets if budgets is None else budgets,
                idempotent=method != "POST" if idempotent is None else idempotent,
                source=self.source,
                sends=sends,
                limits=limits,
                credentials_in=self.credentials_in,
                open_keys=open_keys,
            )
        )


def calls(method: Callable[..., Any]) -> Callable[[Callable[Concatenate[A, P], R]], Callable[Concatenate[A, P], R]]:
    """Declare that a method calls the operation of another one."""
    operation: Operation = getattr(method, "calls")  # noqa: B009 - a function has it only once it is declared
    return _calling(operation, declares=False)


def declared(api: type[Api]) -> dict[str, Operation]:
    """The operations that the methods of an API declare, by method."""
    methods = {name: getattr(api, name) for kind in api.__mro__ for name in vars(kind)}
    return {name: method.declares for name, method in methods.items() if hasattr(method, "declares")}


def _calling(
    operation: Operation, *, declares: bool = True
) -> Callable[[Callable[Concatenate[A, P], R]], Callable[Concatenate[A, P], R]]:
    def decorate(function: Callable[Concatenate[A, P], R]) -> Callable[Concatenate[A, P], R]:
        @functools.wraps(function)
        def method(api: A, /, *arguments: P.args, **options: P.kwargs) -> R:
            during = copy.copy(api)  # other threads may be in other calls
            during._operation = operation
            with during._located():
                result = function(during, *arguments, **options)
            return cast("R", during._each(result)) if isgenerator(result) else result

        vars(method).update({"calls": operation} | ({"declares": operation} if declares else {}))
        return method

    return decorate


def _check_path(values: Mapping[str, str | int]) -> None:
    """Reject `..`, which quoting can't keep in place: `DELETE schemas/event/..` would delete all `schemas`."""
    for name, value in values.items():
        if value in (".", ".."):
            raise InvalidRequest(f"{name} is {value!r}, which names another path", advice="Do this in Mixpanel's UI.")
