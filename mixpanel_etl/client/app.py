"""What the App API says about whoever is asking. Source: mixpanel-api.md#me."""

from __future__ import annotations

from typing import Any

import msgspec

from mixpanel_etl.client.http.transport import Transport
from mixpanel_etl.client.operations.catalogue import CATALOGUE
from mixpanel_etl.client.operations.operation import Request
from mixpanel_etl.client.operations.replies import Reply, typed

ME = CATALOGUE["me"]


class Me(Reply, frozen=True, kw_only=True):
    """The account behind the credentials. Mixpanel does not document the shape, so nothing in it is promised."""

    status: str | None = None
    results: dict[str, Any] = msgspec.field(default_factory=dict)


def me(transport: Transport) -> Me:
    """Ask who we are: the cheapest proof that host and credentials are right. Counted in no budget.

    Raises:
        MixpanelError: one of the kinds in `client.errors`.
    """
    return typed(Me, transport.json(Request(ME)), endpoint=ME.endpoint)
