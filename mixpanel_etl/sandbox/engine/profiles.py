"""The profiles of users and groups, by project. Source: mixpanel-api.md#profile-updates, #identity-merge.

A profile is replaced, never changed in place, so that a profile or a dict of them is a snapshot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any

Change = Callable[["Profile | None"], "Profile | None"]


@dataclass(frozen=True)
class Profile:
    """Properties as `/engage` queries show them, `$last_seen` included; `last_updated` is aware, in UTC."""

    properties: Mapping[str, Any] = field(default_factory=dict)
    last_updated: datetime = field(kw_only=True)


class Profiles:
    """The profiles of all projects, in memory. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users: dict[int, dict[str, Profile]] = defaultdict(dict)
        self._groups: dict[int, dict[str, dict[str, Profile]]] = defaultdict(lambda: defaultdict(dict))

    def users(self, project_id: int) -> dict[str, Profile]:
        """The users of a project, by canonical distinct_id, in the order of creation. A copy."""
        with self._lock:
            return dict(self._users[project_id])

    def groups(self, project_id: int, group_key: str) -> dict[str, Profile]:
        """The groups of one key, by group id. A copy; empty for an unknown key."""
        with self._lock:
            return dict(self._groups[project_id][group_key])

    def group_keys(self, project_id: int) -> list[str]:
        """The keys of the project's groups, in the order of creation."""
        with self._lock:
            return [key for key, members in self._groups[project_id].items() if members]

    def change_user(self, project_id: int, distinct_id: str, change: Change) -> None:
        """Replace the user's profile with `change(profile)`; None stands for a missing profile, before and after."""
        with self._lock:
            _change(self._users[project_id], distinct_id, change)

    def change_group(self, project_id: int, group_key: str, group_id: str, change: Change) -> None:
        """Same as `change_user`, for a group."""
        with self._lock:
            _change(self._groups[project_id][group_key], group_id, change)

    def merge_users(self, project_id: int, from_id: str, to_id: str) -> None:
        """Merge the profile of `from_id` into that of `to_id`, whose own properties win."""
        with self._lock:
            users = self._users[project_id]
            gone = users.pop(from_id, None)
            if gone is not None:
                kept = users.get(to_id, gone)
                merged = {**gone.properties, **kept.properties}
                users[to_id] = Profile(merged, last_updated=max(gone.last_updated, kept.last_updated))

    def clear(self) -> None:
        """Forget all profiles of all projects."""
        with self._lock:
            self._users.clear()
            self._groups.clear()


def _change(members: dict[str, Profile], name: str, change: Change) -> None:
    after = change(members.get(name))
    if after is None:
        members.pop(name, None)
    else:
        members[name] = after
