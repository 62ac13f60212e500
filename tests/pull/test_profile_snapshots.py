"""Profiles as rows, with properties of any kind."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.client import Mixpanel, Profile, UserUpdate
from mixpanel_etl.lake import PromotedColumn, Table, connect
from mixpanel_etl.lake.event_columns import replace_half_surrogates
from mixpanel_etl.pull.profile_snapshots import Source, profile_rows, profile_schema, pull_profiles
from mixpanel_etl.sandbox import Sandbox
from mixpanel_etl.settings import Settings

TYPES = ("string", "integer", "number", "boolean", "timestamp")
PROMOTED = [PromotedColumn("odd", kind, f"as_{kind}") for kind in TYPES]  # type: ignore[arg-type]
SCHEMA = profile_schema(PROMOTED)
NAMES = st.sampled_from(["odd", "$last_seen", "distinct_id", "date", "", "$", "Ω", "a b"]) | st.text(max_size=4)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.datetimes().map(datetime.isoformat)
    | st.sampled_from(["\ud800", "\x00", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00", "2026-02-30"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=5
)
PROPERTIES = st.dictionaries(NAMES, VALUES, max_size=5)


def readable(value: Any) -> Any:
    """The value with halves of surrogate pairs replaced, which UTF-8 cannot hold."""
    return json.loads(replace_half_surrogates(json.dumps(value, ensure_ascii=False)))


@settings(max_examples=60)
@given(properties=st.lists(PROPERTIES, max_size=3))
def test_any_property_arrives_in_the_json_and_in_its_column_where_it_fits(properties: list[dict[str, Any]]) -> None:
    profiles = [Profile(distinct_id=f"u{n}", properties=each) for n, each in enumerate(properties)]
    batch = profile_rows(profiles, SCHEMA, PROMOTED)
    batch.validate(full=True)
    rows = batch.to_pylist()
    for row, given_properties in zip(rows, properties, strict=True):
        assert json.loads(row["properties"]) == readable(given_properties)
        odd = given_properties.get("odd")
        assert row["as_boolean"] == (odd if isinstance(odd, bool) else None)
        fits = isinstance(odd, int) and not isinstance(odd, bool) and abs(odd) < 2**63
        assert not fits or row["as_integer"] == odd
        assert isinstance(odd, str) or row["as_string"] is None


# The largest integer that JavaScript, and so JQL, keeps exactly.
ODD: dict[str, dict[str, Any]] = {
    "Ω \"quoted\" 'id'": {"$city": "Åre", "nested": {"a": [1, {"b": None}]}, "list": ["x", 1.5]},
    "x" * 200: {"long": "y" * 50_000},
    "42": {"orders": 2**53 - 1, "plan": "", "null": None, "date": "2026-03-01", "distinct_id": "other"},
}
HALF = "nice \ud83d"  # an emoji that Mixpanel's JavaScript library has cut in two


@pytest.mark.parametrize("source", ["engage", "jql"])
def test_odd_profiles_are_the_same_in_mixpanel_and_in_the_lake(
    mixpanel: Sandbox, client: Mixpanel, source: Source
) -> None:
    client.ingestion.engage([UserUpdate(name, "$set", properties) for name, properties in ODD.items()])
    table = Table(Settings.load().lake, "profiles", SCHEMA)
    pull_profiles(client, table, "2026-03-01", promoted=PROMOTED, source=source)
    rows = [row for batch in table.batches("2026-03-01") for row in batch.to_pylist()]
    held = {row["distinct_id"]: json.loads(row["properties"]) for row in rows}
    assert held == {name: dict(profile.properties) for name, profile in mixpanel.profiles().items()}
    assert held.keys() == ODD.keys()
    assert all(abs((row["last_seen"] - datetime.now(UTC)).total_seconds()) < 600 for row in rows)


def test_half_an_emoji_is_readable_in_the_lake_and_still_to_be_had_as_it_was_sent(
    mixpanel: Sandbox, client: Mixpanel
) -> None:
    client.ingestion.engage([UserUpdate("whole", "$set", {"plan": "nice \U0001f600"})])
    body = rb'[{"$token": "%b", "$distinct_id": "half", "$set": {"plan": "nice \ud83d"}}]'
    _sent(client, body)
    table = Table(Settings.load().lake, "profiles", profile_schema([PromotedColumn("plan", "string")]))
    pull_profiles(client, table, "2026-03-01", promoted=[PromotedColumn("plan", "string")])
    with connect(table.lake) as lake:
        found = lake.sql("SELECT distinct_id, properties->>'plan', plan FROM profiles").fetchall()
    assert set(found) == {("whole", "nice \U0001f600", "nice \U0001f600"), ("half", "nice \ufffd", "nice \ufffd")}
    rows = {row["distinct_id"]: row for batch in table.batches("2026-03-01") for row in batch.to_pylist()}
    assert json.loads(rows["half"]["properties_as_sent"])["plan"] == HALF
    assert rows["whole"]["properties_as_sent"] is None


def _sent(client: Mixpanel, body: bytes) -> None:
    settings = Settings.load()
    token = settings.project_token.get_secret_value() if settings.project_token else ""
    reply = requests.post(f"{settings.base_url}/engage?verbose=1", data=body % token.encode(), timeout=10)
    assert reply.json()["status"] == 1
