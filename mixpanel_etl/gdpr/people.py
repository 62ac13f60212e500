"""All ids of a person, from what the events and profiles of the lake say of each. Specification 7; api-facts 2.3, 5."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mixpanel_etl.client.events import NOBODY
from mixpanel_etl.gdpr.files import LakeFile, lake_files
from mixpanel_etl.gdpr.matching import Ids
from mixpanel_etl.lake.identity import ID_COLUMNS, ID_PROPERTY_NAMES
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.lake.texts import as_text
from mixpanel_etl.lake.tokens import tokens

#: Mixpanel joins at most so many ids (api-facts 5). What leads to more belongs to nobody in particular.
MOST_IDS = 500
_DEVICE = "$device:"
_DEVICE_NAMES = ("device_id", "$device_id", "$device_ids")
_WORKERS = min(2, os.cpu_count() or 1)
#: Properties beside the columns of the same meaning, which hold the same values.
_ONLY_IN_PROPERTIES = frozenset(ID_PROPERTY_NAMES) - {"distinct_id", "$device_id", "$user_id"}


@dataclass(frozen=True)
class Person:
    """A person, as the lake knows it.

    Attributes:
        ids: all ids; the one that was asked for first, the others sorted.
        seen_in: where the lake names one of these (`events.device_id`, `profiles.properties.$distinct_id`), and in how
            many rows.
        shared: ids of this person's rows that lead to others as well and were not followed, with the number of users or
            ids to which they lead: devices of several users, and what leads to more than 500 ids.
    """

    ids: tuple[str, ...]
    seen_in: Mapping[str, int] = field(default_factory=dict)
    shared: Mapping[str, int] = field(default_factory=dict)


class _Link(NamedTuple):
    """What one row says: all its `ids` are one person, who used the devices; others may have used them, too."""

    ids: frozenset[str]
    devices: frozenset[str]


def expand(lake: str, ids: Iterable[str]) -> dict[str, Person]:
    """Find all ids that belong to the same persons, however many rows lead from one to the next.

    Two ids are one person's when a row has both: in the columns `distinct_id`, `user_id` and `device_id`, or in the
    properties with which Mixpanel notes merges, aliases and identities. With three limits. A device that several users
    have logged in on belongs to none of them (unless other rows say that these users are one person). Ids that Mixpanel
    itself refuses (`undefined`, `0`...) and the empty one lead nowhere. An id that leads to more than 500 others is not
    followed. What is left out is reported in `Person.shared`.

    All persons are looked for at the same time: the lake is read once for each step from id to id (two or three, as a
    rule), a row group at a time.

    Args:
        lake: path, `file://` or `s3://` URI.
        ids: distinct ids, device ids, user ids or aliases.

    Returns:
        A person for each of the ids; one that the lake does not know has itself only.

    Raises:
        OSError: the lake cannot be read.
    """
    wanted = list(dict.fromkeys(ids))
    files = [file for file in lake_files(storage(lake)) if file.name.endswith(".parquet")]
    known = _Known()
    frontier = known.worth_following(wanted)
    while frontier:
        known.asked |= frontier
        for link, places in _links(files, Ids(frontier)):
            known.learn(link, places)
        frontier = known.worth_following(one for asked in wanted for one in known.person(asked)[0])
    return {one: known.described(one) for one in wanted}


class _Known:
    """What the rows read so far say of ids."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self._same: dict[str, set[str]] = defaultdict(set)
        self._devices: dict[str, set[str]] = defaultdict(set)  # of an id
        self._users: dict[str, set[str]] = defaultdict(set)  # of a device
        self._places: dict[str, Counter[str]] = defaultdict(Counter)

    def learn(self, link: _Link, places: Mapping[str, Mapping[str, int]]) -> None:
        for one in link.ids:
            self._add(self._same[one], link.ids - {one})
            self._devices[one] |= link.devices
        for device in link.devices:
            self._add(self._users[device], link.ids)
        for one, found in places.items():
            self._places[one].update(found)

    def worth_following(self, ids: Iterable[str]) -> set[str]:
        """Those that were not asked for yet, a device under both of its names."""
        new = set(_somebody(one.removeprefix(_DEVICE) for one in ids)) - self.asked
        return new | {_DEVICE + one for one in new}

    def person(self, seed: str) -> tuple[set[str], dict[str, int]]:
        """The ids of the person, and those that lead to others as well: the latter are not among the former."""
        found = {seed}
        shared: dict[str, int] = {}
        users = self._of_device(seed)
        if len(users) == 1:
            found |= users
        elif users:
            shared[seed] = len(users)
        pending = sorted(found)
        devices: set[str] = set()
        joined: set[str] = set()
        while pending:
            while pending:  # whatever is the same person for certain comes first
                one = pending.pop()
                if len(self._same[one]) > MOST_IDS:
                    shared[one] = len(self._same[one])
                    continue
                pending += self._same[one] - found
                found |= self._same[one]
                devices |= self._devices[one]
            for device in devices - joined:
                if self._of_device(device) <= found:
                    joined.add(device)
                    pending += {device, *self._anonymous(device)} - found
            found.update(pending)
        shared |= {device: len(self._of_device(device)) for device in devices - joined}
        return found, shared

    @staticmethod
    def _add(known: set[str], more: Iterable[str]) -> None:
        if len(known) <= MOST_IDS:
            known |= set(more)

    def _of_device(self, device: str) -> set[str]:
        return {one for one in self._users.get(device.removeprefix(_DEVICE), ()) if not one.startswith(_DEVICE)}

    def _anonymous(self, device: str) -> set[str]:
        return self._users[device] & {_DEVICE + device}

    def described(self, seed: str) -> Person:
        ids, shared = self.person(seed)
        seen: Counter[str] = Counter()
        for one in ids:
            seen.update(self._places.get(one, {}))
        return Person((seed, *sorted(ids - {seed})), dict(sorted(seen.items())), shared)


