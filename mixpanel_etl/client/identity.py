"""Identity API: which ids are the same person. Source: mixpanel-api.md#identity-merge."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from mixpanel_etl.client.errors import InvalidRequest, RecordsRejected
from mixpanel_etl.client.http.encoding import as_base64, as_json
from mixpanel_etl.client.ingestion.api import Imported, accepted, ingestion_cost
from mixpanel_etl.client.ingestion.events import MOST_EVENTS as MAX_EVENTS
from mixpanel_etl.client.ingestion.events import NOBODY
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import Group
from mixpanel_etl.client.operations.replies import typed
from mixpanel_etl.quoting import described

Link = Literal["merge", "identify", "alias"]
IdMerge = Literal["original", "legacy", "simplified"]

#: The event that makes each kind of link.
EVENTS: Mapping[Link, str] = {"merge": "$merge", "identify": "$identify", "alias": "$create_alias"}
IDENTITY_EVENTS = frozenset(EVENTS.values())
_NOT_SUPPORTED = re.compile(r"(?i)simplified|not supported|unsupported")


class Identity(Group):
    """Links ids, in projects with Original ID Merge (aliases: Legacy too).

    Projects with Simplified ID Merge ignore a link that is sent to `/track`, and refuse a whole batch of `/import` that
    has one: `id_merge` says which kind a project is. A link can't be undone, and takes up to a day to show everywhere.
    Mixpanel chooses which id remains. Every method raises `InvalidRequest` before anything is sent, and one of the
    kinds in `client.errors` when Mixpanel refuses.
    """

    group = "identity"

    def create_identity(self, identified_id: str, anon_id: str) -> None:
        """Link an anonymous id, which must be a UUIDv4 that was never linked, to a known one."""
        self._track("create_identity", "identify", identified_id, anon_id)

    def create_alias(self, distinct_id: str, alias: str) -> None:
        """Give a user a second id. An alias belongs to one user."""
        self._track("create_alias", "alias", distinct_id, alias)

    def merge(self, distinct_id: str, other_id: str) -> Imported:
        """Merge two users into one. Up to 500 ids can be one user."""
        return self.import_links("merge", [(distinct_id, other_id)])

    def import_links(self, link: Link, pairs: Sequence[tuple[str, str]]) -> Imported:
        """Make up to 2,000 links of one kind in one request. May be repeated: a link that exists changes nothing.

        Args:
            link: kind of the links: `merge`, `identify` (known id, anonymous id) or `alias` (user, alias).
            pairs: the two ids of each link.

        Raises:
            InvalidRequest: a pair can't be a link; names it.
            RecordsRejected: some links were not made; its `failed_records` says which, and the others were.
        """
        endpoint = self._endpoint("merge")
        if not 0 < len(pairs) <= MAX_EVENTS:
            raise InvalidRequest(
                f"{len(pairs):,} links", endpoint=endpoint, advice=f"Give 1 to {MAX_EVENTS:,} in one request."
            )
        token = {}
        if self._transport.settings.project_token is not None:
            # One description demands it, the other's example leaves it out (mixpanel-api.md#identity-merge).
            token = {"token": str(self._transport.project_token(endpoint))}
        return self._import([(link, {**link_properties(link, *pair, endpoint), **token}) for pair in pairs])

    def id_merge(self) -> IdMerge:
        """Which ID merge the project has. Asked with links that lack their ids: no project can make one of them."""
        if self._knows("merge"):
            return "original"
        return "legacy" if self._knows("alias") else "simplified"

    def foreign_events(self) -> frozenset[str]:
        """Names of the identity events that the project's ID merge does not have."""
        known = {"original": IDENTITY_EVENTS, "legacy": {EVENTS["alias"]}, "simplified": frozenset[str]()}
        return IDENTITY_EVENTS - known[self.id_merge()]

    def _knows(self, link: Link) -> bool:
        """Whether the project finds fault with an empty link, instead of with any link, or with none."""
        try:
            self._import([(link, {})])
        except RecordsRejected as error:
            return any(not _NOT_SUPPORTED.search(record.message) for record in error.failed_records)
        return False

    def _import(self, links: Sequence[tuple[Link, Mapping[str, Any]]]) -> Imported:
        project = self._transport.settings.project_id
        body = as_json([{"event": EVENTS[link], "properties": properties} for link, properties in links])
        reply = self._call(
            "merge",
            query={"strict": "1", **({"project_id": str(project)} if project else {})},
            body=body,
            cost=ingestion_cost(len(body.content), len(links)),
        )
        return typed(Imported, reply, endpoint=self._endpoint("merge"))

    def _track(self, name: str, link: Link, first: str, second: str) -> None:
        endpoint = self._endpoint(name)
        properties = link_properties(link, first, second, endpoint)
        token = self._transport.project_token(endpoint)
        data = as_base64({"event": EVENTS[link], "properties": {**properties, "token": str(token)}})
        reply = self._call(
            name,
            query={"ip": "0", "verbose": "1"},
            form={"data": data, "strict": "1"},
            cost=ingestion_cost(len(data), 1),
            secrets=(data,),
        )
        accepted(reply, 1, endpoint)


def link_properties(link: Link, first: str, second: str, endpoint: str = "") -> dict[str, Any]:
    """The properties of the event that links two ids.

    Raises:
        InvalidRequest: they can't be linked; names the id.
    """
    names = {"merge": ("distinct_id", "other_id"), "identify": ("identified_id", "anon_id")}
    one, other = names.get(link, ("distinct_id", "alias"))
    if link == "identify" and not _is_uuid4(second):
        raise InvalidRequest(
            f"anon_id is {described(second)}",
            endpoint=endpoint,
            advice="Mixpanel links UUIDs of version 4 only; see merge.",
        )
    first, second = _valid_id(one, first, endpoint), _valid_id(other, second, endpoint)
    if first == second:
        raise InvalidRequest("both ids are the same", endpoint=endpoint, advice="Give two ids.")
    if link == "merge":
        return {"$distinct_ids": [first, second]}
    if link == "identify":
        return {"$identified_id": first, "$anon_id": second}
    return {"distinct_id": first, "alias": second}


def _valid_id(name: str, value: str, endpoint: str) -> str:
    if parameters.text(name, value, endpoint).lower() in NOBODY:
        raise InvalidRequest(f"{name} is {value!r}, which is nobody's id", endpoint=endpoint, advice="Give a real id.")
    return value


def _is_uuid4(value: str) -> bool:
    try:
        return UUID(value).version == 4
    except (ValueError, AttributeError, TypeError):
        return False
