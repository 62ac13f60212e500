"""`POST /jql`: JavaScript over events and profiles. Source: mixpanel-api.md#query-jql, #rate-limits."""

import json
import resource
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from mixpanel_etl.sandbox import Project, Sandbox

from ...http_calls import control_call, exported_line

pytestmark = pytest.mark.slow

JAN_1 = 1_704_067_200  # 2024-01-01 00:00 UTC, a Monday
HOUR, DAY = 3600, 86_400
ALL = '{from_date: "2024-01-01", to_date: "2024-01-31"}'

# ann: view, view, buy 10 (Berlin), buy 30 (Berlin);  bob: view, buy 20 (Rome);  without id: view
EVENTS = [
    exported_line("View", JAN_1, distinct_id="ann", insert_id="1", city="Berlin"),
    exported_line("View", JAN_1 + HOUR, distinct_id="ann", insert_id="2", city="Berlin"),
    exported_line("View", JAN_1 + HOUR, distinct_id="ann", insert_id="2", city="Berlin"),
    exported_line("Buy", JAN_1 + 2 * HOUR, distinct_id="ann", insert_id="3", city="Berlin", price=10, tags=["a", "b"]),
    exported_line("Buy", JAN_1 + DAY, distinct_id="ann", insert_id="4", city="Berlin", price=30, tags=["b"]),
    exported_line("View", JAN_1, distinct_id="bob", insert_id="5", city="Rome"),
    exported_line("Buy", JAN_1 + 8 * DAY, distinct_id="bob", insert_id="6", city="Rome", price=20, tags=[]),
    exported_line("View", JAN_1, distinct_id="", insert_id="7"),
]


@pytest.fixture
def shop(sandbox: Sandbox) -> Sandbox:
    sandbox.load(EVENTS[::-1])
    token = sandbox.projects[0].token
    people = {"ann": {"age": 31, "joined": "2023-05-01"}, "cem": {"age": 17, "joined": "2024-01-01"}}
    updates = [{"$token": token, "$distinct_id": name, "$set": properties} for name, properties in people.items()]
    assert requests.post(f"{sandbox.url}/engage", json=updates, timeout=10).text == "1"
    return sandbox


def post(sandbox: Sandbox, script: str, params: Any = None) -> requests.Response:
    project = sandbox.projects[0]
    form = {"script": script, **({} if params is None else {"params": json.dumps(params)})}
    url = f"{sandbox.url}/api/query/jql?project_id={project.project_id}"
    return requests.post(url, data=form, auth=project.account[:2], timeout=30)


def ran(sandbox: Sandbox, expression: str, params: Any = None) -> Any:
    """What a script comes to whose main() returns the expression; E stands for all events, P for all people."""
    response = post(sandbox, f"function main() {{ var E = Events({ALL}), P = People(); return {expression} }}", params)
    assert response.status_code == 200, response.text
    return response.json()


def grouped(sandbox: Sandbox, expression: str) -> list[Any]:
    return sorted([[*group["key"], group["value"]] for group in ran(sandbox, expression)], key=str)


def test_the_documented_example_counts_by_a_property(shop: Sandbox) -> None:
    script = """function main() {
      return Events({from_date: params.from, to_date: params.to, event_selectors: [{event: "Buy"}]})
        .groupBy(["properties.city"], mixpanel.reducer.count())
    }"""
    response = post(shop, script, {"from": "2024-01-01", "to": "2024-01-08"})
    assert response.json() == [{"key": ["Berlin"], "value": 2}]


def test_an_event_has_name_user_time_and_properties(shop: Sandbox) -> None:
    events = ran(shop, "E")
    assert len(events) == 7  # the duplicate counts once
    assert events[0].items() >= {"time": JAN_1 * 1000, "sampling_factor": 1.0}.items()
    assert {"name": "View", "time": JAN_1 * 1000, "sampling_factor": 1.0, "properties": {"$insert_id": "7"}} in events
    buy = ran(shop, "E.filter(e => e.properties.price == 20).map(e => [e.name, e.distinct_id, e.properties.city])")
    assert buy == [["Buy", "bob", "Rome"]]


