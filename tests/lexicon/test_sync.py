"""What is applied is what Mixpanel says afterwards, within its limits."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from mixpanel_etl.client import Clock, Mixpanel, Schema, SchemaEntry
from mixpanel_etl.lexicon import (
    DropsData,
    LexiconError,
    LexiconFilesError,
    apply,
    compare,
    fetch,
    read_directory,
    write_entries,
)
from mixpanel_etl.lexicon.attributes import entry
from mixpanel_etl.sandbox import Project, Sandbox
from mixpanel_etl.settings import Settings

from .dictionaries import Key, dictionaries

wild = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def event(name: str = "Purchase", properties: dict[str, Any] | None = None, **said: Any) -> SchemaEntry:
    return entry("event", name, said, properties or {})


def keyed(*entries: SchemaEntry) -> dict[Key, SchemaEntry]:
    return {(one.entity_type, one.name): one for one in entries}


@pytest.fixture
def client(mixpanel: Sandbox) -> Mixpanel:
    """One whose own budget never makes it wait: its clock leaps."""
    return leaping(mixpanel)


def leaping(sandbox: Sandbox) -> Mixpanel:
    """A client whose waits take no time, but let the sandbox's clock pass."""
    elapsed = 0.0
    start = datetime(2026, 1, 1, tzinfo=UTC)
    sandbox.clock.set(start, frozen=True)

    def sleep(seconds: float) -> None:
        nonlocal elapsed
        elapsed += seconds
        sandbox.clock.set(start + timedelta(seconds=elapsed), frozen=True)

    clock = Clock(sleep=sleep, monotonic=lambda: elapsed, now=lambda: start + timedelta(seconds=elapsed))
    return Mixpanel(Settings.load(), clock=clock)


def spent(sandbox: Sandbox) -> list[str]:
    return [request.method for request in sandbox.requests if "/schemas" in request.path]


@wild
@given(before=dictionaries(), wanted=dictionaries())
def test_after_apply_the_plan_is_empty_whatever_was_there(
    mixpanel: Sandbox, client: Mixpanel, before: dict[Key, SchemaEntry], wanted: dict[Key, SchemaEntry]
) -> None:
    mixpanel.reset([Project(enforce_budgets=False)])
    apply(client, compare(before, {}), allow_drop=True)
    apply(client, compare(wanted, fetch(client)), allow_drop=True)
    after = fetch(client)
    assert not compare(wanted, after)
    assert after.keys() == before.keys() | wanted.keys()
    apply(client, compare(wanted, after, delete=True), allow_drop=True)
    assert not compare(wanted, fetch(client), delete=True)
    assert fetch(client).keys() == wanted.keys()


@wild
@given(before=dictionaries(), wanted=dictionaries())
def test_after_truncation_only_the_files_are_left(
    mixpanel: Sandbox, client: Mixpanel, before: dict[Key, SchemaEntry], wanted: dict[Key, SchemaEntry]
) -> None:
    mixpanel.reset([Project(enforce_budgets=False)])
    apply(client, compare(before, {}), allow_drop=True)
    apply(client, compare(wanted, fetch(client), truncate=True), allow_drop=True)
    assert not compare(wanted, fetch(client), truncate=True)
    assert fetch(client).keys() == wanted.keys()


