"""Where the ids of persons are: by the meaning of a column or JSON key, and by the form of a value.

Anyone can send an id to Mixpanel, also one that reads `checkout`, `2026-11-10` or `events.parquet`. So an id counts
where ids of persons are: in columns and under keys that name persons. Elsewhere it counts only if its form tells that
it is an id and nothing else, as that of a UUID, an e-mail address or a long number.
Source: mixpanel-api.md#export-records, #identity-merge.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache

import pyarrow as pa

#: The columns that name a person; each has a Bloom filter in the files of the lake.
ID_COLUMNS = ("distinct_id", "device_id", "user_id")
#: Properties with which Mixpanel itself says which ids are one person.
ID_PROPERTY_NAMES = (
    "distinct_id",
    "$distinct_id",
    "$device_id",
    "$user_id",
    "$distinct_id_before_identity",
    "$preshuffle_distinct_id",
    "mp_original_distinct_id",
    "$identified_id",
    "$anon_id",
    "$distinct_ids",
    "$device_ids",
)
#: Properties of profiles by which people are known as well: a report by one of them has a row for each person.
_KNOWN_BY = frozenset({"email", "phone", "name", "username"})
#: Metadata of a field whose values are ids of persons though its name does not say so. Of a JSON column: the keys whose
#: values are.
_DECLARED = b"mixpanel_etl.persons"
_PROPERTY = b"mixpanel.property"
_ALL = b"*"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^(\$|mp_)+|_[0-9a-f]{8}$", "", name.lower()))


_PLAIN_NAMES = {*map(_plain, ID_PROPERTY_NAMES), "alias", "resolveddistinctid", "userids"}


@lru_cache(10_000)
def names_a_person(name: str) -> bool:
    """Whether a column or JSON key of this name holds ids of persons; `userId` and `USER_ID` are one name."""
    return _plain(name) in _PLAIN_NAMES


def is_known_by(property_name: str) -> bool:
    """Whether each value of a property stands for one person: an id, or a name, phone number or e-mail address."""
    return names_a_person(property_name) or property_name.lower().removeprefix("$") in _KNOWN_BY


def declare_persons(field: pa.Field, keys: Collection[str] | None = None) -> pa.Field:
    """A field whose schema says that its values are ids of persons.

    Args:
        field: of a table's schema.
        keys: of a JSON column: the keys whose values are ids, instead of the values of the column itself.
    """
    value = _ALL if keys is None else json.dumps(sorted(keys)).encode()
    return field.with_metadata({**(field.metadata or {}), _DECLARED: value})


def declares_persons(schema: pa.Schema) -> bool:
    """Whether a column holds ids of persons that its name does not tell of."""
    return any(_declared(field) == _ALL for field in schema)


def holds_persons(field: pa.Field) -> bool:
    """Whether the values of a column are ids of persons: by its name, its property's or its declaration."""
    return names_a_person(field.name) or names_a_person(_property(field)) or _declared(field) == _ALL


def identifies_owner(field: pa.Field) -> bool:
    """Whether a column says whose a row is, as Mixpanel or the table's declaration understands it."""
    return field.name in ID_COLUMNS or _property(field) in ID_PROPERTY_NAMES or _declared(field) == _ALL


def person_keys(field: pa.Field) -> frozenset[str]:
    """The keys of a JSON column that are declared to hold ids of persons."""
    declared = _declared(field)
    return frozenset() if declared in (b"", _ALL) else frozenset(json.loads(declared))


def _declared(field: pa.Field) -> bytes:
    declared: bytes = (field.metadata or {}).get(_DECLARED, b"")
    return declared


def _property(field: pa.Field) -> str:
    name: bytes = (field.metadata or {}).get(_PROPERTY, b"")
    return name.decode(errors="replace")


#: What Mixpanel's replies are made of; dates are not ids either.
_REPLY_WORDS = {
    *("all", "average", "computed_at", "count", "counts", "data", "date", "dates", "error", "event", "events"),
    *("first", "goal", "headers", "legend_size", "meta", "min_sampling_factor", "$overall", "overall", "property"),
    *("results", "series", "session_id", "status", "steps", "time", "type", "unit", "value", "values"),
}
_DATE = re.compile(r"\d{4}-\d\d-\d\d.*")