def test_times_are_in_project_time_in_any_zone_of_the_machine(sandbox: Sandbox) -> None:
    sandbox.reset([Project(timezone="Asia/Tokyo")])
    sandbox.load([exported_line(time=int(datetime(2024, 1, 1, 20, tzinfo=UTC).timestamp()))])
    day_and_hour = "E.map(e => [e.time, new Date(e.time).getHours(), new Date(e.time).toDateString()])"
    assert ran(sandbox, day_and_hour) == [[(JAN_1 + DAY + 5 * HOUR) * 1000, 5, "Tue Jan 02 2024"]]
    assert ran(sandbox, "E.map(e => new Date(2024, 0, 2) <= new Date(e.time))") == [True]


def test_selectors_are_expressions_and_label_events(shop: Sandbox) -> None:
    options = """{from_date: "2024-01-01", to_date: "2024-01-31", event_selectors: [
      {event: "Buy", selector: 'properties["price"] > 15', label: "Dear"},
      {event: "Buy", label: "Cheap"}]}"""
    assert grouped(shop, f'Events({options}).groupBy(["label"], mixpanel.reducer.count())') == [
        ["Cheap", 1],
        ["Dear", 2],
    ]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("E.reduce(mixpanel.reducer.count())", [7]),
        ('E.reduce(mixpanel.reducer.sum("properties.price"))', [60]),
        ('E.reduce(mixpanel.reducer.avg("properties.price"))', [20]),
        ("E.reduce(mixpanel.reducer.min(e => e.properties.price))", [10]),
        ('E.reduce(mixpanel.reducer.max("properties.price"))', [30]),
        ('E.reduce(mixpanel.reducer.max_by("properties.price")).map(e => e.distinct_id)', ["ann"]),
        ('E.reduce(mixpanel.reducer.min_by("properties.price")).map(e => e.properties.price)', [10]),
        # squares: 100 + 900 + 400; variance: 1400 / 3 - 20 * 20 = 66.67
        (
            'E.reduce(mixpanel.reducer.numeric_summary("properties.price"))',
            [{"count": 3, "sum": 60, "sum_squares": 1400, "avg": 20, "stddev": pytest.approx(8.16496580927726)}],
        ),
        ('E.reduce(mixpanel.reducer.numeric_percentiles("properties.price", 50))', [20]),
        (
            'E.reduce(mixpanel.reducer.numeric_percentiles("properties.price", [50, 90])).flatten()',
            [{"percentile": 50, "value": 20}, {"percentile": 90, "value": 30}],
        ),
        ("E.reduce([mixpanel.reducer.count(), mixpanel.reducer.null()])", [[7, None]]),
        ("E.filter(e => e.properties.price == 10).reduce(mixpanel.reducer.any()).map(e => e.name)", ["Buy"]),
        ('E.map(e => ({n: 1, of: {[e.name]: 1}})).reduce(mixpanel.reducer.object_merge())',
         [{"n": 7, "of": {"View": 4, "Buy": 3}}]),
        ("E.reduce((accumulators, items) => _.reduce(accumulators, (a, b) => a + b, items.length))", [7]),
        ("E.map(e => [e.name, 1]).flatten().filter(x => x !== 1).reduce(mixpanel.reducer.count())", [7]),
        ('P.reduce(mixpanel.reducer.sum("properties.age"))', [48]),
        ('P.map(u => u.distinct_id).sortDesc()', ["cem", "ann"]),
        ("P.reduce(mixpanel.reducer.max(mixpanel.to_number('properties.joined')))", [JAN_1]),
        ("People({user_selectors: [{selector: 'user[\"age\"] > 18'}]}).map(u => u.distinct_id)", ["ann"]),
    ],
)  # fmt: skip
def test_reducers_and_transformations(shop: Sandbox, expression: str, expected: list[Any]) -> None:
    assert ran(shop, expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('E.groupBy(["name", "properties.city"], mixpanel.reducer.count())',
         [["Buy", "Berlin", 2], ["Buy", "Rome", 1], ["View", "Berlin", 2], ["View", "Rome", 1], ["View", None, 1]]),
        ('E.groupBy(["name"], [mixpanel.reducer.count(), mixpanel.reducer.sum("properties.price")])',
         [["Buy", [3, 60]], ["View", [4, 0]]]),
        # a list is part of the key, or each of its elements is a key
        ('E.filter(e => e.name == "Buy").groupBy(["properties.tags"], mixpanel.reducer.count())',
         [["a", "b", 1], ["b", 1], [1]]),
        ('E.filter(e => e.name == "Buy")'
         '.groupBy(mixpanel.multiple_keys(["properties.tags"]), mixpanel.reducer.count())',
         [["a", 1], ["b", 2]]),
        ('E.groupBy([mixpanel.numeric_bucket("properties.price", [0, 15, 30])], mixpanel.reducer.count())',
         [[0, 1], [15, 1], [30, 1], [None, 4]]),
        ('E.groupBy([mixpanel.numeric_bucket("time", mixpanel.weekly_time_buckets)], mixpanel.reducer.count())',
         [[JAN_1 * 1000, 6], [(JAN_1 + 7 * DAY) * 1000, 1]]),
        ('E.groupBy([mixpanel.numeric_bucket("time", mixpanel.monthly_time_buckets)], mixpanel.reducer.count())',
         [[JAN_1 * 1000, 7]]),
        # events without id have no user
        ("E.groupByUser(mixpanel.reducer.count())", [["ann", 4], ["bob", 2]]),
        ('E.groupByUser(["properties.city"], mixpanel.reducer.null())',
         [["ann", "Berlin", None], ["bob", "Rome", None]]),
        ("E.filter(e => e.name == 'Buy')"
         ".groupByUser((sum, es) => _.reduce(es, (s, e) => s + e.properties.price, sum || 0))",
         [["ann", 40], ["bob", 20]]),
        ('E.groupByUser(["properties.city"], mixpanel.reducer.count())'
         '.groupBy([mixpanel.slice("key", 1)], mixpanel.reducer.max("value"))', [["Berlin", 4], ["Rome", 2]]),
        ('E.groupBy(["name", "distinct_id"], mixpanel.reducer.count()).sortDesc("value").applyGroupLimits([2, 1], 2)',
         [["Buy", "ann", 2], ["View", "ann", 2]]),
        ('E.groupBy(["name"], mixpanel.reducer.count()).reduce(mixpanel.reducer.top(1)).flatten()', [["View", 4]]),
    ],
)  # fmt: skip
def test_groups(shop: Sandbox, expression: str, expected: list[Any]) -> None:
    assert grouped(shop, expression) == expected


