"""The user of an event, by the three ID merge APIs of projects. Source: mixpanel-api.md#identity-merge.

Simplified: an event with `$user_id` and `$device_id` links the device to the user. Original: `$identify`,
`$create_alias` and `$merge` join ids to clusters. Legacy: `$create_alias` only, and only for later events. Ingestion
accepts any id of a cluster; queries and exports show the canonical one, also of rows that were stored before.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from mixpanel_etl.sandbox.engine.event_line import with_properties
from mixpanel_etl.sandbox.engine.event_store import EventStore
from mixpanel_etl.sandbox.engine.json_values import as_string
from mixpanel_etl.sandbox.engine.profiles import Profiles
from mixpanel_etl.sandbox.engine.projects import Project

MAX_CLUSTER = 500
IDENTITY_EVENTS = ("$identify", "$create_alias", "$merge")
_DEVICE = "$device:"
_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)

Properties = dict[str, Any]


def assign_events(store: EventStore, project_id: int, owners: Mapping[str, str]) -> int:
    """Assign the events of each id to its owner, as later exports show them. Returns the number of rewritten copies.

    Rewritten rows keep the old id in `$distinct_id_before_identity`, and their `mp_processing_time_ms`.
    """

    def rewritten(distinct_id: str, line: bytes) -> bytes:
        before = {"$distinct_id_before_identity": distinct_id}
        return with_properties(line, {"distinct_id": owners[distinct_id]}, defaults=before)

    return store.rewrite(project_id, owners, rewritten)


class Identities:
    """The canonical id of every other id of each project."""

    def __init__(self, store: EventStore, profiles: Profiles) -> None:
        self._store, self._profiles = store, profiles
        self._canonical: dict[int, dict[str, str]] = defaultdict(dict)
        self._members: dict[int, dict[str, set[str]]] = defaultdict(dict)
        self._stale: dict[int, set[str]] = defaultdict(set)

    def canonical(self, project_id: int, distinct_id: str) -> str:
        """The id under which queries and exports show the user of an id."""
        return self._canonical[project_id].get(distinct_id, distinct_id)

    def members(self, project_id: int, distinct_id: str) -> set[str]:
        """All ids of the same user, including this one."""
        return self._members[project_id].get(self.canonical(project_id, distinct_id), {distinct_id})

    def learn(self, project: Project, event: str, sent: Properties) -> Properties:
        """Learn the identities of an event; `rewrite` then applies them to stored rows.

        Returns properties to store with the event: the reason for a rejection, if any.
        """
        if project.id_merge == "simplified":
            return self._link(project, _user_id(sent), _device_id(sent))
        if project.id_merge == "legacy":
            return self._alias_for_later(project, sent) if event == "$create_alias" else {}
        return _MERGES[event](self, project, sent) if event in _MERGES else {}

    def identify(self, project: Project, event: str, sent: Properties) -> Properties:
        """`distinct_id` and other id properties to store with an event."""
        properties = (
            _simplified_ids(sent) if project.id_merge == "simplified" else {"distinct_id": _own_id(event, sent)}
        )
        before = properties["distinct_id"]
        canonical = self.canonical(project.project_id, before)
        if canonical == before:
            return properties
        return {**properties, "distinct_id": canonical, "$distinct_id_before_identity": before}

    def join(self, project: Project, from_id: str, to_id: str) -> int:
        """Merge `from_id` into `to_id`, including stored rows. Returns the number of rewritten rows."""
        self._join(project, from_id, to_id)
        return self.rewrite(project.project_id)

    def rewrite(self, project_id: int) -> int:
        """Apply the identities learned since the last call to stored rows. Returns their number."""
        ids = sorted(self._stale.pop(project_id, set()))
        owners = {distinct_id: self.canonical(project_id, distinct_id) for distinct_id in ids}
        return assign_events(self._store, project_id, owners) if owners else 0

    def clear(self) -> None:
        """Forget the identities of all projects."""
        self._canonical.clear()
        self._members.clear()
        self._stale.clear()

    def _join(self, project: Project, from_id: str, to_id: str) -> None:
        project_id, sent = project.project_id, from_id
        from_id, to_id = self.canonical(project_id, from_id), self.canonical(project_id, to_id)
        # Rows that were loaded, not ingested, can still have the id that was sent.
        self._stale[project_id] |= {sent, from_id} - {to_id}
        if from_id != to_id:
            self._note(project_id, from_id, to_id)
            if project.id_merge != "simplified":  # there, the profile of a device is not merged
                self._profiles.merge_users(project_id, from_id, to_id)

    def _note(self, project_id: int, from_id: str, to_id: str) -> None:
        gone = self._members[project_id].pop(from_id, {from_id})
        self._members[project_id].setdefault(to_id, {to_id}).update(gone)
        self._canonical[project_id].update(dict.fromkeys(gone, to_id))

    def _link(self, project: Project, user: str, device: str) -> Properties:
        if not user or not device:
            return {}
        linked = self.canonical(project.project_id, _DEVICE + device)
        if linked == _DEVICE + device:
            self._join(project, linked, user)
        elif linked != self.canonical(project.project_id, user):
            return {"$identity_failure_reason": "the device is linked to another user already"}
        return {}

    def _identify(self, project: Project, sent: Properties) -> Properties:
        anonymous, identified = str(sent["$anon_id"]), str(sent["$identified_id"])
        if not _UUID4.fullmatch(anonymous):
            return _rejected("invalid_anon_id", "$anon_id is not a UUID v4")
        if len(self.members(project.project_id, anonymous)) > 1 and not self._same(project, anonymous, identified):
            return _rejected("anon_id_already_merged", "$anon_id belongs to another cluster already")
        return self._merge(project, identified, anonymous)

    def _alias(self, project: Project, sent: Properties) -> Properties:
        alias, distinct_id = str(sent["alias"]), str(sent["distinct_id"])
        if len(self.members(project.project_id, alias)) > 1 and not self._same(project, alias, distinct_id):
            return _rejected("alias_already_used", "the alias belongs to another id already")
        return self._merge(project, distinct_id, alias)

    def _alias_for_later(self, project: Project, sent: Properties) -> Properties:
        alias, distinct_id = str(sent["alias"]), str(sent["distinct_id"])
        if alias in self._canonical[project.project_id]:
            return _rejected("alias_already_used", "the alias belongs to another id already")
        if alias != distinct_id:
            self._note(project.project_id, alias, self.canonical(project.project_id, distinct_id))
        return {}

    def _merge_pair(self, project: Project, sent: Properties) -> Properties:
        first, second = (str(member) for member in sent["$distinct_ids"])
        return self._merge(project, first, second)

    def _merge(self, project: Project, first: str, second: str) -> Properties:
        ids = self.members(project.project_id, first) | self.members(project.project_id, second)
        if len(ids) > MAX_CLUSTER:
            return _rejected("cluster_too_large", f"a cluster has at most {MAX_CLUSTER} ids")
        # Which id becomes the canonical one is unpredictable in Mixpanel; here it is reproducible.
        candidates = {self.canonical(project.project_id, member) for member in (first, second)}
        winner = min(candidates, key=_digest)
        for loser in candidates - {winner}:
            self._join(project, loser, winner)
        return {}

    def _same(self, project: Project, first: str, second: str) -> bool:
        return self.canonical(project.project_id, first) == self.canonical(project.project_id, second)


_MERGES: dict[str, Callable[[Identities, Project, Properties], Properties]] = {
    "$identify": Identities._identify,
    "$create_alias": Identities._alias,
    "$merge": Identities._merge_pair,
}


def is_ignored(project: Project, event: str) -> bool:
    """Whether the project's ID merge API accepts an identity event without storing it."""
    known = {"simplified": (), "legacy": ("$create_alias",), "original": IDENTITY_EVENTS}[project.id_merge]
    return event in IDENTITY_EVENTS and event not in known