def _links(files: list[LakeFile], ids: Ids) -> Iterator[tuple[_Link, dict[str, Counter[str]]]]:
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="expand") as pool:
        for found in pool.map(lambda file: _links_of(file, ids), files):
            yield from found.items()


def _links_of(file: LakeFile, ids: Ids) -> dict[_Link, dict[str, Counter[str]]]:
    """The different links in a file, and where it names which of their ids how often."""
    links: dict[_Link, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    try:
        with file.store.open(file.name) as handle, pq.ParquetFile(handle, pre_buffer=False) as parquet:
            columns = _telling_columns(parquet.schema_arrow)
            for number in range(parquet.num_row_groups) if columns else ():
                rows = parquet.read_row_group(number, columns=columns, use_threads=False)
                theirs, mentions = ids.in_table(rows)
                for numbers, anyway in ((theirs, True), (mentions, False)):
                    if numbers:
                        taken = rows.take(pa.array(sorted(numbers), pa.int64()))
                        _note(taken, file.table, ids.all, links, anyway=anyway)
    except (FileNotFoundError, pa.ArrowInvalid):
        return {}
    return links


def _telling_columns(schema: pa.Schema) -> list[str]:
    """The columns of a table of persons that say who they are; none for other tables."""
    if not set(schema.names) & set(ID_COLUMNS):
        return []
    names = (*ID_COLUMNS, "event_name", "properties")
    return [field.name for field in schema if field.name in names or isinstance(field.type, pa.BaseExtensionType)]


def _note(
    rows: pa.Table, table: str, ids: frozenset[str], links: dict[_Link, dict[str, Counter[str]]], *, anyway: bool
) -> None:
    """Note what rows say of ids; of others' rows (not `anyway`) only those that join one to an id, as an alias does."""
    columns = {
        name: text.to_list()
        for name, column in zip(rows.column_names, rows.columns, strict=True)
        if (text := as_text(name, column)) is not None
    }
    for number in range(rows.num_rows):
        named = [(name, value) for name in ID_COLUMNS if (value := (columns.get(name) or {number: None})[number])]
        event = (columns.get("event_name") or {number: ""})[number]
        for name, values in columns.items():
            text = values[number]
            if name not in ID_COLUMNS and text and text.lstrip()[:1] == "{":
                named += [(f"{name}.{key}", value) for key, value in _named(text, event == "$create_alias")]
        link = _link(named)
        if not anyway and not ids & (link.ids | link.devices):
            continue
        for place, value in set(named):
            if value in ids:
                links[link][value][f"{table}.{place}"] += 1
        links[link]  # noted, even if the ids asked for are only in its properties


def _named(text: str, is_alias: bool) -> Iterator[tuple[str, str]]:
    names = _ONLY_IN_PROPERTIES | {"alias"} if is_alias else _ONLY_IN_PROPERTIES
    return ((token.name, token.value) for token in tokens(text) if token.depth == 1 and token.name in names)


def _link(named: list[tuple[str, str]]) -> _Link:
    devices = {value for place, value in named if place.rpartition(".")[2] in _DEVICE_NAMES}
    ids = {value for _, value in named} - devices
    devices |= {one.removeprefix(_DEVICE) for one in ids if one.startswith(_DEVICE)}
    return _Link(_somebody(ids - devices), _somebody(devices))


def _somebody(ids: Iterable[str]) -> frozenset[str]:
    """Without those that Mixpanel refuses (api-facts 4.1): whoever sends them has not said who it is."""
    return frozenset(one for one in ids if one and one.lower() not in NOBODY)