def test_users_come_in_temporal_order_and_in_parts_a_reducer_has_to_combine(sandbox: Sandbox) -> None:
    lines = [exported_line(time=JAN_1 + number, insert_id=str(number), n=number) for number in range(2500)]
    sandbox.load(lines[::-1])
    ordered = "(state, es) => ({calls: (state ? state.calls : 0) + 1, last: _.last(es).properties.n})"
    assert ran(sandbox, f"E.groupByUser({ordered})") == [{"key": ["u1"], "value": {"calls": 3, "last": 2499}}]
    assert ran(sandbox, "E.reduce((accumulators, items) => [accumulators.length, items.length])") == [[3, 0]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", ["ann", "ann", "bob", None, "cem"]),
        (', {type: "left"}', ["ann", "ann", "bob", None]),
        (', {type: "right"}', ["ann", "ann", "cem"]),
        (', {type: "inner"}', ["ann", "ann"]),
        (""", {type: "inner", selectors: [{selector: 'properties["n"] == 2 and user["age"] > 18'}]}""", ["ann"]),
        (', {selectors: [{event: "Login"}]}', ["ann", "ann", "bob", None]),
    ],
)
def test_joins(sandbox: Sandbox, shop: Sandbox, options: str, expected: list[Any]) -> None:
    later = JAN_1 + 40 * DAY
    users = ["ann", "ann", "bob", ""]
    sandbox.load(
        exported_line("Login", later + n, distinct_id=user, insert_id=f"j{n}", n=n) for n, user in enumerate(users, 1)
    )
    february = 'Events({from_date: "2024-02-01", to_date: "2024-02-29"})'
    joined = ran(sandbox, f"join({february}, People(){options})")
    assert [record.get("distinct_id") for record in joined] == expected
    assert all("user" in record for record in joined if record.get("distinct_id") in ("ann", "cem"))


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("function main() {", "Uncaught exception SyntaxError"),
        ("var x = 1", "Uncaught exception Error: the script must define a function main()"),
        ("function main() { return 5 }", "Uncaught exception Error: main() must return Events(), People() or join()"),
        ("function main() { return nothing.at.all }", "Uncaught exception ReferenceError: nothing is not defined"),
        (f"function main() {{ return Events({ALL}).map(e => e.x.y) }}", "Uncaught exception TypeError"),
        ("function main() { throw new Error('mine') }", "Uncaught exception Error: mine"),
        ("function main() { return Events({from_date: '2024-01-01'}) }", "to_date is a required parameter"),
        ("function main() { return Events({from_date: 5}) }", "Events(), People() or join() with wrong arguments"),
        (f"function main() {{ return join(Events({ALL}).map(e => e), People()) }}",
         "Uncaught exception Error: join() takes"),
        (f"function main() {{ return Events({ALL}).map(e => e).groupByUser(mixpanel.reducer.count()) }}",
         "Uncaught exception Error: groupByUser() can only be applied to"),
        ("function main() { return People({user_selectors: [{selector: '1 +'}]}) }", "error parsing selector"),
        ("function main() { function f() { return f() + 1 } return f() }", "Uncaught exception RangeError"),
    ],
)  # fmt: skip
def test_an_error_in_a_script_is_400(shop: Sandbox, script: str, text: str) -> None:
    response = post(shop, script)
    assert response.status_code == 400
    assert response.json()["error"].startswith(text)


