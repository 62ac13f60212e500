"""What can go wrong between us and Mixpanel, as types. Each message says where, what was said, and what to do.

Every error says by itself whether Mixpanel may have done what was asked (`may_have_arrived`) and whether the same
request can succeed later (`retryable`). Nothing else may decide that: copies of the rule disagree.

Source: mixpanel-api.md#errors.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from mixpanel_etl.errors import MixpanelEtlError


class MixpanelError(MixpanelEtlError):
    """Something about a request to Mixpanel went wrong.

    Args:
        message: what happened, in Mixpanel's words where it used any.
        endpoint: method and path, such as `GET /api/2.0/export`.
        status: the HTTP status, when there was one.
        body: what the response's body says, as far as it may be repeated.
        advice: what to do about it, naming the setting to change.
        retryable: whether the same request can succeed a little later; by default as the class says.
        may_have_arrived: whether Mixpanel may have done what was asked, in whole or in part; by default as the class
            says. False means that it certainly did not: to send the request again does nothing twice.
        timed_out: whether the server took too long for what was asked: less at a time may work.
    """

    default_advice = ""
    retryable: bool = False
    may_have_arrived: bool = False

    def __init__(
        self,
        message: str,
        *,
        endpoint: str,
        status: int | None = None,
        body: str | None = None,
        advice: str | None = None,
        retryable: bool | None = None,
        may_have_arrived: bool | None = None,
        timed_out: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.endpoint = endpoint
        self.status = status
        self.body = body
        self.advice = self.default_advice if advice is None else advice
        self.retryable = type(self).retryable if retryable is None else retryable
        self.may_have_arrived = type(self).may_have_arrived if may_have_arrived is None else may_have_arrived
        self.timed_out = timed_out

    @property
    def fact(self) -> str:
        """Endpoint, status and message, without the advice."""
        return ": ".join(part for part in (self.endpoint, _status_text(self.status), self.message) if part)

    def __str__(self) -> str:
        return f"{self.fact.rstrip('.')}. {self.advice}" if self.advice else self.fact

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments are lost by the default, and errors do travel between processes.
        return _rebuild, (type(self), self.__dict__)


class BadRequest(MixpanelError):
    """400, and any other 4xx without a kind of its own: a parameter is wrong."""

    default_advice = "Correct the parameter that Mixpanel names; it will not work on a second try."


@dataclass(frozen=True)
class FailedRecord:
    """A record of a batch that Mixpanel did not take: its position in the batch (from 0), and why."""

    index: int
    message: str
    field: str = ""
    insert_id: str = dataclasses.field(default="", repr=False)


class RecordsRejected(BadRequest):
    """400 for some records of a batch. The others ARE stored, `imported` of them: send only the failed ones again.

    A table whose rows are refused is not replaced at all (`imported` is None), and at most ten rows are named.
    """

    default_advice = "Correct the records in `failed_records`; `index` is the position in the batch, from 0."
    may_have_arrived = True
    failed_records: list[FailedRecord] = []  # noqa: RUF012 - replaced by whoever raises it
    imported: int | None = None
    #: What Mixpanel says of records without naming them, as it does of identity events
    #: (mixpanel-api.md#identity-merge).
    unplaced: list[str] = []  # noqa: RUF012 - replaced by whoever raises it

    @property
    def fact(self) -> str:
        first = self.failed_records[0] if self.failed_records else None
        if first is None:
            return "; ".join((super().fact, *dict.fromkeys(self.unplaced)))
        return f"{super().fact}; {len(self.failed_records)} failed, the first at index {first.index}: {first.message}"


class FutureDate(BadRequest):
    """400 "to_date cannot be later than today": the project's calendar is not there yet."""

    default_advice = (
        "End the request at a day that is over in the project's time zone; check MIXPANEL_TIMEZONE and the clock "
        "of this machine."
    )


class CredentialError(MixpanelError):
    """401, or 400 "Unable to authenticate request": the credentials are wrong, expired, or of another region."""

    default_advice = (
        "Check the credentials (a service account can expire), MIXPANEL_PROJECT_ID and MIXPANEL_REGION: a project "
        "is known in its own region only."
    )


class PlanError(MixpanelError):
    """402: the plan does not include this API, or its quota is used up."""

    default_advice = "The project's plan does not include this call: ask for Growth or Enterprise, or drop it."


