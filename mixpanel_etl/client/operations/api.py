"""What the groups of the client have in common: operations by name, and the bodies they send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.http.encoding import Body, as_form, as_json
from mixpanel_etl.client.http.transport import Transport
from mixpanel_etl.client.operations.catalogue import CATALOGUE
from mixpanel_etl.client.operations.operation import Operation, Request
from mixpanel_etl.client.operations.replies import wire


class Group:
    """Base of the groups. A method calls the operation of its own name."""

    group: ClassVar[str]

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _operation(self, name: str) -> Operation:
        return CATALOGUE[f"{self.group}.{name}"]

    def _endpoint(self, name: str) -> str:
        return self._operation(name).endpoint

    def _call(self, name: str, **parts: Any) -> Any:
        """Send, and decode the JSON of the reply. See `_request` for the parts."""
        return self._transport.json(self._request(name, **parts))

    def _do(self, name: str, **parts: Any) -> Any:
        """Send where the reply need say no more than that it worked; what it says, if that is a JSON object."""
        return self._transport.done(self._request(name, **parts))

    def _request(
        self,
        name: str,
        *,
        query: Mapping[str, str | Sequence[str]] | None = None,
        path: Mapping[str, str | int] | None = None,
        json: Any = None,
        form: Mapping[str, str | Sequence[str]] | None = None,
        body: Body | None = None,
        **parts: Any,
    ) -> Request:
        operation = self._operation(name)
        _check_path(path or {}, operation.endpoint)
        if json is not None:
            body = as_json(wire(json))
        elif form is not None:
            body = as_form(form)
        return Request(
            operation,
            query=query or {},
            path={**self._numbers(operation), **(path or {})},
            body=body.content if body else None,
            headers=body.headers if body else {},
            **parts,
        )

    def _numbers(self, operation: Operation) -> dict[str, int]:
        return {
            name: self._transport.required(name, operation.endpoint)
            for name in ("project_id", "workspace_id")
            if f"{{{name}}}" in operation.path
        }


def _check_path(values: Mapping[str, str | int], endpoint: str) -> None:
    """Refuse what no quoting saves: `DELETE schemas/event/..` would arrive as `DELETE schemas`, and delete them all."""
    for name, value in values.items():
        if value in (".", ".."):
            raise InvalidRequest(
                f"{name} is {value!r}, which names another path", endpoint=endpoint, advice="Do this in Mixpanel's UI."
            )
