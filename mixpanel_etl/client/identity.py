"""Identity API: which ids are the same person. Source: specification 7; api-facts 5."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from mixpanel_etl.client import parameters
from mixpanel_etl.client.encoding import as_base64
from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.events import NOBODY
from mixpanel_etl.client.group import Group
from mixpanel_etl.client.ingestion import Imported, accepted
from mixpanel_etl.client.replies import typed
from mixpanel_etl.quoting import described


class Identity(Group):
    """Links ids, in projects with Original ID Merge (aliases: Legacy too). Others ignore these calls without a word.

    A link can't be undone, and takes up to a day to show everywhere. Mixpanel chooses which id remains. Every method
    raises `InvalidRequest` before anything is sent, and one of the kinds in `client.errors` when Mixpanel refuses.
    """

    group = "identity"

    def create_identity(self, identified_id: str, anon_id: str) -> None:
        """Link an anonymous id, which must be a UUIDv4 that was never linked, to a known one."""
        endpoint = self._endpoint("create_identity")
        if not _is_uuid4(anon_id):
            raise InvalidRequest(
                f"anon_id is {described(anon_id)}",
                endpoint=endpoint,
                advice="Mixpanel links UUIDs of version 4 only; see merge.",
            )
        properties = {"$identified_id": _somebody("identified_id", identified_id, endpoint), "$anon_id": anon_id}
        self._track("create_identity", "$identify", properties)

    def create_alias(self, distinct_id: str, alias: str) -> None:
        """Give a user a second id. An alias belongs to one user."""
        endpoint = self._endpoint("create_alias")
        properties = {
            "distinct_id": _somebody("distinct_id", distinct_id, endpoint),
            "alias": _somebody("alias", alias, endpoint),
        }
        if distinct_id == alias:
            raise InvalidRequest("alias is the distinct_id itself", endpoint=endpoint, advice="Give two ids.")
        self._track("create_alias", "$create_alias", properties)

    def merge(self, distinct_id: str, other_id: str) -> Imported:
        """Merge two users into one. Up to 500 ids can be one user."""
        endpoint = self._endpoint("merge")
        ids = [_somebody("distinct_id", distinct_id, endpoint), _somebody("other_id", other_id, endpoint)]
        if distinct_id == other_id:
            raise InvalidRequest("both ids are the same", endpoint=endpoint, advice="Give two ids.")
        properties: dict[str, Any] = {"$distinct_ids": ids}
        if self._transport.settings.project_token is not None:
            # One description demands it, the other's example leaves it out (api-facts 5).
            properties["token"] = self._transport.project_token(endpoint)
        project = self._transport.settings.project_id
        reply = self._call(
            "merge",
            query={"strict": "1", **({"project_id": str(project)} if project else {})},
            json=[{"event": "$merge", "properties": properties}],
            cost={"megabytes": 1, "thousand events": 1},
        )
        return typed(Imported, reply, endpoint=endpoint)

    def _track(self, name: str, event: str, properties: dict[str, Any]) -> None:
        token = self._transport.project_token(self._endpoint(name))
        data = as_base64({"event": event, "properties": {**properties, "token": token}})
        reply = self._call(
            name,
            query={"ip": "0", "verbose": "1"},
            form={"data": data, "strict": "1"},
            cost={"megabytes": 1, "thousand events": 1},
            secrets=(data,),
        )
        accepted(reply, self._endpoint(name))


def _somebody(name: str, value: str, endpoint: str) -> str:
    if parameters.text(name, value, endpoint).lower() in NOBODY:
        raise InvalidRequest(f"{name} is {value!r}, which is nobody's id", endpoint=endpoint, advice="Give a real id.")
    return value


def _is_uuid4(value: str) -> bool:
    try:
        return UUID(value).version == 4
    except (ValueError, AttributeError, TypeError):
        return False
