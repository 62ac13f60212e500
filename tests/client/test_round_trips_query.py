"""Query, ingestion and identity, to the sandbox and back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from mixpanel_etl.client import BadRequest, Event, GroupUpdate, NotFound, RecordsRejected, UserUpdate

from .examples.query import all_profiles
from .round_trips import World, covers
from .scripted import NOW

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 3)


def march(day: int, hour: int = 12) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


EVENTS = [
    Event("Signup", march(1), "u1", "s-1", {"plan": "pro", "seats": 3}),
    Event("Signup", march(1), "u2", "s-2", {"plan": "free", "seats": 1}),
    Event("Purchase", march(2), "u1", "p-1", {"plan": "pro", "Amount": 2050}),
    Event("Signup", march(3), "u3", "s-3", {"plan": "pro", "seats": 5}),
]


@pytest.fixture
def shop(world: World) -> World:
    world.mixpanel.ingestion.import_(EVENTS)
    return world


@covers("ingestion.import_", "export", "query.event_names")
@pytest.mark.parametrize("encoding", ["json", "ndjson"])
def test_what_is_imported_is_exported(world: World, encoding: str) -> None:
    done = world.mixpanel.ingestion.import_(EVENTS, encoding=encoding)  # type: ignore[arg-type]
    assert (done.num_records_imported, done.code) == (4, 200)
    with world.mixpanel.export(FIRST, LAST, where='properties["plan"] == "pro"') as stream:
        assert b"".join(stream).count(b"\n") == 3
    assert set(world.mixpanel.query.event_names(from_date=FIRST, to_date=LAST)) == {"Signup", "Purchase"}


def test_an_import_that_is_repeated_counts_once(shop: World) -> None:
    shop.mixpanel.ingestion.import_(EVENTS)
    assert shop.mixpanel.query.events(["Signup"], FIRST, LAST).values["Signup"]["2026-03-01"] == 2


def test_records_that_only_mixpanel_can_refuse_are_named_and_the_others_are_stored(world: World) -> None:
    world.sandbox.clock.set(NOW - timedelta(hours=3))  # the project's idea of the future is not ours
    late = Event("Late", NOW, "u1", "l-1")
    with pytest.raises(RecordsRejected, match=r"1 failed, the first at index 4: 'properties\.time'") as caught:
        world.mixpanel.ingestion.import_([*EVENTS, late])
    (failed,) = caught.value.failed_records
    assert (failed.index, failed.insert_id, failed.field) == (4, "l-1", "properties.time")
    assert caught.value.imported == 4
    assert world.sandbox.count() == 4


@covers("ingestion.track")
def test_what_is_tracked_is_counted(world: World) -> None:
    world.mixpanel.ingestion.track([Event("Visit", NOW - timedelta(hours=1), "u1")])
    assert world.mixpanel.query.events(["Visit"], NOW.date(), NOW.date()).values["Visit"] == {"2026-03-15": 1}


@covers("query.segmentation", "query.segmentation_numeric", "query.segmentation_sum", "query.segmentation_average")
def test_segmentation_counts_sums_and_averages(shop: World) -> None:
    query = shop.mixpanel.query
    by_plan = query.segmentation("Signup", FIRST, LAST, on='properties["plan"]', type="unique", limit=10)
    assert {plan: sum(days.values()) for plan, days in by_plan.values.items()} == {"pro": 2, "free": 1}
    assert sorted(by_plan.series) == ["2026-03-01", "2026-03-02", "2026-03-03"]
    ranges = query.segmentation_numeric("Purchase", FIRST, LAST, 'number(properties["Amount"])')
    assert sum(sum(days.values()) for days in ranges.values.values()) == 1
    seats = 'properties["seats"]'
    assert query.segmentation_sum("Signup", FIRST, LAST, seats).results["2026-03-01"] == 4
    assert query.segmentation_average("Signup", FIRST, LAST, seats).results["2026-03-01"] == 2


@covers("query.funnels", "query.list_funnels")
@pytest.mark.parametrize("on", [None, 'properties["plan"]'])
def test_a_saved_funnel_has_its_steps(shop: World, on: str | None) -> None:
    (saved,) = shop.mixpanel.query.list_funnels()
    funnel = shop.mixpanel.query.funnels(saved.funnel_id, FIRST, LAST, on=on, length=3, length_unit="day")
    day = funnel.data["2026-03-01"]
    assert [(step.event, step.count) for step in day.steps] == [("Signup", 2), ("Purchase", 1)]
    assert set(day.segments) == ({"pro", "free"} if on else set())


@covers("query.retention", "query.retention_addiction")
@pytest.mark.parametrize("on", [None, 'properties["plan"]'])
def test_retention_says_who_came_back(shop: World, on: str | None) -> None:
    query = shop.mixpanel.query
    cohort = query.retention(FIRST, LAST, born_event="Signup", event="Purchase", on=on)["2026-03-01"]
    assert (cohort.first, cohort.counts) == (2, [0, 1])
    assert bool(cohort.segments) == bool(on)
    frequency = query.retention_addiction(FIRST, LAST, "day", "hour", event="Signup", on=on)
    days = frequency.data["2026-03-01"]
    assert (days["$overall"] if isinstance(days, dict) else days)[0] == 2


@covers("query.events", "query.top_events", "query.event_properties", "query.top_properties", "query.property_values")
def test_events_and_their_properties_are_discovered(shop: World) -> None:
    query = shop.mixpanel.query
    assert query.events(["Signup"], FIRST, LAST).values["Signup"]["2026-03-01"] == 2
    assert query.top_events(limit=5).events == []
    assert sum(query.event_properties("Signup", "plan", FIRST, LAST).values["pro"].values()) == 2
    assert query.top_properties("Signup", limit=100)["plan"] == 3
    assert set(query.property_values("Signup", "plan")) == {"pro", "free"}


@covers("ingestion.engage", "query.engage", "query.list_cohorts")
def test_profiles_come_back_page_by_page(world: World) -> None:
    updates = [UserUpdate(f"u{number}", "$set", {"plan": "pro", "n": number}) for number in range(7)]
    world.mixpanel.ingestion.engage([*updates, UserUpdate("x", "$set", {"plan": "free"})])
    pages = list(world.mixpanel.query.engage(where='user["plan"] == "pro"', page_size=3))
    assert [len(page.results) for page in pages] == [3, 3, 1]
    assert {profile.distinct_id for page in pages for profile in page.results} == {f"u{number}" for number in range(7)}
    (cohort,) = world.mixpanel.query.list_cohorts()
    assert (cohort.count, cohort.is_visible) == (7, True)
    assert len(all_profiles(world.mixpanel, filter_by_cohort=int(cohort.id), output_properties=["n"])) == 7


def test_a_last_page_that_is_full_is_followed_by_an_empty_one(world: World) -> None:
    world.mixpanel.ingestion.engage([UserUpdate(f"u{number}", "$set", {"a": 1}) for number in range(6)])
    assert [len(page.results) for page in world.mixpanel.query.engage(page_size=3)] == [3, 3, 0]


def test_every_operator_changes_a_profile(world: World) -> None:
    changes = [
        UserUpdate("u1", "$set", {"plan": "pro", "old": 1, "tags": ["a", "b"]}),
        UserUpdate("u1", "$set_once", {"plan": "free", "first": 1}),
        UserUpdate("u1", "$add", {"n": 2, "m": -1.5}),
        UserUpdate("u1", "$append", {"seen": "x"}),
        UserUpdate("u1", "$union", {"tags": ["b", "c"]}),
        UserUpdate("u1", "$remove", {"tags": "a"}),
        UserUpdate("u1", "$unset", ["old"]),
        UserUpdate("u2", "$set", {"plan": "pro"}),
        UserUpdate("u2", "$delete", ignore_alias=True),
    ]
    world.mixpanel.ingestion.engage(changes)
    (profile,) = all_profiles(world.mixpanel)
    wanted = {"plan": "pro", "first": 1, "n": 2, "m": -1.5, "seen": ["x"], "tags": ["b", "c"]}
    assert wanted.items() <= profile.properties.items()
    assert "old" not in profile.properties


@covers("ingestion.groups")
def test_group_profiles_are_kept(world: World) -> None:
    world.mixpanel.ingestion.groups([GroupUpdate("company", "acme", "$set", {"plan": "enterprise"})])
    from mixpanel_etl.sandbox.apis.query.engage import data_group_id

    group_id = data_group_id(world.project.project_id, "company")
    assert [p.distinct_id for p in all_profiles(world.mixpanel, data_group_id=group_id)] == ["acme"]


@covers("query.insights", "query.stream_query", "query.jql")
def test_saved_reports_histories_and_scripts_are_answered(shop: World) -> None:
    query = shop.mixpanel.query
    assert sum(query.insights(9).series["Signup"].values()) == 3
    assert {event.event for event in query.stream_query(["u1"], FIRST, LAST)} == {"Signup", "Purchase"}
    pytest.importorskip("quickjs")
    script = """
        function main() {
            return Events(params).groupBy(["name"], mixpanel.reducer.count())
        }
    """
    counted = query.jql(script, {"from_date": "2026-03-01", "to_date": "2026-03-03"})
    assert {tuple(row["key"]): row["value"] for row in counted} == {("Signup",): 3, ("Purchase",): 1}


def test_a_saved_report_that_does_not_exist_is_the_askers_fault(world: World) -> None:
    with pytest.raises(BadRequest, match="404"):
        world.mixpanel.query.funnels(404, FIRST, LAST)


@covers("identity.create_identity", "identity.create_alias", "identity.merge")
def test_linked_ids_are_one_person(world: World) -> None:
    anonymous = str(uuid4())
    ids = [anonymous, "second", "third", "known"]
    imported = [Event("Visit", march(1), distinct_id, f"v-{n}") for n, distinct_id in enumerate(ids)]
    world.mixpanel.ingestion.import_(imported)
    world.mixpanel.identity.create_identity("known", anonymous)
    world.mixpanel.identity.create_alias("known", "second")
    assert world.mixpanel.identity.merge("known", "third").num_records_imported == 1
    users = world.mixpanel.query.segmentation("Visit", FIRST, FIRST, type="unique")
    assert users.values["Visit"] == {"2026-03-01": 1}


@covers("ingestion.list_lookup_tables", "ingestion.replace_lookup_table")
def test_a_lookup_table_is_replaced_whole_or_not_at_all(world: World) -> None:
    (table,) = world.mixpanel.ingestion.list_lookup_tables()
    world.mixpanel.ingestion.replace_lookup_table(table.id, ["sku", "name"], [["a", "Widget, large"], ["b", None]])
    with pytest.raises(NotFound, match="was not found"):
        world.mixpanel.ingestion.replace_lookup_table(uuid4(), ["sku"], [["a"]])
