"""Lexicon schemas over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from mixpanel_etl.sandbox import Project, Sandbox

from ..app_api import NOON, PROJECT, api_call, error_text, reset_with_role, results_of

SCHEMAS = f"{PROJECT}/schemas"
PURCHASE = {"description": "buys", "properties": {"amount": {"type": "number"}}}


def entry(name: str = "Purchase", kind: str = "event", **schema: Any) -> dict[str, Any]:
    return {"entityType": kind, "name": name, "schemaJson": schema or PURCHASE}


def upload(sandbox: Sandbox, *entries: object, truncate: bool = False) -> Any:
    return results_of(api_call(sandbox, "POST", SCHEMAS, {"entries": entries, "truncate": truncate}))


def own(schema: dict[str, Any]) -> Any:
    return schema["metadata"]["com.mixpanel"]


def test_uploaded_schemas_are_listed_and_read_by_type_and_name(sandbox: Sandbox) -> None:
    assert upload(sandbox, entry(), entry("$user", "profile")) == {"added": 2, "deleted": 0}
    assert results_of(api_call(sandbox, "GET", SCHEMAS)) == [entry(), entry("$user", "profile")]
    assert results_of(api_call(sandbox, "GET", f"{SCHEMAS}/profile")) == [entry("$user", "profile")]
    assert results_of(api_call(sandbox, "GET", f"{SCHEMAS}/event", params={"entity_name": "Purchase"})) == PURCHASE
    assert api_call(sandbox, "GET", f"{SCHEMAS}/event/Purchase").json() == PURCHASE


def test_a_name_with_a_slash_is_one_name(sandbox: Sandbox) -> None:
    api_call(sandbox, "POST", f"{SCHEMAS}/event/Page%2FView", PURCHASE)
    assert api_call(sandbox, "GET", f"{SCHEMAS}/event/Page%2FView").json() == PURCHASE


def test_an_upload_replaces_the_schema(sandbox: Sandbox) -> None:
    upload(sandbox, entry())
    assert api_call(sandbox, "POST", f"{SCHEMAS}/event/Purchase", {"description": "new"}).json() == {"status": "ok"}
    assert api_call(sandbox, "GET", f"{SCHEMAS}/event/Purchase").json() == {"description": "new"}


def test_mixpanels_metadata_that_an_upload_does_not_mention_stays_and_null_removes_it(sandbox: Sandbox) -> None:
    upload(sandbox, entry(metadata={"com.mixpanel": {"displayName": "Buy", "tags": ["core"], "hidden": True}}))
    upload(sandbox, entry(metadata={"com.mixpanel": {"displayName": "Order", "tags": None}}))
    schema = api_call(sandbox, "GET", f"{SCHEMAS}/event/Purchase").json()
    assert own(schema) == {"displayName": "Order", "hidden": True}


def test_the_metadata_of_properties_is_merged_as_well(sandbox: Sandbox) -> None:
    named = {"type": "number", "metadata": {"com.mixpanel": {"displayName": "Amount"}}}
    upload(sandbox, entry(properties={"amount": named, "gone": {"type": "string"}}))
    upload(sandbox, entry(properties={"amount": {"type": "integer"}}))
    assert api_call(sandbox, "GET", f"{SCHEMAS}/event/Purchase").json()["properties"] == {
        "amount": {**named, "type": "integer"}
    }


def test_truncate_deletes_the_whole_dictionary_first(sandbox: Sandbox) -> None:
    upload(sandbox, entry("A"), entry("B"))
    assert upload(sandbox, entry("C"), truncate=True) == {"added": 1, "deleted": 2}
    assert [item["name"] for item in results_of(api_call(sandbox, "GET", SCHEMAS))] == ["C"]


@pytest.mark.parametrize(("path", "count"), [("", 3), ("/event", 2), ("/event/A", 1), ("/event/none", 0)])
def test_deletions_are_counted(sandbox: Sandbox, path: str, count: int) -> None:
    upload(sandbox, entry("A"), entry("B"), entry("$user", "profile"))
    assert results_of(api_call(sandbox, "DELETE", SCHEMAS + path)) == {"delete_count": count}
    assert len(results_of(api_call(sandbox, "GET", SCHEMAS))) == 3 - count


def test_a_dropped_event_or_property_is_discarded_at_ingestion(sandbox: Sandbox) -> None:
    dropped = {"com.mixpanel": {"dropped": True}}
    upload(
        sandbox,
        entry("Secret", metadata=dropped),
        entry("Login", properties={"card": {"type": "string", "metadata": dropped}}),
    )
    sandbox.clock.set(NOON)
    events = [
        {"event": name, "properties": {"time": 1_709_290_000, "distinct_id": "u", "$insert_id": name, "card": "42"}}
        for name in ("Secret", "Login")
    ]
    reply = api_call(sandbox, "POST", "/import", events, params={"project_id": 12345, "strict": 1})
    assert reply.json()["num_records_imported"] == 2
    (kept,) = sandbox.deduplicated(NOON.date(), NOON.date())
    assert kept.event == "Login"
    assert "card" not in kept.properties


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"entries": [{"entityType": "event", "name": "A"}]},
        {"entries": [entry("A", "cohort")]},
        {"entries": [{**entry(), "extra": 1}]},
        {"entries": [entry(properties={"a": {"type": "date"}})]},
        {"entries": [entry(metadata={"com.mixpanel": {"colour": "red"}})]},
    ],
)
def test_a_bad_upload_is_400_and_changes_nothing(sandbox: Sandbox, body: object) -> None:
    error_text(api_call(sandbox, "POST", SCHEMAS, body), 400)
    assert results_of(api_call(sandbox, "GET", SCHEMAS)) == []


def test_an_unknown_name_is_404_and_an_unknown_type_400(sandbox: Sandbox) -> None:
    error_text(api_call(sandbox, "GET", f"{SCHEMAS}/event/none"), 404)
    error_text(api_call(sandbox, "GET", f"{SCHEMAS}/cohort"), 400)


def test_keys_of_a_property_that_only_an_example_shows_are_kept(sandbox: Sandbox) -> None:
    described = {"type": "string", "format": "date-time", "examples": ["x"]}
    upload(sandbox, entry(properties={"at": described}))
    assert api_call(sandbox, "GET", f"{SCHEMAS}/event/Purchase").json()["properties"] == {"at": described}


def test_five_requests_a_minute_for_all_projects_of_an_organization(sandbox: Sandbox) -> None:
    sandbox.reset([Project(), Project(67890), Project(777, organization_id=2)])
    sandbox.clock.set(NOON, frozen=True)
    for project_id in (12345, 67890, 12345, 67890, 12345):
        results_of(api_call(sandbox, "GET", f"/api/app/projects/{project_id}/schemas"))
    assert "5 requests" in error_text(api_call(sandbox, "GET", "/api/app/projects/67890/schemas"), 429)
    results_of(api_call(sandbox, "GET", "/api/app/projects/777/schemas"))
    sandbox.clock.advance(timedelta(seconds=60))
    results_of(api_call(sandbox, "GET", SCHEMAS))


def test_four_thousand_events_and_properties_a_minute(sandbox: Sandbox) -> None:
    sandbox.reset([Project()])
    sandbox.clock.set(NOON, frozen=True)
    upload(sandbox, *(entry(f"E{number}") for number in range(2000)))
    body = {"entries": [entry("one more")]}
    assert "4000" in error_text(api_call(sandbox, "POST", SCHEMAS, body), 429)


def test_no_request_deletes_more_than_three_thousand(sandbox: Sandbox) -> None:
    for part in range(2):
        upload(sandbox, *(entry(f"E{part}-{number}", description="x") for number in range(1501)))
    error_text(api_call(sandbox, "DELETE", SCHEMAS), 400)
    error_text(api_call(sandbox, "POST", SCHEMAS, {"entries": [], "truncate": True}), 400)
    assert len(results_of(api_call(sandbox, "GET", SCHEMAS))) == 3002


@pytest.mark.parametrize("role", ["consumer", "analyst"])
def test_only_admins_and_owners_write(sandbox: Sandbox, role: str) -> None:
    reset_with_role(sandbox, role)
    error_text(api_call(sandbox, "POST", SCHEMAS, {"entries": [entry()]}), 403)
    error_text(api_call(sandbox, "DELETE", SCHEMAS), 403)
    assert results_of(api_call(sandbox, "GET", SCHEMAS)) == []


def test_wrong_credentials_are_401(sandbox: Sandbox) -> None:
    error_text(api_call(sandbox, "GET", SCHEMAS, auth=("sandbox.sa", "wrong")), 401)
