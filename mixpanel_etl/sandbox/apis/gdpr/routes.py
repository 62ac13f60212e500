"""The GDPR and CCPA API: retrievals and deletions of a person's data. Source: mixpanel-api.md#gdpr-jobs.

A job is PENDING, STAGING, STARTED and then SUCCESS by the sandbox's clock; until STARTED a deletion can be cancelled.
When it succeeds, a deletion deletes events and profiles, and a retrieval has an archive for download.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mixpanel_etl.sandbox.apis.api_call import ApiCall, app_route, ok
from mixpanel_etl.sandbox.apis.gdpr.models import CCPA_DAYS, GdprJobs, Job, Task
from mixpanel_etl.sandbox.engine.authentication import Caller, bearer_token, projects_of_token
from mixpanel_etl.sandbox.engine.budgets import RateLimit
from mixpanel_etl.sandbox.engine.fault_effects import with_faults
from mixpanel_etl.sandbox.engine.query_parameters import check_choice
from mixpanel_etl.sandbox.engine.responses import ApiError, app_shape, json_response, with_error_shape
from mixpanel_etl.sandbox.engine.state import State

REQUESTS = RateLimit("gdpr", 1, timedelta(seconds=1), "Rate limit exceeded: 1 request per second")
MAX_IDS: dict[Task, int] = {"retrieval": 2000, "deletion": 1999}
MAX_SCANNED_DAYS = 1826
_FIRST_EVENT = "SELECT min(time_ms) FROM events WHERE project_id = ?"
_MS_PER_DAY = 86_400_000


def gdpr_routes() -> list[Route]:
    retrievals, deletions = "/data-retrievals/v3.0", "/data-deletions/v3.0"
    return [
        app_route("POST", retrievals, create_retrieval, identify=_user, status=201),
        app_route("GET", f"{retrievals}/{{tracking_id}}", get_retrieval, identify=_user),
        app_route("POST", deletions, create_deletion, identify=_user, status=201),
        app_route("GET", f"{deletions}/{{tracking_id}}", get_deletion, identify=_user),
        app_route("DELETE", f"{deletions}/{{tracking_id}}", cancel_deletion, identify=_user),
        Route("/gdpr-archives/{name}", with_error_shape(app_shape, with_faults("/gdpr-archives", download))),
    ]


class _Body(msgspec.Struct):
    distinct_ids: list[str]
    compliance_type: str = "GDPR"
    disclosure_type: str = "Data"


def create_retrieval(call: ApiCall) -> object:
    """429 if all unfinished retrievals together would scan more than five years; a single one is always accepted."""
    body = _read(call, "retrieval")
    jobs, scanned = call.state.api_state(GdprJobs), _days_to_scan(call, body)
    outstanding = jobs.outstanding_days(call.project.project_id, call.now)
    if outstanding and outstanding + scanned > MAX_SCANNED_DAYS and call.project.enforce_budgets:
        text = f"Rate limit exceeded: {outstanding} days of data scans are outstanding, {MAX_SCANNED_DAYS} are allowed"
        raise ApiError(429, text)
    return _created(call, _add(call, "retrieval", body, scanned))


def create_deletion(call: ApiCall) -> object:
    return _created(call, _add(call, "deletion", _read(call, "deletion"), 0))


def get_retrieval(call: ApiCall) -> object:
    job = _job(call, "retrieval")
    link = "results" if call.project.gdpr_replies == "openapi" else "result"
    if job is None:
        return ok({"status": "NOT_FOUND", link: "", "distinct_ids": []})
    url = _archive_url(call.request, job) if job.archive else ""
    return ok({"status": job.status(call.now), link: url, "distinct_ids": job.distinct_ids})


def get_deletion(call: ApiCall) -> object:
    job = _job(call, "deletion")
    if call.project.gdpr_replies == "reference":
        status = job.status(call.now) if job else "NOT_FOUND"
        return ok({"status": status, "result": "", "distinct_ids": job.distinct_ids if job else []})
    return ok(
        {
            "tracking_id": call.path["tracking_id"],
            "status": job.status(call.now) if job else "NOT_FOUND",
            "requesting_user": job.requesting_user if job else "",
            "compliance_type": job.compliance_type if job else "",
            "project_id": call.project.project_id,
            "date_requested": _utc(job.requested) if job else "",
            "distinct_ids": job.distinct_ids if job else [],
        }
    )


def cancel_deletion(call: ApiCall) -> object:
    """204, or 405 once the job has started. The job is REVOKED then."""
    job = _job(call, "deletion")
    if job is None:
        raise ApiError(404, f"Deletion {call.path['tracking_id']!r} does not exist")
    if job.status(call.now) not in ("PENDING", "STAGING"):
        raise ApiError(405, f"Method Not Allowed: the deletion is {job.status(call.now)}")
    job.revoked = call.now
    return Response(status_code=204)


async def download(request: Request) -> Response:
    """The archive of a retrieval. The name in the link is the only credential; others are rejected."""
    archive = State.of(request).api_state(GdprJobs).archive(request.path_params["name"])
    if "authorization" in request.headers:
        return json_response({"error": "Only one auth mechanism is allowed: the link needs no other"}, 400)
    if archive is None:
        return json_response({"error": "Not Found"}, 404)
    return Response(archive, media_type="application/zip")


def _read(call: ApiCall, task: Task) -> _Body:
    body = call.json(_Body)
    if not 0 < len(body.distinct_ids) <= MAX_IDS[task]:
        raise ApiError(400, f"distinct_ids must be 1 to {MAX_IDS[task]} ids, not {len(body.distinct_ids)}")
    check_choice("compliance_type", body.compliance_type.upper(), ("GDPR", "CCPA"))
    check_choice("disclosure_type", body.disclosure_type.capitalize(), ("Data", "Categories", "Sources"))
    return body


def _days_to_scan(call: ApiCall, body: _Body) -> int:
    """Days from the project's first event until now; for CCPA, at most one year."""
    ((first_ms,),) = call.state.store.query(_FIRST_EVENT, [call.project.project_id])
    days = 1 if first_ms is None else int(call.now.timestamp() * 1000 - first_ms) // _MS_PER_DAY + 1
    return min(days, CCPA_DAYS) if body.compliance_type.upper() == "CCPA" else days


