"""The account behind the credentials: `GET /me`. Source: mixpanel-api.md#me."""

from __future__ import annotations

from typing import Any

import msgspec

from mixpanel_etl.client.operations.api import Api, Operations
from mixpanel_etl.client.operations.replies import Reply, typed

operation = Operations("app", "me")


class Me(Reply, frozen=True, kw_only=True):
    """The account behind the credentials. Mixpanel does not document the shape."""

    status: str | None = None
    results: dict[str, Any] = msgspec.field(default_factory=dict)


class App(Api):
    """The part of `Mixpanel` that asks about the account itself."""

    @operation("GET", "/me")
    def me(self) -> Me:
        """The account behind the credentials: a test of host and credentials, counted in no budget.

        Raises:
            MixpanelError: one of the kinds in `client.errors`.
        """
        return typed(self._json(), Me)
