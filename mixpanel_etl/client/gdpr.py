"""GDPR and CCPA: retrieval and deletion of the data of persons. Source: mixpanel-api.md#gdpr-jobs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, get_args

import msgspec

from mixpanel_etl.client.errors import MixpanelError, ReplyError
from mixpanel_etl.client.http.credentials import OAuthToken
from mixpanel_etl.client.http.download import download
from mixpanel_etl.client.http.response import Response
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import JSON, Api, Operations
from mixpanel_etl.client.operations.replies import Reply, results, typed

operation = Operations("app", "gdpr-jobs", accepts=(OAuthToken,), budgets=("gdpr",))

ComplianceType = Literal["GDPR", "CCPA"]
DisclosureType = Literal["Data", "Categories", "Sources"]

MAX_RETRIEVALS = 2000
MAX_DELETIONS = 1999
UNFINISHED = frozenset(("PENDING", "STAGING", "STARTED"))


class Retrieval(Reply, frozen=True, kw_only=True):
    """State of a retrieval.

    Args:
        status: PENDING, STAGING, STARTED, SUCCESS, FAILURE, REVOKED, NOT_FOUND or UNKNOWN.
        link: URL of the data after SUCCESS. The link alone gives access to the data. See `Gdpr.download`.
    """

    status: str
    link: str = ""
    distinct_ids: list[str] = msgspec.field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        return self.status not in UNFINISHED

    def __repr__(self) -> str:
        return f"Retrieval(status={self.status!r}, link={'***' if self.link else ''!r}, ids={len(self.distinct_ids)})"


class Deletion(Reply, frozen=True, kw_only=True):
    """State of a deletion; `status` as in `Retrieval`. It can be cancelled until it has STARTED."""

    status: str
    tracking_id: str | None = None
    requesting_user: str | None = None
    compliance_type: str | None = None
    project_id: int | None = None
    date_requested: str | None = None
    distinct_ids: list[str] = msgspec.field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        return self.status not in UNFINISHED


class Gdpr(Api):
    """Retrieval and deletion jobs, with the OAuth token of an owner or admin. One request a second.

    A deletion does not stop new tracking, and does not reach what was exported before. Every method raises
    `InvalidRequest` when a parameter can't work, and one of the kinds in `client.errors` if Mixpanel rejects the
    request. A 429 can also mean that running retrievals read five years of data; it ends only when they finish.
    """

    @operation("POST", "/data-retrievals/v3.0", "2,000 ids", sends=JSON)
    def create_retrieval(
        self,
        distinct_ids: Sequence[str],
        compliance_type: ComplianceType = "GDPR",
        disclosure_type: DisclosureType | None = None,
    ) -> str:
        """Request all data of up to 2,000 ids; returns the job's tracking id. It can take weeks.

        Args:
            distinct_ids: ids of the persons. A job for many costs as much as a job for one.
            compliance_type: `GDPR`, or `CCPA`, which covers the last year only.
            disclosure_type: for CCPA: `Data` (the default), `Categories` or `Sources`.
        """
        body: dict[str, Any] = {
            "distinct_ids": parameters.strings("distinct_ids", distinct_ids, maximum=MAX_RETRIEVALS),
            "compliance_type": parameters.choice("compliance_type", compliance_type, get_args(ComplianceType)),
        }
        if disclosure_type is not None:
            body["disclosure_type"] = parameters.choice("disclosure_type", disclosure_type, get_args(DisclosureType))
        return self._create(body)

    @operation("GET", "/data-retrievals/v3.0/{tracking_id}")
    def get_retrieval(self, tracking_id: str) -> Retrieval:
        """State of a retrieval."""
        reply = self._job(tracking_id)
        if isinstance(reply, dict):
            # The link is called `results` in one document and `result` in the other.
            link = reply.get("results") or reply.get("result") or ""
            reply = {**{name: reply[name] for name in reply if name not in ("results", "result")}, "link": link}
        return typed(reply, Retrieval)

    def download(self, link: str) -> AbstractContextManager[Response]:
        """Stream the file of a finished retrieval. No credentials are sent to the link's host."""
        return download(self.transport, link)

    @operation("POST", "/data-deletions/v3.0", "1,999 ids", sends=JSON)
    def create_deletion(self, distinct_ids: Sequence[str], compliance_type: ComplianceType = "GDPR") -> str:
        """Delete events and profiles of up to 1,999 ids; returns the job's tracking id. It can take 30 days."""
        body = {
            "distinct_ids": parameters.strings("distinct_ids", distinct_ids, maximum=MAX_DELETIONS),
            "compliance_type": parameters.choice("compliance_type", compliance_type, get_args(ComplianceType)),
        }
        return self._create(body)

    @operation("GET", "/data-deletions/v3.0/{tracking_id}")
    def get_deletion(self, tracking_id: str) -> Deletion:
        """State of a deletion."""
        return typed(self._job(tracking_id), Deletion)

    @operation("DELETE", "/data-deletions/v3.0/{tracking_id}")
    def cancel_deletion(self, tracking_id: str) -> None:
        """Cancel a deletion.

        Raises:
            BadRequest: (405) it has started already.
        """
        path = {"tracking_id": parameters.string("tracking_id", tracking_id)}
        try:
            self._done(path=path, query=self._token())
        except MixpanelError as error:
            if error.status != 405:
                raise
            advice = "The deletion has started, and can't be cancelled any more."
            raise error.replace(advice=advice) from error.__cause__

    def _create(self, body: dict[str, Any]) -> str:
        reply = results(self._json(json=body, query=self._token()))
        # A list with a tracking_id in one document, an object with a task_id in the other (mixpanel-api.md#gdpr-jobs).
        job = typed(reply[0] if isinstance(reply, list) and reply else reply, _Job)
        tracking_id = job.tracking_id or job.task_id
        if not tracking_id:
            raise ReplyError("the job was created, but the reply has no id for it")
        return tracking_id

    def _job(self, tracking_id: str) -> Any:
        path = {"tracking_id": parameters.string("tracking_id", tracking_id)}
        reply = self._json(path=path, query=self._token())
        return reply["results"] if isinstance(reply, dict) and isinstance(reply.get("results"), dict) else reply

    def _token(self) -> dict[str, str]:
        return {"token": self.transport.project_token()}


class _Job(Reply, frozen=True, kw_only=True):
    task_id: str | None = None
    tracking_id: str | None = None