def test_script_and_params_are_checked(shop: Sandbox) -> None:
    assert post(shop, "").json()["error"] == "script is a required parameter"
    url = f"{shop.url}/api/2.0/jql?project_id=12345"
    form = {"script": "function main() {}", "params": "{x"}
    response = requests.post(url, data=form, auth=shop.projects[0].account[:2], timeout=10)
    assert (response.status_code, response.json()["error"]) == (400, "params must be JSON, not '{x'")


def test_a_script_without_end_is_stopped(sandbox: Sandbox) -> None:
    sandbox.reset([Project(jql_seconds=0.05)])
    response = post(sandbox, "function main() { while (true) {} }")
    assert response.status_code == 400
    assert response.json()["error"] == "Uncaught exception the script took longer than 0.05 seconds"


ENDLESS = {
    "regular expression": "function main() { return /^(a+)+$/.test('a'.repeat(40) + 'b') }",
    "one call of the engine": "function main() { return Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1) }",
    "text of an exception": "function main() { throw {get message() { for (;;) {} }, toString() { for (;;) {} }} }",
    "getter of the source": "function main() { return Events({get from_date() { for (;;) {} }}) }",
    "text of the result": "function main() { return People().map(() => ({toJSON() { while (true) {} }})) }",
    "promise": "function main() { (async () => { while (true) await null })(); while (true) {} }",
    "transformation": "function main() { return People().reduce(() => { while (true) {} }) }",
    "top level": "for (;;) {} function main() { return People() }",
    "host function": "globalThis.__source = () => { for (;;) {} }; function main() { return People() }",
    "sorting": "function main() { return [3, 1, 2].sort(() => { for (;;) {} }) }",
    "big integer": "function main() { let n = 3n; for (;;) n = n ** 99999n }",
}


