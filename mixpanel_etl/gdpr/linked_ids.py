"""The ids that belong to a person, with the row that says so. Source: mixpanel-api.md#export-records, #identity-merge.

Everybody can send an event: the project's token is public. So a row proves only what Mixpanel itself made of it, its
canonical `distinct_id`. All other ids of a row are claims, which a person accepts or not (`confirmation`).
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mixpanel_etl.gdpr.erased_ids import Ids
from mixpanel_etl.gdpr.evidence import REASONS, Evidence, Grade, Reason
from mixpanel_etl.gdpr.id_rows import IdRow, Place, rows_of
from mixpanel_etl.gdpr.lake_files import LakeFile, lake_files
from mixpanel_etl.lake.person_columns import ID_COLUMNS
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.reserved_ids import is_reserved

#: Maximum number of ids that Mixpanel joins (mixpanel-api.md#identity-merge). Of an id that leads to more, the rest is
#: counted only.
MAX_IDS = 500
_DEVICE = "$device:"
_WORKERS = min(2, os.cpu_count() or 1)
_STRENGTH = {reason: -place for place, reason in enumerate(REASONS)}


@dataclass(frozen=True)
class Person:
    """A person, as the lake knows it.

    Attributes:
        ids: the ids that are certain: those that were named first, then the others, sorted.
        evidence: why: of each id that was not named, also of those that are merely claimed and not in `ids`.
        seen_in: where the lake has one of `ids` (`events.device_id`, `profiles.properties.$distinct_id`), and in how
            many rows.
        shared: ids that lead to other people as well, with the number of users or ids to which they lead: devices of
            several users (also claims), and ids that lead to more than 500, of which the rest is left out.
        unseen: named ids that no row of the lake has in a column for ids.
        unread: number of files that could not be read.
    """

    ids: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()
    seen_in: Mapping[str, int] = field(default_factory=dict)
    shared: Mapping[str, int] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()
    unread: int = 0

    @property
    def claims(self) -> tuple[Evidence, ...]:
        """Ids that a stranger may have tied to this person; a person decides about them."""
        return tuple(one for one in self.evidence if one.grade == "claimed")


def expand(lake: str, ids: Iterable[str]) -> dict[str, Person]:
    """Find the ids of persons of whom one id is known each; see `expand_together`."""
    return expand_together(lake, {one: [one] for one in ids})


def expand_together(lake: str, persons: Mapping[str, Collection[str]]) -> dict[str, Person]:
    """Find the ids that belong to persons, and say of each why, and whether it is certain.

    Certain are the ids that are named, and the devices of which every row of the lake belongs to a named id, as
    Mixpanel resolved it. All others that stand beside a certain id in a row, or in the properties by which Mixpanel
    resolves identities, are claims. A claim leads no further. Ids that Mixpanel itself rejects (`undefined`, `0`...)
    lead nowhere.

    All persons are looked for at the same time: the lake is read twice at most, a row group at a time.

    Args:
        lake: path, `file://` or `s3://` URI.
        persons: ids of each person: distinct ids, device ids, user ids or aliases.

    Returns:
        A person for each of the names.

    Raises:
        OSError: the lake cannot be read.
    """
    files = [file for file in lake_files(storage(lake)) if file.name.endswith(".parquet")]
    known = _Known()
    known.read(files, {one for ids in persons.values() for one in ids})
    known.read(files, {device for ids in persons.values() for device in known.devices(ids)})
    return {name: known.person(list(dict.fromkeys(ids))) for name, ids in persons.items()}


@dataclass
class _Tie:
    """What joins an id to another one: the strongest reason of all, its first row, and all users of the rows."""

    reason: Reason
    place: str
    event: str
    first: Place
    rows: int = 0
    users: set[str] = field(default_factory=set)


@dataclass
class _Device:
    """What all rows that name an id say of it as a device."""

    users: set[str] = field(default_factory=set)
    has_unresolved: bool = False
    is_rejected: bool = False
    is_user: bool = False
    is_distinct_id: bool = False


class _Known:
    """What the rows read so far say of the ids that were looked for."""

    def __init__(self) -> None:
        self._read: set[str] = set()
        self._ties: dict[str, dict[str, _Tie]] = defaultdict(dict)
        self._beyond: Counter[str] = Counter()  # ties that are counted only
        self._devices: dict[str, _Device] = defaultdict(_Device)
        self._places: dict[str, Counter[str]] = defaultdict(Counter)
        self._seen: set[str] = set()
        self._unread: set[str] = set()

    def read(self, files: list[LakeFile], ids: Iterable[str]) -> None:
        """Look for ids in all files, each under both names that it has as a device."""
        named = {_plain(one) for one in ids if _is_valid_id(one)}
        wanted = (named | {_DEVICE + one for one in named}) - self._read
        if not wanted:
            return
        self._read |= wanted
        looked_for = Ids(wanted)
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="expand") as pool:
            for file, rows in zip(files, pool.map(lambda one: rows_of(one, looked_for), files), strict=True):
                if rows is None:
                    self._unread.add(file.name)
                for row, place in (rows or {}).items():
                    self._learn(row, place, wanted)

    def devices(self, ids: Iterable[str]) -> list[str]:
        """The devices that stand beside some ids in columns, at most 500 of each id."""
        of_each = ([_plain(other) for other in self._devices_of(one)] for one in ids)
        return [device for found in of_each for device in found[:MAX_IDS]]

    def person(self, named: list[str]) -> Person:
        """What is known of the person to whom these ids belong."""
        certain = dict.fromkeys(named)
        evidence: dict[str, Evidence] = {}
        for one in named:
            for device in self._devices_of(one)[:MAX_IDS]:
                own = self._ties[one][device]
                if device not in certain and device not in evidence and self._is_own(device, named, own):
                    evidence[device] = _evidence(device, one, own, "certain", 1)
        for one in [*named, *evidence]:
            twin = _twin(one)
            if twin not in certain and twin not in evidence and (tie := self._ties[one].get(twin)):
                known = self._devices[_plain(one)]
                # A query for a device returns its user's data; and `$device:anna` may be a stranger's device.
                is_another = known.is_user or (known.is_distinct_id and one.startswith(_DEVICE))
                grade: Grade = "certain" if known.users <= set(named) and not is_another else "claimed"
                evidence[twin] = _evidence(twin, one, tie, grade, max(len(known.users), 1))
        certain |= dict.fromkeys(sorted(one for one, why in evidence.items() if why.grade == "certain"))
        for one in certain:
            for name in dict.fromkeys((one, _plain(one))):  # rows have a device under its short name, too
                for other, tie in self._ties[name].items():
                    if other not in certain and other not in evidence:
                        evidence[other] = self._claim(other, name, tie)
        for claimed in [one for one, why in evidence.items() if why.grade == "claimed" and one.startswith(_DEVICE)]:
            if _plain(claimed) in evidence or _plain(claimed) in certain:
                del evidence[claimed]  # the same device, once
        return Person(
            ids=tuple(certain),
            evidence=tuple(evidence.values()),
            seen_in=self._seen_in(certain),
            shared=self._shared(certain, evidence.values()),
            unseen=tuple(one for one in named if one not in self._seen and _twin(one) not in self._seen),
            unread=len(self._unread),
        )

    def _learn(self, row: IdRow, place: Place, wanted: Collection[str]) -> None:
        in_columns = dict(zip(ID_COLUMNS, row.columns, strict=True))
        everything = [*((name, one) for name, one in in_columns.items() if one), *row.named]
        for device in {_plain(one) for _, one in everything if one in wanted}:
            self._learn_device(device, row)
        for column, one in everything:
            if one in wanted:
                self._places[one][f"{place.table}.{column}"] += place.rows
                self._seen |= {one} if column in ID_COLUMNS else set()
        for one in {value for _, value in everything if value in wanted}:
            for column, other in everything:
                if other != one and _is_valid_id(other):
                    self._tie(one, other, column, row, place)

    def _learn_device(self, device: str, row: IdRow) -> None:
        known, (distinct_id, used, user) = self._devices[device], row.columns
        if len(known.users) <= MAX_IDS:
            known.users |= {one for one in (distinct_id, user) if _is_valid_id(one) and _plain(one) != device}
        known.is_rejected |= row.is_rejected
        known.is_user |= user == device or (distinct_id == device and used not in ("", device))
        known.is_distinct_id |= distinct_id == device != used
        known.has_unresolved |= not _is_valid_id(distinct_id) or _plain(distinct_id) == device

    def _tie(self, one: str, other: str, column: str, row: IdRow, place: Place) -> None:
        ties, reason = self._ties[one], _reason(one, other, column, row)
        tie = ties.get(other)
        if tie is None:
            if len(ties) >= MAX_IDS and reason not in ("own_device", "unresolved_device", "same_device"):
                self._beyond[one] += place.rows
                return
            tie = ties[other] = _Tie(reason, column, row.event, place)
        elif _STRENGTH[reason] > _STRENGTH[tie.reason]:
            tie.reason, tie.place, tie.event, tie.first = reason, column, row.event, place
        tie.rows += place.rows
        if len(tie.users) <= MAX_IDS:
            tie.users |= {each for each in (row.columns[0], row.columns[2], other) if _is_user(each)}

    def _devices_of(self, one: str) -> list[str]:
        return [other for other, tie in self._ties[one].items() if tie.reason in ("own_device", "unresolved_device")]

    def _is_own(self, device: str, named: Collection[str], tie: _Tie) -> bool:
        known = self._devices[_plain(device)]
        is_clean = not (known.is_rejected or known.is_user or known.is_distinct_id or known.has_unresolved)
        return tie.reason == "own_device" and is_clean and known.users <= set(named)

    def _claim(self, other: str, one: str, tie: _Tie) -> Evidence:
        """Why an id is no more than claimed, and how many users it joins."""
        users = len(tie.users)
        if tie.reason in ("own_device", "unresolved_device"):
            known = self._devices[_plain(other)]
            users = len(known.users | ({_plain(other)} if known.is_user else set()))
            reason: Reason = "shared_device" if users > 1 else "unresolved_device"
            if known.is_rejected and users < 2:
                reason = "rejected_by_mixpanel"
            tie = _Tie(reason, tie.place, tie.event, tie.first, tie.rows)
        elif tie.reason == "user_on_device":
            users = len(self._devices[_plain(one)].users)
        return _evidence(other, one, tie, "claimed", max(users, 1))

    def _seen_in(self, ids: Iterable[str]) -> dict[str, int]:
        seen: Counter[str] = Counter()
        for one in ids:
            seen.update(self._places.get(one, {}))
        return dict(sorted(seen.items()))

    def _shared(self, ids: Iterable[str], evidence: Iterable[Evidence]) -> dict[str, int]:
        shared = {one.id: one.users for one in evidence if one.reason == "shared_device"}
        for one in ids:
            beyond = self._beyond[one] + max(len(self._devices_of(one)) - MAX_IDS, 0)
            if beyond:
                shared[one] = len(self._ties[one]) + beyond
        return shared


def _reason(one: str, other: str, column: str, row: IdRow) -> Reason:
    """What the row says of `other`, which stands in `column`, to a person who has the id `one`."""
    distinct_id, device, user = row.columns
    in_columns = column in ID_COLUMNS and one in row.columns
    is_device = other in (device, _DEVICE + device)
    found: dict[Reason, bool] = {  # the first that is so
        "same_device": _plain(one) == _plain(other),
        "rejected_by_mixpanel": row.is_rejected,
        "own_device": in_columns and one == distinct_id and column == "device_id" and row.is_resolved,
        "identity_event": bool(row.event),
        "unresolved_device": in_columns and one == user and is_device,
        "user_on_device": in_columns and _plain(one) == device,
        "same_row": in_columns,
        "event_property": row.has_event,
        "profile_property": True,
    }
    return next(reason for reason, is_so in found.items() if is_so)


def _evidence(one: str, tied_to: str, tie: _Tie, grade: Grade, users: int) -> Evidence:
    return Evidence(
        id=one,
        grade=grade,
        reason=tie.reason,
        tied_to=tied_to,
        file=tie.first.file,
        row=tie.first.row,
        place=tie.place,
        event=tie.event,
        rows=tie.rows,
        users=users,
    )


def _plain(one: str) -> str:
    return one.removeprefix(_DEVICE)


def _twin(one: str) -> str:
    """The other name that a device has."""
    return _plain(one) if one.startswith(_DEVICE) else _DEVICE + one


def _is_valid_id(one: str) -> bool:
    """Whether it identifies a user or a device: Mixpanel rejects reserved ids (mixpanel-api.md#reserved-ids)."""
    return not is_reserved(_plain(one))


def _is_user(one: str) -> bool:
    return _is_valid_id(one) and not one.startswith(_DEVICE)
