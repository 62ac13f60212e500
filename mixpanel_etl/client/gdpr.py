"""GDPR and CCPA: what is known of a person, and its deletion. Source: mixpanel-api.md#gdpr-jobs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, get_args

import msgspec

from mixpanel_etl.client.errors import MixpanelError, ReplyError
from mixpanel_etl.client.http.download import download
from mixpanel_etl.client.http.response import Response
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import Group
from mixpanel_etl.client.operations.replies import Reply, results, typed

ComplianceType = Literal["GDPR", "CCPA"]
DisclosureType = Literal["Data", "Categories", "Sources"]

MOST_RETRIEVALS = 2000
MOST_DELETIONS = 1999
UNFINISHED = frozenset(("PENDING", "STAGING", "STARTED"))


class Retrieval(Reply, frozen=True, kw_only=True):
    """Where a retrieval stands.

    Args:
        status: PENDING, STAGING, STARTED, SUCCESS, FAILURE, REVOKED, NOT_FOUND or UNKNOWN.
        link: where the data is, once there is SUCCESS; whoever has it can read them. See `Gdpr.download`.
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
    """Where a deletion stands; `status` as of a retrieval. It can be cancelled until it has STARTED."""

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


class Gdpr(Group):
    """Jobs about people, with the OAuth token of an owner or admin. One request a second.

    Deleting does not stop new tracking, and does not reach what was exported before. Every method raises
    `InvalidRequest` when a parameter can't work, and one of the kinds in `client.errors` when Mixpanel refuses; a 429
    can also mean that retrievals under way read five years of data, which passes only when they finish.
    """

    group = "gdpr"

    def create_retrieval(
        self,
        distinct_ids: Sequence[str],
        compliance_type: ComplianceType = "GDPR",
        disclosure_type: DisclosureType | None = None,
    ) -> str:
        """Ask for all data of up to 2,000 people: the job's tracking id. It can take weeks.

        Args:
            distinct_ids: who. One job for many costs what one job for one costs.
            compliance_type: CCPA covers the last year only.
            disclosure_type: for CCPA: the `Data` (the default), its `Categories` or its `Sources`.
        """
        endpoint = self._endpoint("create_retrieval")
        body: dict[str, Any] = {
            "distinct_ids": parameters.texts("distinct_ids", distinct_ids, endpoint, most=MOST_RETRIEVALS),
            "compliance_type": parameters.choice(
                "compliance_type", compliance_type, get_args(ComplianceType), endpoint
            ),
        }
        if disclosure_type is not None:
            body["disclosure_type"] = parameters.choice(
                "disclosure_type", disclosure_type, get_args(DisclosureType), endpoint
            )
        return self._create("create_retrieval", body)

    def get_retrieval(self, tracking_id: str) -> Retrieval:
        """Where a retrieval stands."""
        reply = self._job("get_retrieval", tracking_id)
        if isinstance(reply, dict):
            # The link is called `results` in one document and `result` in the other.
            link = reply.get("results") or reply.get("result") or ""
            reply = {**{name: reply[name] for name in reply if name not in ("results", "result")}, "link": link}
        return typed(Retrieval, reply, endpoint=self._endpoint("get_retrieval"))

    def download(self, link: str) -> AbstractContextManager[Response]:
        """Stream the file of a finished retrieval. The link's host gets none of our credentials."""
        return download(self._transport, link, "GET the retrieved data")

    def create_deletion(self, distinct_ids: Sequence[str], compliance_type: ComplianceType = "GDPR") -> str:
        """Delete events and profiles of up to 1,999 people: the job's tracking id. It can take 30 days."""
        endpoint = self._endpoint("create_deletion")
        body = {
            "distinct_ids": parameters.texts("distinct_ids", distinct_ids, endpoint, most=MOST_DELETIONS),
            "compliance_type": parameters.choice(
                "compliance_type", compliance_type, get_args(ComplianceType), endpoint
            ),
        }
        return self._create("create_deletion", body)

    def get_deletion(self, tracking_id: str) -> Deletion:
        """Where a deletion stands."""
        return typed(Deletion, self._job("get_deletion", tracking_id), endpoint=self._endpoint("get_deletion"))

    def cancel_deletion(self, tracking_id: str) -> None:
        """Call a deletion off.

        Raises:
            BadRequest: (405) it has started already.
        """
        endpoint = self._endpoint("cancel_deletion")
        path = {"tracking_id": parameters.text("tracking_id", tracking_id, endpoint)}
        try:
            self._do("cancel_deletion", path=path, query=self._token("cancel_deletion"))
        except MixpanelError as error:
            if error.status == 405:
                error.advice = "The deletion has started, and can't be cancelled any more."
            raise

    def _create(self, name: str, body: dict[str, Any]) -> str:
        reply = results(self._call(name, json=body, query=self._token(name)))
        # A list with a tracking_id in one document, an object with a task_id in the other (mixpanel-api.md#gdpr-jobs).
        job = reply[0] if isinstance(reply, list) and reply else reply
        return typed(_Job, job, endpoint=self._endpoint(name)).id(self._endpoint(name))

    def _job(self, name: str, tracking_id: str) -> Any:
        path = {"tracking_id": parameters.text("tracking_id", tracking_id, self._endpoint(name))}
        reply = self._call(name, path=path, query=self._token(name))
        return reply["results"] if isinstance(reply, dict) and isinstance(reply.get("results"), dict) else reply

    def _token(self, name: str) -> dict[str, str]:
        return {"token": self._transport.project_token(self._endpoint(name))}


class _Job(Reply, frozen=True, kw_only=True):
    task_id: str | None = None
    tracking_id: str | None = None

    def id(self, endpoint: str) -> str:
        found = self.tracking_id or self.task_id
        if not found:
            raise ReplyError("the job was created, but the reply has no id for it", endpoint=endpoint)
        return found
