"""GDPR, service accounts. Source: mixpanel-api.md#gdpr-jobs, #service-accounts."""

from __future__ import annotations

from datetime import UTC, datetime

from mixpanel_etl.client import ProjectRole

from .example import Example

JOB = {"tracking_id": "job-1"}
TOKEN = {"token": "the-project-token"}
LINK = "https://storage.example.com/signed?key=abc"
DELETION = {
    "tracking_id": "job-1",
    "status": "STARTED",
    "requesting_user": "admin@company.com",
    "compliance_type": "GDPR",
    "project_id": 12345,
    "date_requested": "2026-01-15T10:00:00Z",
    "distinct_ids": ["u1"],
}
CREATED = {"status": "ok", "results": {"task_id": "job-1"}}
CREATED_LIST = {"status": "ok", "results": [{"tracking_id": "job-1", "status": "PENDING", "compliance_type": "gdpr"}]}
ACCOUNT = {
    "id": 123,
    "username": "api",
    "last_used": None,
    "expires": None,
    "creator": 456,
    "created": "2026-01-01T00:00:00Z",
}
EXPIRES = datetime(2027, 1, 15, tzinfo=UTC)

PEOPLE = [
    Example(
        lambda mp: mp.gdpr.create_retrieval(["u1", "u2"], "CCPA", "Categories"),
        CREATED,
        lambda job: job == "job-1",
        query=TOKEN,
        body={"distinct_ids": ["u1", "u2"], "compliance_type": "CCPA", "disclosure_type": "Categories"},
        also=(CREATED_LIST,),
        bad=lambda mp: mp.gdpr.create_retrieval([f"u{n}" for n in range(2001)]),
        says=r"2,001 items, the limit of one request is 2,000\. .*from item 2000 on",
        status=201,
    ),
    Example(
        lambda mp: mp.gdpr.get_retrieval("job-1"),
        {"status": "ok", "results": {"status": "SUCCESS", "results": LINK, "distinct_ids": ["u1"]}},
        lambda job: (job.status, job.link) == ("SUCCESS", LINK) and LINK not in repr(job),
        query=TOKEN,
        path=JOB,
        also=({"status": "ok", "results": {"status": "SUCCESS", "result": LINK, "distinct_ids": ["u1"]}},),
        bad=lambda mp: mp.gdpr.get_retrieval(""),
        says="tracking_id is ''",
    ),
    Example(
        lambda mp: mp.gdpr.create_deletion(["u1"]),
        CREATED,
        lambda job: job == "job-1",
        query=TOKEN,
        body={"distinct_ids": ["u1"], "compliance_type": "GDPR"},
        also=(CREATED_LIST,),
        bad=lambda mp: mp.gdpr.create_deletion([f"u{n}" for n in range(2000)]),
        says="2,000 items, the limit of one request is 1,999",
        status=201,
    ),
    Example(
        lambda mp: mp.gdpr.get_deletion("job-1"),
        {"status": "ok", "results": DELETION},
        lambda job: (job.status, job.distinct_ids, job.is_finished) == ("STARTED", ["u1"], False),
        query=TOKEN,
        path=JOB,
        also=({"status": "STARTED", "result": "", "distinct_ids": ["u1"]},),
    ),
    Example(lambda mp: mp.gdpr.cancel_deletion("job-1"), b"", query=TOKEN, path=JOB, status=204),
    Example(
        lambda mp: mp.service_accounts.list_service_accounts(9),
        {"results": [ACCOUNT], "status": "ok"},
        lambda accounts: [account.id for account in accounts] == [123],
        path={"organization_id": 9},
    ),
    Example(
        lambda mp: mp.service_accounts.create_service_account(
            9, "api", role="analyst", expires=EXPIRES, projects=[ProjectRole(12345, "consumer")]
        ),
        {"results": {**ACCOUNT, "token": "sa_secret"}, "status": "ok"},
        lambda made: made.token.get_secret_value() == "sa_secret" and "sa_secret" not in repr(made),
        path={"organization_id": 9},
        body={
            "username": "api",
            "role": "analyst",
            "expires": "2027-01-15T00:00:00Z",
            "projects": [{"id": 12345, "role": "consumer"}],
        },
        bad=lambda mp: mp.service_accounts.create_service_account(9, "api", expires=datetime(2027, 1, 15)),  # noqa: DTZ001
        says="expires is .* time zone",
        status=201,
    ),
    Example(
        lambda mp: mp.service_accounts.get_service_account(9, 123),
        ACCOUNT,
        lambda account: account.username == "api",
        path={"organization_id": 9, "service_account_id": 123},
        also=({"results": ACCOUNT, "status": "ok"},),
    ),
    Example(
        lambda mp: mp.service_accounts.delete_service_account(9, 123),
        {"status": "ok"},
        path={"organization_id": 9, "service_account_id": 123},
    ),
    Example(
        lambda mp: mp.service_accounts.list_project_service_accounts(),
        {"results": [{**ACCOUNT, "role": "a role of our own", "hasSensitiveAccess": False}], "status": "ok"},
        lambda members: members[0].role == "a role of our own" and members[0]["hasSensitiveAccess"] is False,
    ),
    Example(
        lambda mp: mp.service_accounts.add_to_projects(9, [123, 124], [ProjectRole(12345, "admin")]),
        {"status": "ok"},
        path={"organization_id": 9},
        body={"service_account_ids": [123, 124], "projects": [{"id": 12345, "role": "admin"}]},
        bad=lambda mp: mp.service_accounts.add_to_projects(9, [123], [ProjectRole(1, "king")]),  # type: ignore[arg-type]
        says="role in project 1 is 'king'",
    ),
    Example(
        lambda mp: mp.service_accounts.remove_from_projects(9, {12345: [123, 124]}),
        {"status": "ok"},
        path={"organization_id": 9},
        body={"projects": [{"id": 12345, "service_account_ids": [123, 124]}]},
        bad=lambda mp: mp.service_accounts.remove_from_projects(9, {12345: []}),
        says=r"projects\[12345\] is empty",
    ),
]
