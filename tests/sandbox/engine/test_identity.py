"""Identity events under the ID merge APIs: their effect on stored events, as exports show them."""

import base64
import json
import uuid
from typing import Any

import pytest
import requests

from mixpanel_etl.sandbox import Project, Sandbox

from ..app_api import NOON, api_call

TIME = int(NOON.timestamp()) - 60
UUID = str(uuid.UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7"))


def begin(sandbox: Sandbox, id_merge: str) -> None:
    sandbox.reset([Project(enforce_budgets=False, id_merge=id_merge)])  # type: ignore[arg-type]
    sandbox.clock.set(NOON, frozen=True)


def event(name: str, **properties: Any) -> dict[str, Any]:
    named = {key.replace("_dollar_", "$"): value for key, value in properties.items()}
    return {"event": name, "properties": {"time": TIME, "$insert_id": name, **named}}


def post(sandbox: Sandbox, *events: object) -> requests.Response:
    return api_call(sandbox, "POST", "/import", list(events), params={"project_id": 12345, "strict": 1})


def track(sandbox: Sandbox, name: str, **properties: Any) -> dict[str, Any]:
    sent = {"event": name, "properties": {"token": sandbox.projects[0].token, **properties}}
    data = base64.b64encode(json.dumps(sent).encode()).decode()
    reply = requests.post(f"{sandbox.url}/track", data={"data": data, "verbose": 1}, timeout=10)
    body: dict[str, Any] = reply.json()
    return body


def exported(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """The exported properties by event name."""
    params = {"project_id": 12345, "from_date": "2024-03-01", "to_date": "2024-03-01"}
    lines = api_call(sandbox, "GET", "/api/2.0/export", params=params).text.splitlines()
    return {item["event"]: item["properties"] for item in map(json.loads, lines)}


def owners(sandbox: Sandbox) -> dict[str, str]:
    return {name: properties["distinct_id"] for name, properties in exported(sandbox).items()}


class TestSimplified:
    @pytest.fixture(autouse=True)
    def _simplified(self, sandbox: Sandbox) -> None:
        begin(sandbox, "simplified")

    def test_the_user_is_the_distinct_id_else_the_device(self, sandbox: Sandbox) -> None:
        post(sandbox, event("A", _dollar_user_id="u", _dollar_device_id="d"), event("B", _dollar_device_id="other"))
        assert owners(sandbox) == {"A": "u", "B": "$device:other"}

    def test_a_distinct_id_alone_says_whether_it_is_a_user_or_a_device(self, sandbox: Sandbox) -> None:
        post(sandbox, event("A", distinct_id="u"), event("B", distinct_id="$device:d"))
        rows = exported(sandbox)
        assert (rows["A"]["$user_id"], rows["A"].get("$device_id")) == ("u", None)
        assert (rows["B"]["$device_id"], rows["B"].get("$user_id")) == ("d", None)

    def test_the_first_event_with_both_gives_earlier_events_of_the_device_to_the_user(self, sandbox: Sandbox) -> None:
        post(sandbox, event("Before", _dollar_device_id="d"))
        assert owners(sandbox) == {"Before": "$device:d"}
        post(sandbox, event("Link", _dollar_device_id="d", _dollar_user_id="u"))
        post(sandbox, event("After", _dollar_device_id="d"))
        assert owners(sandbox) == {"Before": "u", "Link": "u", "After": "u"}
        assert exported(sandbox)["Before"]["$distinct_id_before_identity"] == "$device:d"

    def test_a_user_may_have_many_devices_but_a_device_one_user(self, sandbox: Sandbox) -> None:
        post(sandbox, event("A", _dollar_device_id="d", _dollar_user_id="u"))
        post(sandbox, event("B", _dollar_device_id="d2", _dollar_user_id="u"))
        post(sandbox, event("C", _dollar_device_id="d", _dollar_user_id="v"))
        post(sandbox, event("D", _dollar_device_id="d"))
        assert owners(sandbox) == {"A": "u", "B": "u", "C": "v", "D": "u"}
        rejected = [name for name, row in exported(sandbox).items() if "$identity_failure_reason" in row]
        assert rejected == ["C"]

    def test_profile_properties_of_a_device_are_not_carried_over(self, sandbox: Sandbox) -> None:
        update = {"$token": sandbox.projects[0].token, "$distinct_id": "$device:d", "$set": {"plan": "pro"}}
        assert api_call(sandbox, "POST", "/engage", [update]).text == "1"
        post(sandbox, event("Link", _dollar_device_id="d", _dollar_user_id="u"))
        assert "u" not in sandbox.profiles()

    @pytest.mark.parametrize(
        ("name", "properties"),
        [
            ("$identify", {"$identified_id": "a", "$anon_id": UUID}),
            ("$create_alias", {"distinct_id": "a", "alias": "b"}),
        ],
    )
    def test_identity_calls_are_accepted_and_ignored(
        self, sandbox: Sandbox, name: str, properties: dict[str, str]
    ) -> None:
        post(sandbox, event("A", distinct_id="a"), event("B", distinct_id="b"))
        assert track(sandbox, name, **properties) == {"status": 1, "error": None}
        assert owners(sandbox) == {"A": "a", "B": "b"}

    @pytest.mark.parametrize(
        ("name", "properties"),
        [
            ("$merge", {"$distinct_ids": ["a", "b"]}),
            ("$identify", {"$identified_id": "a", "$anon_id": UUID}),
            ("$create_alias", {"distinct_id": "a", "alias": "b"}),
        ],
    )
    def test_an_identity_event_rejects_the_whole_import_without_an_index(
        self, sandbox: Sandbox, name: str, properties: dict[str, Any]
    ) -> None:
        reply = post(sandbox, event("A", distinct_id="a"), {"event": name, "properties": properties})
        assert reply.status_code == 400
        body = reply.json()
        assert (body["num_records_imported"], [type(record) for record in body["failed_records"]]) == (0, [str])
        assert owners(sandbox) == {}


class TestOriginal:
    @pytest.fixture(autouse=True)
    def _original(self, sandbox: Sandbox) -> None:
        begin(sandbox, "original")

    def test_identify_joins_the_anonymous_id_to_the_user(self, sandbox: Sandbox) -> None:
        post(sandbox, event("Before", distinct_id=UUID), event("Login", distinct_id="user"))
        assert track(sandbox, "$identify", **{"$identified_id": "user", "$anon_id": UUID})["status"] == 1
        post(sandbox, event("After", distinct_id=UUID))
        rows = owners(sandbox)
        assert len({rows[name] for name in ("Before", "Login", "After", "$identify")}) == 1

    def test_rows_of_the_other_id_keep_it_as_distinct_id_before_identity(self, sandbox: Sandbox) -> None:
        post(sandbox, event("A", distinct_id="a"), event("B", distinct_id="b"))
        post(sandbox, event("$merge", _dollar_distinct_ids=["a", "b"]))
        rows = exported(sandbox)
        canonical = rows["A"]["distinct_id"]
        other = rows["B" if canonical == "a" else "A"]
        assert other["$distinct_id_before_identity"] == ("b" if canonical == "a" else "a")

    @pytest.mark.parametrize("anonymous", ["not-a-uuid", "7c9e6679-7425-10de-944b-e07fc1f90ae7"])
    def test_identify_with_an_id_that_is_not_a_uuid4_is_rejected_with_a_marker(
        self, sandbox: Sandbox, anonymous: str
    ) -> None:
        post(sandbox, event("Before", distinct_id=anonymous))
        assert track(sandbox, "$identify", **{"$identified_id": "user", "$anon_id": anonymous})["status"] == 1
        rows = exported(sandbox)
        assert rows["Before"]["distinct_id"] == anonymous
        assert rows["$identify"]["$failure_reason"]
        assert rows["$identify"]["$failure_description"]

    def test_an_anonymous_id_is_identified_once(self, sandbox: Sandbox) -> None:
        track(sandbox, "$identify", **{"$identified_id": "first", "$anon_id": UUID})
        track(sandbox, "$identify", **{"$identified_id": "second", "$anon_id": UUID})
        post(sandbox, event("A", distinct_id="first"), event("B", distinct_id="second"))
        assert owners(sandbox)["B"] == "second"
        assert owners(sandbox)["A"] != "second"

    def test_an_alias_belongs_to_one_id(self, sandbox: Sandbox) -> None:
        track(sandbox, "$create_alias", distinct_id="first", alias="nick")
        track(sandbox, "$create_alias", distinct_id="second", alias="nick")
        post(sandbox, event("A", distinct_id="first"), event("B", distinct_id="second"), event("N", distinct_id="nick"))
        rows = owners(sandbox)
        assert rows["A"] == rows["N"]
        assert rows["B"] == "second"

    def test_a_cluster_holds_five_hundred_ids(self, sandbox: Sandbox) -> None:
        merges = [event("$merge", _dollar_distinct_ids=["m0", f"m{number}"]) for number in range(1, 502)]
        assert post(sandbox, *merges).status_code == 200
        later = {"In": "m499", "Out": "m500", "Zero": "m0"}
        post(sandbox, *(event(name, distinct_id=distinct_id) for name, distinct_id in later.items()))
        rows = owners(sandbox)
        assert rows["In"] == rows["Zero"]
        assert rows["Out"] == "m500"

    def test_merge_is_for_import_only(self, sandbox: Sandbox) -> None:
        assert track(sandbox, "$merge", **{"$distinct_ids": ["a", "b"]})["status"] == 0

    @pytest.mark.parametrize("ids", [["a"], ["a", "b", "c"], "a", [1, 2], None])
    def test_merge_takes_exactly_two_ids(self, sandbox: Sandbox, ids: object) -> None:
        reply = post(sandbox, event("$merge", _dollar_distinct_ids=ids))
        assert reply.status_code == 400
        assert reply.json()["failed_records"][0]["field"] == "properties.$distinct_ids"

    def test_merge_needs_neither_time_nor_insert_id(self, sandbox: Sandbox) -> None:
        reply = post(sandbox, {"event": "$merge", "properties": {"$distinct_ids": ["a", "b"], "token": "t"}})
        assert reply.json() == {"code": 200, "num_records_imported": 1, "status": "OK"}

    def test_profiles_become_one_and_any_id_updates_it(self, sandbox: Sandbox) -> None:
        token = sandbox.projects[0].token
        updates = [{"$token": token, "$distinct_id": name, "$set": {name: 1}} for name in ("a", "b")]
        api_call(sandbox, "POST", "/engage", updates)
        post(sandbox, event("$merge", _dollar_distinct_ids=["a", "b"]))
        api_call(sandbox, "POST", "/engage", [{"$token": token, "$distinct_id": "b", "$set": {"later": 1}}])
        (profile,) = sandbox.profiles().values()
        assert {"a", "b", "later"} <= profile.properties.keys()


class TestLegacy:
    @pytest.fixture(autouse=True)
    def _legacy(self, sandbox: Sandbox) -> None:
        begin(sandbox, "legacy")

    def test_an_alias_holds_for_later_events_only(self, sandbox: Sandbox) -> None:
        post(sandbox, event("Before", distinct_id="nick"))
        track(sandbox, "$create_alias", distinct_id="user", alias="nick")
        post(sandbox, event("After", distinct_id="nick"))
        rows = owners(sandbox)
        assert (rows["Before"], rows["After"]) == ("nick", "user")

    def test_identify_and_merge_are_ignored(self, sandbox: Sandbox) -> None:
        post(sandbox, event("A", distinct_id=UUID), event("$merge", _dollar_distinct_ids=[UUID, "user"]))
        track(sandbox, "$identify", **{"$identified_id": "user", "$anon_id": UUID})
        assert owners(sandbox) == {"A": UUID}

    def test_what_is_ignored_is_not_validated(self, sandbox: Sandbox) -> None:
        assert post(sandbox, {"event": "$merge", "properties": {}}).json()["num_records_imported"] == 1
        assert post(sandbox, {"event": "$create_alias", "properties": {}}).status_code == 400


@pytest.mark.parametrize(
    ("name", "properties", "missing"),
    [
        ("$identify", {"$identified_id": "u"}, "$anon_id"),
        ("$create_alias", {"distinct_id": "u"}, "alias"),
    ],
)
def test_an_identity_call_without_an_id_is_status_0(
    sandbox: Sandbox, name: str, properties: dict[str, str], missing: str
) -> None:
    reply = track(sandbox, name, **properties)
    assert reply["status"] == 0
    assert missing in reply["error"]
