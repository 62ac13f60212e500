"""A partition of a report is a function of its key, and says so when something may be missing from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
import requests

from mixpanel_etl.client import Insights, Mixpanel, ReplyError, StreamEvent
from mixpanel_etl.client.operations.replies import typed
from mixpanel_etl.lake import PartitionsHeldBack, Provenance, Table
from mixpanel_etl.pull.reports import KINDS, Published, RangeReport, pull_range, pull_snapshot, report_of, report_table
from mixpanel_etl.sandbox import Funnel, Insight, Project, Sandbox

MONDAY = date(2026, 3, 2)
DAYS = [str(MONDAY + timedelta(days=n)) for n in range(14)]
FUNNEL = Funnel(7, "Purchases", ["view", "buy"], length=2)
PAGE = 'properties["page"]'
SCRIPT = """
function main() {
  return Events({from_date: params.from_date, to_date: params.to_date})
    .groupBy([e => new Date(e.time).toISOString().slice(0, 10), "properties.page"], mixpanel.reducer.count());
}"""
#: Reports of every kind that has ranges, with what makes Mixpanel's replies depend on the range.
REPORTS: list[tuple[str, dict[str, Any]]] = [
    ("segmentation", {"event": "view"}),
    ("segmentation", {"event": "view", "on": PAGE}),
    ("segmentation", {"event": "view", "on": PAGE, "limit": 3}),
    ("segmentation", {"event": "view", "on": PAGE, "type": "unique", "unit": "week", "limit": 3}),
    ("segmentation", {"event": "view", "on": PAGE, "unit": "hour"}),
    ("segmentation_numeric", {"event": "view", "on": 'properties["price"]'}),
    ("segmentation_numeric", {"event": "view", "on": 'properties["price"]', "buckets": 3, "unit": "hour"}),
    ("segmentation_numeric", {"event": "view", "on": 'properties["price"]', "width": 0.5}),
    ("segmentation_sum", {"event": "view", "on": 'properties["price"]'}),
    ("segmentation_average", {"event": "view", "on": 'properties["price"]'}),
    ("funnel", {"funnel_id": 7}),
    ("funnel", {"funnel_id": 7, "on": PAGE}),
    ("funnel", {"funnel_id": 7, "on": PAGE, "limit": 3, "unit": "week"}),
    ("retention", {"born_event": "view", "interval_count": 3}),
    ("retention", {"born_event": "view", "interval_count": 3, "on": PAGE}),
    ("retention", {"retention_type": "compounded", "on": PAGE, "limit": 3}),
    ("addiction", {"on": PAGE}),
    ("addiction", {"on": PAGE, "limit": 3, "unit": "week", "addiction_unit": "day"}),
    ("events", {"events": ["view", "buy"]}),
    ("event_properties", {"event": "view", "property": "page"}),
    ("event_properties", {"event": "view", "property": "page", "limit": 3}),
    ("event_properties", {"event": "view", "property": "page", "values": ["/1", "/2"]}),
    ("activity_stream", {"distinct_ids": ["u1", "u2"]}),
    ("jql_by_date", {"script": SCRIPT, "date": "day", "result": {"day": "string", "page": "string", "n": "integer"}}),
]


@pytest.fixture
def mixpanel_project() -> Project:
    return Project(enforce_budgets=False)


@pytest.fixture
def shop(mixpanel: Sandbox) -> Sandbox:
    mixpanel.load(_lines())
    mixpanel.save_report(FUNNEL)
    return mixpanel


def _lines() -> Iterator[bytes]:
    """Of 100 pages, each day has its own common ones; prices grow by the day."""
    chance = Random(5)
    for number in range(1_400):
        day = number % 14
        page = min(99, int(chance.expovariate(0.15)) + 5 * day)
        time = datetime(2026, 3, 2 + day, chance.randrange(24), chance.randrange(60), tzinfo=UTC)
        properties = {"page": f"/{page}", "price": round(chance.random() * 10 ** (day / 5), 2)}
        own = {
            "time": int(time.timestamp()),
            "distinct_id": f"u{chance.randrange(60)}",
            "$insert_id": f"row-{number}",
        }
        event = "buy" if number % 5 == 0 else "view"
        yield json.dumps({"event": event, "properties": {**own, **properties}}).encode() + b"\n"


def ranged(kind: str, parameters: dict[str, Any]) -> RangeReport:
    report = report_of(kind, parameters)
    assert isinstance(report, RangeReport)
    return report


every_report = pytest.mark.parametrize(
    "report",
    [ranged(*asked) for asked in REPORTS],
    ids=[f"{kind} {' '.join(map(str, parameters.values()))}"[:60] for kind, parameters in REPORTS],
)


def give_at_most(segments: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit the number of segments, as if Mixpanel had no more."""
    for name in ("segmentation", "segment_limits", "funnels", "retention", "event_counts"):
        monkeypatch.setattr(f"mixpanel_etl.pull.reports.{name}.MAX_VALUES", segments)


