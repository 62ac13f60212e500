"""Scripts in JQL. Source: mixpanel-api.md#query-jql."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mixpanel_etl.client.http.encoding import json_string
from mixpanel_etl.client.http.json_items import items
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import FORM, calls
from mixpanel_etl.client.operations.parameters import given
from mixpanel_etl.client.query.base import QueryApi, query_operations

operation = query_operations("query-jql")


class JqlQueries(QueryApi):
    """JQL."""

    @operation("POST", "/jql", sends=FORM, idempotent=True, budgets=("jql", "query"), open_keys=True)
    def jql(self, script: str, params: Mapping[str, Any] | None = None) -> Any:
        """The result of a script's `main()`. Counted in two budgets; 2 minutes and 5 GB (mixpanel-api.md#query-jql).

        Args:
            script: JavaScript with a function `main`.
            params: values of the script's global variable `params`.
        """
        return self._json(form=_form(script, params))

    @calls(jql)
    def jql_items(self, script: str, params: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """The items of the array that a script's `main()` returns, without holding the whole reply in memory.

        Args:
            script: same as in `jql`.
            params: same as in `jql`.

        Raises:
            IncompleteResponse: the reply ended early, after items that have been handed out already.
        """
        with self._stream(form=_form(script, params)) as body:
            yield from items(body, self.transport.scrubber(), self.transport.settings.max_line_bytes)


def _form(script: str, params: Mapping[str, Any] | None) -> dict[str, str]:
    return {
        "script": parameters.string("script", script),
        **given(params=None if params is None else json_string(dict(params))),
    }