@dataclass(frozen=True)
class Places:
    """Where in a JSON text ids of persons are.

    Attributes:
        keys: names of members whose values are ids, beside those of `names_a_person`.
        segments: whether the text is Mixpanel's reply to a report by person: its own keys are ids, or its items.
    """

    keys: frozenset[str] = frozenset()
    segments: bool = False

    def holds(self, name: str, value: str) -> bool:
        """Whether ids are where a value stands.

        Args:
            name: of the member; empty for keys and for items of the outermost array.
            value: the string.
        """
        if name:
            return name in self.keys or names_a_person(name)
        return self.segments and value not in _REPLY_WORDS and not _DATE.fullmatch(value)


ANYWHERE = Places()

_CERTAIN = re.compile(
    r"""
    \$device:.+
    | [^\s@/]+ @ [^\s@/]+ \. [^\s@/]+                                   # an e-mail address
    | \+\d{7,} | \d{10,}                                                # phone numbers and other long ones
    | (?i:[0-9a-f]{8} -? [0-9a-f]{4} -? [0-9a-f]{4} -? [0-9a-f]{4} -? [0-9a-f]{12})
    | (?=.*\d) (?i:[0-9a-f]{16,})
    | (?:[a-z0-9]+[_|:-])? (?=.*\d) (?=(?:[^A-Z]*[A-Z]){3}) (?=(?:[^a-z]*[a-z]){3}) [A-Za-z0-9]{12,}
    """,
    re.VERBOSE | re.DOTALL,
)
_LETTERS = re.compile(r"[A-Za-z]{20,}")
#: Dates, versions, sizes, addresses, paths and names of files: they have digits and letters as ids do.
_UNLIKE = re.compile(
    r"""
    .*[\s/\\=].* | .*\d[.,]\d.* | \d{4}-?\d\d-?\d\d[T_].* | \d+x\d+
    | [\d:.,-]+(?:ns|us|ms|s|min|h|d|px|pt|em|b|kb|mb|gb|tb|m|km|kg|eur|usd|gbp)
    | .*\.(?:parquet|jsonl?|csv|tsv|txt|gz|zip|log|md|html?|js|css|png|jpe?g|gif|svg|webp|pdf|sql|ya?ml|xml|php|aspx?)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_MAX_LENGTH = 512


def looks_like_an_id(text: str) -> bool:
    """Whether the form of a string tells that it is an id: the opposite of a word, date, version, path or file name.

    `anna-4711`, UUIDs, e-mail addresses, `$device:...`, numbers of ten digits and more, and random tokens do;
    `checkout`, `New York`, `2026-11-10`, `events.parquet`, `plan_2026` and `4711` do not.
    """
    if not 8 <= len(text) <= _MAX_LENGTH:
        return text.startswith("$device:")
    if _CERTAIN.fullmatch(text):
        return True
    if _LETTERS.fullmatch(text):
        return 1 / 3 < sum(map(str.isupper, text)) / len(text) < 2 / 3
    digits = sum(map(str.isdigit, _YEAR.sub("", text)))
    return digits >= 4 and any(map(str.isalpha, text)) and not _UNLIKE.fullmatch(text)


def number_looks_like_an_id(text: str) -> bool:
    """Whether an unquoted number has the form of an id: ten digits or more, and not a time since 1970.

    Times are seconds, or thousandths, millionths... of them, from 2011 to 2039.
    """
    if not (text.isascii() and text.isdigit() and 10 <= len(text) <= _MAX_LENGTH):
        return False
    head, tail = int(text[:4]), len(text) - 4
    return not (tail in (6, 9, 12, 15) and 1300 <= head < 2200)


def as_id(number: str) -> str:
    """A JSON number as the id that it is: `4711.0` and `4.711e3` are 4711."""
    if len(number) > _MAX_LENGTH or not set(".eE") & set(number):
        return number
    try:
        value = Decimal(number)
    except InvalidOperation:
        return number
    if value.is_finite() and value.adjusted() < _MAX_LENGTH and value == value.to_integral_value():
        return str(int(value))
    return number