def pull(
    client: Mixpanel, lake: Path, report: RangeReport, keys: Sequence[str] = DAYS, **more: Any
) -> tuple[Table, list[Published]]:
    table = report_table(str(lake), "reports/one", report)
    return table, list(pull_range(client, report, table, keys, start=MONDAY, **more))


def rows(table: Table) -> list[tuple[Any, ...]]:
    return sorted(table.scan().drop("computed_at").collect().rows(), key=repr)


def test_every_kind_with_ranges_is_tried() -> None:
    assert {kind for kind, _ in REPORTS} == {kind for kind, one in KINDS.items() if issubclass(one, RangeReport)}


@every_report
def test_a_partition_has_the_same_rows_whichever_run_asked_for_it(
    shop: Sandbox, client: Mixpanel, tmp_path: Path, report: RangeReport
) -> None:
    keys = DAYS[::7] if report.partition_unit == "week" else DAYS
    table, taken = pull(client, tmp_path / "backfill", report, keys)
    together = rows(table)
    assert together
    assert [one.partition.key for one in taken] == keys
    asked = len(shop.requests)
    assert asked == (len(keys) if report.is_asked_by_partition else 1)
    for key in (keys[0], keys[len(keys) // 2], keys[-1]):
        alone, _ = pull(client, tmp_path / "alone", report, [key])
    assert rows(alone) == [row for row in together if str(row[-1]) in alone.keys()]  # noqa: SIM118 - a table's
    pull(client, tmp_path / "backfill", report, keys[-5:])  # as the schedule looks back
    assert rows(table) == together


@every_report
def test_it_has_the_same_rows_when_the_range_has_more_segments_than_mixpanel_gives(
    shop: Sandbox, client: Mixpanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: RangeReport
) -> None:
    give_at_most(40, monkeypatch)  # of the 100 pages; a day has fewer
    keys = DAYS[::7] if report.partition_unit == "week" else DAYS
    table, taken = pull(client, tmp_path / "backfill", report, keys)
    for key in (keys[0], keys[len(keys) // 2], keys[-1]):
        alone, single = pull(client, tmp_path / "alone", report, [key])
        (pulled,) = [one for one in taken if one.partition.key == key]
        assert pulled.doubts == single[0].doubts
    assert rows(alone) == [row for row in rows(table) if str(row[-1]) in alone.keys()]  # noqa: SIM118 - a table's


def test_all_values_of_a_property_come_without_a_limit_and_a_limit_says_what_it_leaves_out(
    shop: Sandbox, client: Mixpanel, tmp_path: Path
) -> None:
    table, taken = pull(client, tmp_path / "all", ranged("segmentation", {"event": "view", "on": PAGE}))
    total, _ = pull(client, tmp_path / "total", ranged("segmentation", {"event": "view"}))
    found = table.scan().collect()
    assert found["segment"].n_unique() > 60
    assert found["value"].sum() == total.scan().collect()["value"].sum() == 1_120
    assert {one.doubts for one in taken} == {taken[0].doubts}
    assert not taken[0].doubts.left_out
    report = ranged("segmentation", {"event": "view", "on": PAGE, "limit": 3})
    few, limited = pull(client, tmp_path / "few", report)
    assert few.scan().collect().group_by("date").len()["len"].to_list() == [3] * 14
    wanted = found.group_by("date").len().sort("date")["len"]
    assert [one.doubts.left_out for one in limited] == [number - 3 for number in wanted]


@pytest.mark.parametrize(
    "report",
    [
        ranged("segmentation", {"event": "view", "on": PAGE}),
        ranged("segmentation", {"event": "view", "on": PAGE, "limit": 3}),
        ranged("segmentation_numeric", {"event": "view", "on": 'properties["price"]', "width": 0.01}),
        ranged("event_properties", {"event": "view", "property": "page"}),
        ranged("funnel", {"funnel_id": 7, "on": PAGE}),
        ranged("retention", {"born_event": "view", "on": PAGE}),
        ranged("addiction", {"on": PAGE}),
    ],
    ids=lambda report: report.kind,
)
def test_a_reply_as_long_as_its_limit_is_marked_as_possibly_cut(
    shop: Sandbox, client: Mixpanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: RangeReport
) -> None:
    give_at_most(5, monkeypatch)
    table, (taken,) = pull(client, tmp_path, report, DAYS[:1])
    assert taken.doubts.cut
    assert table.keys() == DAYS[:1]
    if report.kind == "funnel":  # whose segments are compared with the total
        assert taken.doubts.missing > 0


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("top_events", {"limit": 2}),
        ("event_names", {"limit": 2}),
        ("top_properties", {"event": "view", "limit": 2}),
        ("property_values", {"event": "view", "property": "page", "limit": 2}),
    ],
)
def test_a_snapshot_asks_for_the_most_and_is_marked_when_it_is_as_long_as_its_limit(
    shop: Sandbox, client: Mixpanel, tmp_path: Path, kind: str, parameters: dict[str, Any]
) -> None:
    shop.clock.set(datetime(2026, 3, 15, 20, tzinfo=UTC), frozen=True)
    for limit, cut in ((2, True), (None, False)):
        report = report_of(kind, {**parameters, "limit": limit} if limit else {**parameters, "limit": 5_000})
        assert not isinstance(report, RangeReport)
        table = report_table(str(tmp_path / str(limit)), "reports/one", report)
        taken = pull_snapshot(client, report, table, "2026-03-15")
        assert (taken.doubts.cut, taken.doubts.chosen) == (cut, True)
    whole = report_of(kind, {name: value for name, value in parameters.items() if name != "limit"})
    assert not isinstance(whole, RangeReport)
    before = len(shop.requests)
    taken = pull_snapshot(client, whole, report_table(str(tmp_path / "whole"), "reports/one", whole), "2026-03-15")
    assert int(shop.requests[before].params["limit"]) >= 5_000
    assert taken.rows.num_rows >= 2
    assert not taken.doubts.cut


@every_report
def test_a_partition_that_comes_back_empty_is_held_back_and_the_others_are_published(
    shop: Sandbox, client: Mixpanel, tmp_path: Path, report: RangeReport
) -> None:
    keys = DAYS[::7] if report.partition_unit == "week" else DAYS[:3]
    table, _ = pull(client, tmp_path, report, keys)
    before = rows(table)
    busy = sorted({str(row[-1]) for row in before if row[-1]})
    shop.reset([Project(enforce_budgets=False)])
    shop.save_report(FUNNEL)
    with pytest.raises(PartitionsHeldBack) as held:
        pull(client, tmp_path, report, keys)
    assert sorted(held.value.partitions) == busy
    assert "allow_shrink: true" in str(held.value)
    assert rows(table) == before
    _, taken = pull(client, tmp_path, report, keys, allow_shrink=True)
    assert all(report.amount(one.rows) == 0 for one in taken)


def test_what_shrinks_by_less_than_half_or_grows_is_published(shop: Sandbox, client: Mixpanel, tmp_path: Path) -> None:
    report = ranged("segmentation", {"event": "view"})
    table, (taken,) = pull(client, tmp_path, report, DAYS[:1])
    (number,) = taken.rows["value"].to_pylist()
    for there, replaced in ((2 * number, True), (2 * number + 1, False)):
        fake = pa.Table.from_pylist([{**taken.rows.to_pylist()[0], "value": there}], schema=report.schema)
        table.write(DAYS[0], fake, Provenance(requested_at=client.transport.now()))
        if replaced:
            pull(client, tmp_path, report, DAYS[:1])
        else:
            with pytest.raises(PartitionsHeldBack, match=f"{there:,.10g} value -> {number:,.10g}"):
                pull(client, tmp_path, report, DAYS[:1])
    allowing = ranged("segmentation", {"event": "view", "allow_shrink": True})
    _, (taken,) = pull(client, tmp_path, allowing, DAYS[:1])
    assert taken.rows["value"].to_pylist() == [number]


@pytest.mark.parametrize(
    ("report", "unknown"),
    [
        (ranged("segmentation", {"event": "veiw"}), ["event 'veiw'"]),
        (ranged("segmentation", {"event": "view", "on": 'properties["paeg"]'}), ["property 'paeg' of event 'view'"]),
        (
            ranged("segmentation", {"event": "view", "where": 'properties["paeg"] == "/1"'}),
            ["property 'paeg' of event 'view'"],
        ),
        (
            ranged("segmentation_sum", {"event": "view", "on": 'properties["prcie"]'}),
            ["property 'prcie' of event 'view'"],
        ),
        (ranged("events", {"events": ["view", "byu"]}), ["event 'byu'"]),
        (ranged("retention", {"born_event": "veiw", "event": "buy"}), ["event 'veiw'"]),
        (ranged("event_properties", {"event": "view", "property": "paeg"}), ["property 'paeg' of event 'view'"]),
        (ranged("addiction", {"event": "veiw"}), ["event 'veiw'"]),
        (ranged("segmentation", {"event": "view", "on": PAGE, "where": 'properties["price"] > 1'}), []),
    ],
)
def test_a_name_that_mixpanels_lists_do_not_have_is_told_until_they_have_it(
    shop: Sandbox, client: Mixpanel, tmp_path: Path, report: RangeReport, unknown: list[str]
) -> None:
    shop.clock.set(datetime(2026, 3, 16, 12, tzinfo=UTC), frozen=True)
    for _ in range(2):
        shop.clear_requests()
        _, taken = pull(client, tmp_path, report, DAYS[:2])
        assert [list(one.doubts.unknown_names) for one in taken] == [unknown] * 2
    # What is known is asked once, what is unknown until it is known.
    assert len(shop.requests) == (2 if unknown else 1)


def test_a_name_whose_numbers_came_costs_no_query(shop: Sandbox, client: Mixpanel, tmp_path: Path) -> None:
    pull(client, tmp_path, ranged("segmentation", {"event": "view", "on": PAGE}))
    assert len(shop.requests) == 1


class TestShapes:
    """The same events, answered in the shape of either document."""

    @pytest.mark.parametrize(
        ("report", "unsaid"),
        [
            (ranged("segmentation", {"event": "view", "on": PAGE}), ()),
            (ranged("segmentation_numeric", {"event": "view", "on": 'properties["price"]'}), ()),
            (ranged("funnel", {"funnel_id": 7}), ("label", "avg_time", "avg_time_from_start")),
            (ranged("retention", {"born_event": "view", "interval_count": 3}), ()),
            (ranged("retention", {"born_event": "view", "on": PAGE}), ()),
            (ranged("addiction", {"on": PAGE}), ()),
            (ranged("addiction", {}), ()),
            (ranged("events", {"events": ["view", "buy"]}), ()),
            (ranged("event_properties", {"event": "view", "property": "page"}), ()),
            (ranged("activity_stream", {"distinct_ids": ["u1"]}), ("properties",)),
            (ranged("activity_stream", {"distinct_ids": ["u1", "u2"]}), ("properties",)),
        ],
        ids=lambda value: value.kind if isinstance(value, RangeReport) else "",
    )
    def test_the_columns_are_as_full_whichever_documented_shape_came(
        self, shop: Sandbox, client: Mixpanel, tmp_path: Path, report: RangeReport, unsaid: tuple[str, ...]
    ) -> None:
        tables = {}
        for shape in ("openapi", "specification"):
            shop.reset([Project(enforce_budgets=False, query_replies=shape)])
            shop.load(_lines())
            shop.save_report(FUNNEL)
            tables[shape], _ = pull(client, tmp_path / shape, report)
        # The specification's shape lacks the size of a cohort without returns.
        some = pl.col("count") > 0 if report.kind == "retention" else pl.lit(value=True)
        said, again = (table.scan().filter(some).drop("computed_at", *unsaid).collect() for table in tables.values())
        for column in said.columns:
            assert said[column].null_count() == again[column].null_count(), column
        assert sorted(map(_rounded, said.rows())) == sorted(map(_rounded, again.rows()))


def _rounded(row: tuple[Any, ...]) -> str:
    return repr(tuple(round(cell, 6) if isinstance(cell, float) else cell for cell in row))


HALF = "nice \ud83d"  # an emoji that Mixpanel's JavaScript library has cut in two


def test_half_a_character_is_readable_in_the_table_and_as_it_came_in_the_kept_reply(
    shop: Sandbox, client: Mixpanel, tmp_path: Path
) -> None:
    token = shop.environment()["MIXPANEL_PROJECT_TOKEN"]
    update = json.dumps([{"$token": token, "$distinct_id": f"u{n}", "$set": {"plan": HALF}} for n in range(60)])
    assert requests.post(f"{shop.url}/engage", data=update, timeout=10).text == "1"
    report = ranged("segmentation", {"event": "view", "on": 'user["plan"]'})
    table, (taken,) = pull(client, tmp_path, report, DAYS[:1])
    assert taken.rows["segment"].to_pylist() == ["nice \ufffd"]
    assert rb"nice \ud83d" in (table.reply(taken.partition.provenance["reply"]) or b"")


def test_half_a_character_is_readable_in_columns_of_json() -> None:
    stream = ranged("activity_stream", {"distinct_ids": ["u"]})
    reply = {"event": "view", "properties": {"time": 1, "distinct_id": "u", "page": HALF}}
    event = typed(reply, StreamEvent)
    ((_, cells),) = stream.facts([(event, "u")], UTC)
    assert json.loads(cells[-1])["page"] == "nice \ufffd"
    ((_, cells),) = report_of("jql", {"script": "function main() {}"}).facts([{"page": HALF}], UTC)
    assert json.loads(cells[0]) == {"page": "nice \ufffd"}
    saved = typed({"series": {"A": {HALF: {"2026-03-02": 1, "note": HALF}}}}, Insights)
    found = [fact.values for fact in report_of("insights", {"bookmark_id": 1}).facts(saved, UTC)]
    assert "nice \ufffd" in {json.loads(values[-1]) for values in found if values[-1]}


def test_a_whole_number_of_a_script_that_no_column_can_hold_is_an_error_that_names_the_column() -> None:
    report = report_of("jql", {"script": "function main() {}", "result": {"id": "integer"}})
    ((_, cells),) = report.facts([2**63 - 1], UTC)
    assert cells == (2**63 - 1,)
    with pytest.raises(ReplyError, match="'id'"):
        list(report.facts([2**63], UTC))


@pytest.mark.parametrize("shape", ["openapi", "specification"])
@pytest.mark.parametrize("dates_outside", [False, True])
def test_a_saved_retention_has_the_numbers_of_a_retention(
    shop: Sandbox, client: Mixpanel, tmp_path: Path, shape: Any, dates_outside: bool
) -> None:
    shop.reset([Project(enforce_budgets=False, query_replies=shape)])
    shop.load(_lines())
    days = {"from_date": MONDAY, "to_date": date(2026, 3, 15)}
    how: dict[str, Any] = {
        "report": "retention",
        "interval_count": 2,
        "on": PAGE,
        "dates_outside": dates_outside,
        **days,
    }
    shop.save_report(Insight(1, "Coming back", ["view", "buy"], **how))
    saved = snapshot(client, tmp_path / "saved", "insights", bookmark_id=1)
    parameters = {"born_event": "view", "event": "buy", "interval_count": 2, "on": PAGE}
    table, _ = pull(client, tmp_path / "asked", ranged("retention", parameters))
    asked = table.scan().collect()
    counts = saved.filter(pl.col("measure") == "counts", pl.col("time").is_not_null(), pl.col("value") > 0)
    wanted = {(row["date"], row["segment"], row["interval"], row["count"]) for row in asked.to_dicts() if row["count"]}
    found = {(str(row["time"].date()), *row["segments"], row["position"], row["value"]) for row in counts.to_dicts()}
    assert found == wanted
    whole = saved.filter(pl.col("measure") == "first", pl.col("segments").list.first().is_null())
    assert (
        whole.filter(pl.col("time").is_not_null())["value"].sum()
        == asked.filter(pl.col("segment").is_null(), pl.col("interval") == 0)["first"].sum()
    )


@pytest.mark.parametrize("on", [None, PAGE])
def test_a_saved_funnel_has_its_steps(shop: Sandbox, client: Mixpanel, tmp_path: Path, on: str | None) -> None:
    days: dict[str, Any] = {"from_date": MONDAY, "to_date": MONDAY}
    shop.save_report(Insight(1, "Purchases", ["view", "buy"], report="funnel", length=2, on=on, **days))
    saved = snapshot(client, tmp_path / "saved", "insights", bookmark_id=1)
    table, _ = pull(client, tmp_path / "asked", ranged("funnel", {"funnel_id": 7, "on": on}), DAYS[:1])
    asked = table.scan().filter(pl.col("segment").is_null() if on is None else pl.col("segment").is_not_null())
    counts = saved.filter(pl.col("measure") == "count").to_dicts()
    assert {(*row["segments"], row["position"], row["label"], row["value"]) for row in counts} == {
        (*(() if on is None else (row["segment"],)), row["step"], row["event"], row["count"])
        for row in asked.collect().to_dicts()
    }
    assert saved.filter(pl.col("measure") == "p_value")["detail"].null_count() == 0


def snapshot(client: Mixpanel, lake: Path, kind: str, **parameters: Any) -> pl.DataFrame:
    report = report_of(kind, parameters)
    assert not isinstance(report, RangeReport)
    table = report_table(str(lake), "reports/one", report)
    pull_snapshot(client, report, table, str(client.transport.today()))
    return table.scan().collect()