@pytest.mark.parametrize("script", ENDLESS.values(), ids=ENDLESS)
def test_the_time_limit_holds_for_every_script(sandbox: Sandbox, script: str) -> None:
    sandbox.reset([Project(jql_seconds=0.3, enforce_budgets=False)])
    sandbox.load([exported_line()])
    token = sandbox.projects[0].token
    update = [{"$token": token, "$distinct_id": "u1", "$set": {"plan": "pro"}}]
    requests.post(f"{sandbox.url}/engage", json=update, timeout=10)
    response = post(sandbox, script)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error.startswith(("Uncaught exception the script took longer than 0.3 seconds", "Uncaught exception RangeE"))
    assert requests.get(sandbox.url + "/nothing", timeout=10).status_code == 404  # the sandbox lives


@pytest.mark.parametrize(
    "script",
    [
        "function main() { return 'x'.repeat(2 ** 29) + 'y'.repeat(2 ** 29) }",
        "function main() { let s = 'x'; for (;;) s += s }",
        "function main() { return new ArrayBuffer(4e9) }",
        "function main() { return People().map(() => 'x'.repeat(150e6)) }",
        "function main() { return /(x+x+)+y/.test('x'.repeat(1e8)) }",
    ],
)
def test_a_script_allocates_outside_of_the_sandbox_process(sandbox: Sandbox, script: str) -> None:
    sandbox.reset([Project(jql_megabytes=200, jql_seconds=5, enforce_budgets=False)])
    update = [{"$token": sandbox.projects[0].token, "$distinct_id": "u1", "$set": {"plan": "pro"}}]
    requests.post(f"{sandbox.url}/engage", json=update, timeout=10)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert post(sandbox, script).status_code == 400
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KB


def test_a_script_that_allocates_too_much_memory_is_stopped(sandbox: Sandbox) -> None:
    sandbox.reset([Project(jql_megabytes=20)])
    response = post(sandbox, "function main() { var a = []; while (true) a.push(new Array(100000).fill(a.length)) }")
    assert (response.status_code, response.json()["error"]) == (
        400,
        "Uncaught exception InternalError: out of memory",
    )


def test_scripts_are_isolated_from_each_other_and_the_machine(sandbox: Sandbox) -> None:
    post(sandbox, "globalThis.leak = 1; function main() { return People() }")
    assert post(sandbox, "function main() { return leak }").status_code == 400
    for name in ("require", "process", "fetch", "XMLHttpRequest", "std", "os"):
        assert "is not defined" in post(sandbox, f"function main() {{ return {name} }}").json()["error"]


def test_a_script_counts_in_its_own_budget_and_in_that_of_queries(sandbox: Sandbox, query: Any) -> None:
    sandbox.reset([Project()])
    for _ in range(40):
        assert post(sandbox, "function main() { return People() }").status_code == 200
    statuses = [query("/events/names", type="general").status_code for _ in range(21)]
    assert statuses == [200] * 20 + [429]
    assert post(sandbox, "function main() { return People() }").status_code == 429
    overview = control_call(sandbox, "GET").json()["projects"][0]["budgets"]
    assert {family: usage["in_last_hour"] for family, usage in overview.items()} == {
        "export": 0,
        "query": 60,
        "jql": 40,
    }


def test_a_free_plan_has_no_jql(sandbox: Sandbox) -> None:
    sandbox.reset([Project(plan="free")])
    assert post(sandbox, "function main() { return People() }").status_code == 402