class PermissionDenied(MixpanelError):
    """403: the account lacks the role, or the data is outside what the plan lets one see."""

    default_advice = (
        "Give the service account the role that this API asks for in this project (classified data needs a "
        "permission of its own); if Mixpanel speaks of days in the past, move MIXPANEL_START_DATE forward."
    )


class NotFound(MixpanelError):
    """404: no such object or path."""

    default_advice = "Check the id in the path, MIXPANEL_PROJECT_ID, MIXPANEL_REGION and MIXPANEL_BASE_URL."


class PayloadTooLarge(MixpanelError):
    """413: the body is bigger than this API takes."""

    default_advice = "Send smaller batches."


class RateLimited(MixpanelError):
    """429 that did not pass within the deadline.

    `retry_after` is the number of seconds that Mixpanel asked us to wait, if it did. `hourly` is true when
    Mixpanel says that the hour's queries are used up (as opposed to too many at a time).
    """

    default_advice = (
        "Another tool is using this project's budget, which Mixpanel counts per project. Let all processes share "
        "MIXPANEL_BUDGET_URL, or try again later."
    )
    retryable = True
    retry_after: float | None = None
    hourly: bool = False


class ServerError(MixpanelError):
    """5xx that did not pass on several tries."""

    default_advice = "Try again later; status.mixpanel.com tells whether Mixpanel knows."
    may_have_arrived = True
    retry_after: float | None = None


class ConnectionFailed(MixpanelError):
    """No answer: name resolution, connection, TLS or time-out.

    `may_have_arrived` is false when no byte of the request was sent. `retryable` is false for a certificate that
    can't be verified.
    """

    default_advice = "Check the network, proxy variables, MIXPANEL_REGION and MIXPANEL_BASE_URL."
    retryable = True
    may_have_arrived = True


class IncompleteResponse(MixpanelError):
    """A body ended before its end, or what arrived is damaged. Nothing of it may be used as if it were whole."""

    default_advice = "Ask again; if it keeps happening, ask for fewer days at a time."
    retryable = True
    may_have_arrived = True


class ReplyError(MixpanelError):
    """An answer that is none: a 200 that carries an `error`, a redirect, or text where JSON should be."""

    default_advice = "Check MIXPANEL_REGION and MIXPANEL_BASE_URL; otherwise see what Mixpanel says."
    may_have_arrived = True


class ReplyTooLarge(ReplyError):
    """A line, an item or a whole reply is longer than what is held in memory.

    `setting` is the variable that allows more.
    """

    def __init__(self, message: str, *, endpoint: str, setting: str) -> None:
        super().__init__(message, endpoint=endpoint, advice=f"If that is meant, set {setting} to more bytes.")


class NothingTaken(ReplyError):
    """A 200 with status 0: Mixpanel took nothing of the batch, and does not say why of each record."""

    may_have_arrived = False


class InvalidRequest(MixpanelError, ValueError):
    """Our own check before anything is sent: the request can't work."""


class WrongCredentialKind(MixpanelError):
    """None of the configured credentials is of a kind that this API takes. Nothing was sent."""


class DeadlineExceeded(MixpanelError):
    """The time that one request may take, waits and retries included, is over."""

    default_advice = "Try again later, or give the request more time (`deadline`)."
    may_have_arrived = True


class BudgetExhausted(DeadlineExceeded):
    """The rate limit would let this request through only after its deadline.

    `free_at` is the aware time at which it would, None when nobody can know (a place among concurrent requests).
    """

    may_have_arrived = False
    free_at: datetime | None = None


class BudgetUnavailable(MixpanelError):
    """The state that the processes of a deployment share can't be reached. Without it nothing is sent."""

    default_advice = (
        "Check MIXPANEL_BUDGET_URL: a file needs a folder that can be written to, postgresql:// and redis:// need "
        "the server, and the extra `mixpanel_etl[postgres]` or `mixpanel_etl[redis]`."
    )


def _status_text(status: int | None) -> str:
    if status is None:
        return ""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _rebuild(kind: type[MixpanelError], state: dict[str, Any]) -> MixpanelError:
    error = kind.__new__(kind, state["message"])
    error.__dict__.update(state)
    return error
