"""Identity API: ids of the same person. Source: mixpanel-api.md#identity-merge."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from mixpanel_etl.client.errors import InvalidRequest, RecordsRejected
from mixpanel_etl.client.http.credentials import OAuthToken, ProjectSecret, ProjectToken, ServiceAccount
from mixpanel_etl.client.http.encoding import as_base64, as_json
from mixpanel_etl.client.ingestion.api import Imported, check_accepted, ingestion_cost
from mixpanel_etl.client.ingestion.events import MAX_EVENTS
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import BASE64, JSON, Api, Operations, calls
from mixpanel_etl.client.operations.replies import typed
from mixpanel_etl.quoting import described
from mixpanel_etl.reserved_ids import RESERVED_IDS

links = Operations(
    "ingestion", "identity-merge", accepts=(ProjectToken,), budgets=("ingestion",), credentials_in="body"
)
merges = Operations(
    "ingestion", "identity-merge", accepts=(ServiceAccount, ProjectSecret, OAuthToken), budgets=("ingestion",)
)

Link = Literal["merge", "identify", "alias"]
IdMerge = Literal["original", "legacy", "simplified"]

#: The event that makes each kind of link.
EVENTS: Mapping[Link, str] = {"merge": "$merge", "identify": "$identify", "alias": "$create_alias"}
IDENTITY_EVENTS = frozenset(EVENTS.values())
_NOT_SUPPORTED = re.compile(r"(?i)simplified|not supported|unsupported")


class Identity(Api):
    """Links ids, in projects with Original ID Merge (aliases: Legacy too).

    Projects with Simplified ID Merge ignore a link that is sent to `/track`, and reject a whole batch of `/import` that
    contains one: `id_merge` says which kind a project is. A link can't be undone, and takes up to a day to take effect
    everywhere. Mixpanel chooses which id remains. Every method raises `InvalidRequest` before anything is sent, and one
    of the kinds in `client.errors` otherwise.
    """

    @links("POST", "/track", "$anon_id is a UUIDv4", sends=BASE64, idempotent=True)
    def create_identity(self, identified_id: str, anon_id: str) -> None:
        """Link an anonymous id, which must be a UUIDv4 that was never linked, to a known one."""
        self._track("identify", identified_id, anon_id)

    @links("POST", "/track", sends=BASE64, idempotent=True)
    def create_alias(self, distinct_id: str, alias: str) -> None:
        """Give a user a second id. An alias belongs to one user."""
        self._track("alias", distinct_id, alias)

    @merges("POST", "/import", "exactly two ids", sends=JSON, idempotent=True)
    def merge(self, distinct_id: str, other_id: str) -> Imported:
        """Merge two users into one. Up to 500 ids can be one user."""
        return self.import_links("merge", [(distinct_id, other_id)])

    @calls(merge)
    def import_links(self, link: Link, pairs: Sequence[tuple[str, str]]) -> Imported:
        """Make up to 2,000 links of one kind in one request. May be repeated: a link that exists changes nothing.

        Args:
            link: kind of link: `merge`, `identify` (known id, anonymous id) or `alias` (user, alias).
            pairs: two ids for each link.

        Raises:
            InvalidRequest: a pair can't be linked; names the id.
            RecordsRejected: some links were rejected, see `failed_records`; the others are stored.
        """
        if not 0 < len(pairs) <= MAX_EVENTS:
            raise InvalidRequest(f"{len(pairs):,} links", advice=f"Give 1 to {MAX_EVENTS:,} in one request.")
        token = {}
        if self.transport.settings.project_token is not None:
            # One description demands it, the other's example leaves it out (mixpanel-api.md#identity-merge).
            token = {"token": str(self.transport.project_token())}
        return self._import([(link, {**link_properties(link, *pair), **token}) for pair in pairs])

    def id_merge(self) -> IdMerge:
        """ID merge of the project. Found out by sending links without ids, which no project can store."""
        if self._knows("merge"):
            return "original"
        return "legacy" if self._knows("alias") else "simplified"

    def foreign_events(self) -> frozenset[str]:
        """Names of the identity events that the project's ID merge does not have."""
        known = {"original": IDENTITY_EVENTS, "legacy": {EVENTS["alias"]}, "simplified": frozenset[str]()}
        return IDENTITY_EVENTS - known[self.id_merge()]

    def _knows(self, link: Link) -> bool:
        """Whether the project rejects an empty link for its ids, instead of rejecting or accepting every link."""
        try:
            self._import([(link, {})])
        except RecordsRejected as error:
            return any(not _NOT_SUPPORTED.search(record.message) for record in error.failed_records)
        return False

    @calls(merge)
    def _import(self, links: Sequence[tuple[Link, Mapping[str, Any]]]) -> Imported:
        project = self.transport.settings.project_id
        body = as_json([{"event": EVENTS[link], "properties": properties} for link, properties in links])
        reply = self._json(
            query={"strict": "1", **({"project_id": str(project)} if project else {})},
            body=body,
            cost=ingestion_cost(len(body.content), len(links)),
        )
        return typed(reply, Imported)

    def _track(self, link: Link, first: str, second: str) -> None:
        properties = link_properties(link, first, second)
        token = self.transport.project_token()
        data = as_base64({"event": EVENTS[link], "properties": {**properties, "token": str(token)}})
        reply = self._json(
            query={"ip": "0", "verbose": "1"},
            form={"data": data, "strict": "1"},
            cost=ingestion_cost(len(data), 1),
            secrets=(data,),
        )
        check_accepted(reply, 1)


def link_properties(link: Link, first: str, second: str) -> dict[str, Any]:
    """The properties of the event that links two ids.

    Raises:
        InvalidRequest: they can't be linked; names the id.
    """
    names = {"merge": ("distinct_id", "other_id"), "identify": ("identified_id", "anon_id")}
    one, other = names.get(link, ("distinct_id", "alias"))
    if link == "identify" and not _is_uuid4(second):
        raise InvalidRequest(
            f"anon_id is {described(second)}",
            advice="Mixpanel links UUIDs of version 4 only; see merge.",
        )
    first, second = _valid_id(one, first), _valid_id(other, second)
    if first == second:
        raise InvalidRequest("both ids are the same", advice="Give two ids.")
    if link == "merge":
        return {"$distinct_ids": [first, second]}
    if link == "identify":
        return {"$identified_id": first, "$anon_id": second}
    return {"distinct_id": first, "alias": second}


def _valid_id(name: str, value: str) -> str:
    if parameters.string(name, value).lower() in RESERVED_IDS:
        raise InvalidRequest(f"{name} is {value!r}, a placeholder that Mixpanel ignores", advice="Give a real id.")
    return value


def _is_uuid4(value: str) -> bool:
    try:
        return UUID(value).version == 4
    except (ValueError, AttributeError, TypeError):
        return False