@wild
@given(found=dictionaries())
def test_what_is_pulled_into_files_reads_as_what_mixpanel_says(found: dict[Key, SchemaEntry]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        written = write_entries(Path(folder), found.values(), {})
        read = read_directory(Path(folder))
        assert len(written) == len(found)
        assert not compare({key: described.entry for key, described in read.items()}, found, delete=True)
        assert write_entries(Path(folder), found.values(), read) == []


def test_an_attribute_that_a_file_no_longer_says_is_removed(client: Mixpanel) -> None:
    amount = {"type": "number", "display_name": "€"}
    rich = event(display_name="Bought", tags=["core"], hidden=True, properties={"amount": amount})
    apply(client, compare(keyed(rich), {}))
    apply(client, compare(keyed(event(properties={"amount": {"type": "number"}})), fetch(client)))
    after = fetch(client)["event", "Purchase"].schema_json
    assert not after.metadata
    assert not after.properties["amount"].metadata


def test_what_files_cannot_say_survives_an_upload(client: Mixpanel) -> None:
    odd = {"$schema": "https://json-schema.org/x", "required": ["amount"], "description": "old"}
    client.lexicon.create_schema("event", "Purchase", Schema(unknown=odd))
    apply(client, compare(keyed(event(description="new")), fetch(client)))
    after = fetch(client)["event", "Purchase"].schema_json
    assert (after.description, after.unknown["required"]) == ("new", ["amount"])


def test_dropping_is_rejected_before_anything_is_sent_unless_it_is_allowed(mixpanel: Sandbox, client: Mixpanel) -> None:
    ssn = {"type": "string", "dropped": True}
    wanted = keyed(event("A"), event("B", properties={"ssn": ssn}), event("C", dropped=True))
    with pytest.raises(DropsData, match=r"property 'ssn' of 'B', event 'C'.*--allow-drop"):
        apply(client, compare(wanted, {}))
    assert spent(mixpanel) == []
    apply(client, compare(wanted, {}), allow_drop=True)
    # What is dropped already needs no permission, regardless of other changes.
    apply(client, compare(wanted | keyed(event("C", dropped=True, description="gone")), fetch(client)))
    assert not compare(wanted | keyed(event("C", dropped=True, description="gone")), fetch(client))


def test_items_are_sent_in_as_few_requests_as_the_limit_allows_and_within_it(mixpanel: Sandbox) -> None:
    mixpanel.reset([Project()])  # with the limits of a minute
    client = leaping(mixpanel)
    many = {f"p{n}": {"type": "string"} for n in range(999)}
    wanted = keyed(*(event(f"e{n}", many) for n in range(9)))
    done = apply(client, compare(wanted, fetch(client)))
    assert (done.uploaded, done.requests) == (9, 3)  # 4,000 + 4,000 + 1,000 items
    assert spent(mixpanel) == ["GET", "POST", "POST", "POST"]
    assert all(request.status == 200 for request in mixpanel.requests)
    assert not compare(wanted, fetch(client))
    # One deletion a request, five requests a minute: the client waits, Mixpanel never has to reject.
    apply(client, compare({}, fetch(client), delete=True))
    assert spent(mixpanel).count("DELETE") == 9
    assert all(request.status == 200 for request in mixpanel.requests)


def test_more_than_mixpanel_truncates_at_once_is_rejected(client: Mixpanel) -> None:
    there = keyed(*(event(f"e{n}") for n in range(3001)))
    with pytest.raises(LexiconError, match=r"3,001.*--delete"):
        apply(client, compare({}, there, truncate=True))


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("event: A\ndescripton: x\n", 2, "did you mean 'description'?"),
        ("event: A\nfoo: x\n", 2, "use one of description"),
        ("description: x\n", 1, "`event: NAME`"),
        ("event: A\nprofile: $user\n", 1, "not both"),
        ("group: company\n", 1, "no schemas of groups"),
        ("event:\ndescription: x\n", 1, "write `event: NAME`"),
        ("event: A\nhidden: maybe\n", 2, "'maybe'; write true or false"),
        ("event: A\ntags: core\n", 2, "`tags: [one, two]`"),
        ("event: A\ndescription: [a]\n", 2, "must be a text"),
        ("event: A\nproperties:\n  b: strng\n", 3, "'strng'; use one of array"),
        ("event: A\nproperties:\n  b: {description: x}\n", 3, "has no type"),
        ("event: A\nproperties:\n  b: string\n  b: number\n", 4, "stands twice"),
        ("event: A\nproperties: [a]\n", 2, "`key: value`"),
        ("event: A\nproperties:\n  b: {type: string, tags: [x]}\n", 3, "unknown key 'tags'"),
        ("profile: $user\ndropped: true\n", 2, "only events"),
        ("event: A\n  b: c: d\n", 2, "is not YAML"),
        ("- event\n", 1, "`key: value`"),
        ("", 1, "`event: NAME`"),
        ("event: A\nproperties:\n" + "".join(f"  p{n}: string\n" for n in range(4000)), 3, "one request takes 3,999"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_file_line_and_remedy(
    tmp_path: Path, content: str, line: int, said: str
) -> None:
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(LexiconFilesError) as raised:
        read_directory(tmp_path)
    (problem,) = raised.value.problems
    assert problem.startswith(f"{tmp_path / 'a.yaml'}:{line}: ")
    assert said in problem


def test_all_mistakes_of_all_files_are_told_at_once_an_event_described_twice_too(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("event: A\n")
    (tmp_path / "b.yml").write_text("\n# the same\nevent: A\n")
    (tmp_path / "c.yaml").write_text("event: C\nhidden: 3\ntypo: x\n")
    with pytest.raises(LexiconFilesError) as raised:
        read_directory(tmp_path)
    assert [problem.split(": ")[0].removeprefix(f"{tmp_path}/") for problem in raised.value.problems] == [
        "b.yml:3",
        "c.yaml:2",
        "c.yaml:3",
    ]
    assert "a.yaml:1; keep one" in raised.value.problems[0]


def test_names_that_yaml_takes_for_something_else_are_names(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("event: on\nproperties:\n  2024: string\n  null: 'null'\n  1.50: {type: null}\n")
    (described,) = read_directory(tmp_path).values()
    types = {name: of.type for name, of in described.entry.schema_json.properties.items()}
    assert (described.entry.name, types) == ("on", {"2024": "string", "null": "null", "1.50": "null"})


def test_files_of_names_that_read_alike_do_not_overwrite_each_other(tmp_path: Path) -> None:
    found = [event("Sign Up"), event("sign-up"), event("SIGN UP"), event("登録"), event("../登録")]
    written = write_entries(tmp_path, found, {})
    assert len(set(written)) == 5
    assert all(path.is_relative_to(tmp_path / "events") for path in written)
    assert len(read_directory(tmp_path)) == 5