def _add(call: ApiCall, task: Task, body: _Body, scanned: int) -> Job:
    return call.state.api_state(GdprJobs).add(
        call.project,
        task,
        distinct_ids=body.distinct_ids,
        compliance_type=body.compliance_type,
        disclosure_type=body.disclosure_type.capitalize(),
        requested=call.now,
        scanned_days=scanned,
    )


def _created(call: ApiCall, job: Job) -> object:
    """Two shapes are documented: an object with `task_id`, or a list of one with everything."""
    if call.project.gdpr_replies == "openapi":
        return ok({"task_id": job.tracking_id, "tracking_id": job.tracking_id})
    return ok(
        [
            {
                "status": job.status(call.now),
                "disclosure_type": job.disclosure_type.upper(),
                "date_requested": _utc(job.requested),
                "tracking_id": job.tracking_id,
                "project_id": job.project.project_id,
                "compliance_type": job.compliance_type.lower(),
                "destination_url": "",
                "requesting_user": job.requesting_user,
                "distinct_id_count": len(job.distinct_ids),
            }
        ]
    )


def _job(call: ApiCall, task: Task) -> Job | None:
    return call.state.api_state(GdprJobs).get(call.project.project_id, task, call.path["tracking_id"])


def _archive_url(request: Request, job: Job) -> str:
    """A URL on another host than the API, like Mixpanel's storage: clients must not send credentials there."""
    host = "localhost" if request.url.hostname != "localhost" else "127.0.0.1"
    return str(request.url.replace(hostname=host, path=f"/gdpr-archives/{job.archive}", query=""))


def _user(request: Request, state: State, _now: datetime) -> Caller:
    """The user of an OAuth token, for the project of the `token` in the query. Counts against the rate limit."""
    members = projects_of_token(state.projects, bearer_token(request))
    if not members:
        raise ApiError(401, "Invalid OAuth token")
    token = request.query_params.get("token")
    if not token:
        raise ApiError(400, "token is a required parameter: the project token")
    for project in members:
        if project.token == token:
            state.budgets.spend(REQUESTS, project)
            return Caller(project, "oauth", "owner")
    raise ApiError(403, "Permission denied: the user has no access to the project of this token")


def _utc(timestamp: datetime) -> str:
    return f"{timestamp.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