def identity_problem(event: str, properties: Properties) -> str | None:
    """The missing property of an identity event; None for a valid one, and for all other events."""
    if event == "$merge":
        ids = properties.get("$distinct_ids")
        if not isinstance(ids, list) or len(ids) != 2 or not all(isinstance(member, str) and member for member in ids):
            return "$distinct_ids"
    wanted = {"$identify": ("$identified_id", "$anon_id"), "$create_alias": ("distinct_id", "alias")}.get(event, ())
    return next((name for name in wanted if not isinstance(properties.get(name), str) or not properties[name]), None)


def _simplified_ids(sent: Properties) -> Properties:
    """The user is `$user_id`, else the device; a `distinct_id` alone is one of both."""
    user, device = _user_id(sent), _device_id(sent)
    if user:
        ids = {"distinct_id": user, "$user_id": user}
    else:
        ids = {"distinct_id": _DEVICE + device if device else _id(sent.get("distinct_id"))}
    return {**ids, "$device_id": device} if device else ids


def _user_id(sent: Properties) -> str:
    user, given = _id(sent.get("$user_id")), _id(sent.get("distinct_id"))
    alone = not user and not _id(sent.get("$device_id")) and not given.startswith(_DEVICE)
    return given if alone else user


def _device_id(sent: Properties) -> str:
    device, given = _id(sent.get("$device_id")), _id(sent.get("distinct_id"))
    alone = not device and not _id(sent.get("$user_id")) and given.startswith(_DEVICE)
    return given.removeprefix(_DEVICE) if alone else device


def _own_id(event: str, sent: Properties) -> str:
    """The id that was sent; of an identity event, the identified one."""
    if event == "$identify":
        return _id(sent["$identified_id"])
    if event == "$merge":
        return _id(sent["$distinct_ids"][0])
    for name, prefix in (("distinct_id", ""), ("$user_id", ""), ("$device_id", _DEVICE)):
        if sent.get(name) is not None:
            return prefix + _id(sent[name])
    return ""


def _id(value: object) -> str:
    return "" if value is None else as_string(value)


def _rejected(reason: str, description: str) -> Properties:
    return {"$failure_reason": reason, "$failure_description": description}


def _digest(distinct_id: str) -> bytes:
    return hashlib.sha256(distinct_id.encode()).digest()
