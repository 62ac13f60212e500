"""What can go wrong with a request to Mixpanel, as types. Each message says where, what happened, and what to do.

Whether Mixpanel may have done what was asked (`may_have_arrived`) and whether the same request can succeed later
(`retryable`) are facts of the error. Nothing else may decide that: copies of the rule disagree.

Source: mixpanel-api.md#errors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Self

from mixpanel_etl.errors import MixpanelEtlError
from mixpanel_etl.settings import DEFAULT_PREFIX


class MixpanelError(MixpanelEtlError):
    """Something about a request to Mixpanel went wrong.

    Args:
        message: what happened, in Mixpanel's words where it used any.
        endpoint: method and path, such as `GET /api/2.0/export`; `located` adds it.
        status: HTTP status, None without a response.
        body: excerpt of the response's body, without secrets.
        advice: what to do, naming the setting to change; the advice of the class by default.
        retryable: whether the same request can succeed a little later; the value of the class by default.
        may_have_arrived: whether Mixpanel may have done what was asked, in whole or in part; the value of the class by
            default. False means that it certainly did not: to send the request again does nothing twice.
        timed_out: whether the server took too long for what was asked: less at a time may work.
    """

    default_advice = ""
    retryable: bool = False
    may_have_arrived: bool = False

    def __init__(
        self,
        message: str,
        *,
        endpoint: str = "",
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

    def replace(self, **changes: Any) -> Self:
        """The same error with other attributes, to be raised `from error.__cause__`.

        Args:
            changes: attributes by name, such as `advice`.

        Example:
            .. code-block:: python

                except MixpanelError as error:
                    raise error.replace(advice="Ask for fewer days.") from error.__cause__
        """
        return type(self)(**{**self._attributes(), **changes}).with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments are lost by the default, and errors do travel between processes.
        return partial(type(self), **self._attributes()), ()

    def _attributes(self) -> dict[str, Any]:
        """What `__init__` was given: everything but notes that others added."""
        return {name: value for name, value in self.__dict__.items() if name != "__notes__"}


@contextmanager
def located(endpoint: str, prefix: str = DEFAULT_PREFIX) -> Iterator[None]:
    """Add to the errors of a request what the code that raises them need not know.

    Args:
        endpoint: method and path of the request.
        prefix: prefix of the project's settings, which the advice then names.
    """
    try:
        yield
    except MixpanelError as error:
        if error.endpoint:
            raise
        advice = error.advice.replace(DEFAULT_PREFIX, prefix)
        raise error.replace(endpoint=endpoint, advice=advice) from error.__cause__


class BadRequest(MixpanelError):
    """400, and any other 4xx without a kind of its own: a parameter is wrong."""

    default_advice = "Correct the parameter that Mixpanel names; it will not work on a second try."


@dataclass(frozen=True)
class FailedRecord:
    """A record of a batch that Mixpanel rejected.

    Args:
        index: position in the batch, from 0.
        message: reason, in Mixpanel's words.
        field: name of the wrong field, if Mixpanel names one.
        insert_id: `$insert_id` of the record, if Mixpanel names it.
    """

    index: int
    message: str
    field: str = ""
    insert_id: str = dataclasses.field(default="", repr=False)


class RecordsRejected(BadRequest):
    """400 for some records of a batch. The others ARE stored: send only the failed ones again.

    If Mixpanel rejects rows of a lookup table, it does not replace the table at all, and names at most ten rows.

    Args:
        message: what happened.
        failed_records: rejected records.
        imported: number of stored records, None for lookup tables.
        unplaced: what Mixpanel says about records without naming them, as it does about identity events
            (mixpanel-api.md#identity-merge).
        more: arguments of `MixpanelError`.
    """

    default_advice = "Correct the records in `failed_records`; `index` is the position in the batch, from 0."
    may_have_arrived = True

    def __init__(
        self,
        message: str,
        *,
        failed_records: Sequence[FailedRecord] = (),
        imported: int | None = None,
        unplaced: Sequence[str] = (),
        **more: Any,
    ) -> None:
        super().__init__(message, **more)
        self.failed_records = list(failed_records)
        self.imported = imported
        self.unplaced = list(unplaced)

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

    default_advice = "The project's plan does not include this call: upgrade to Growth or Enterprise, or leave it out."


class PermissionDenied(MixpanelError):
    """403: the account lacks the role, or the plan does not give access to the data."""

    default_advice = (
        "Give the service account the role that this API needs in this project (classified data needs a separate "
        "permission); if Mixpanel's message is about days in the past, move MIXPANEL_START_DATE forward."
    )


class NotFound(MixpanelError):
    """404: no such object or path."""

    default_advice = "Check the id in the path, MIXPANEL_PROJECT_ID, MIXPANEL_REGION and MIXPANEL_BASE_URL."


class PayloadTooLarge(MixpanelError):
    """413: the body is larger than this API accepts."""

    default_advice = "Send smaller batches."


class RateLimited(MixpanelError):
    """429 that did not pass within the deadline.

    Args:
        message: what happened.
        retry_after: seconds that Mixpanel asked to wait, if it did.
        hourly: whether the hour's queries are used up, as opposed to too many at a time.
        more: arguments of `MixpanelError`.
    """

    default_advice = (
        "Another tool is using this project's budget, which Mixpanel counts per project. Let all processes share "
        "MIXPANEL_BUDGET_URL, or try again later."
    )
    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None, hourly: bool = False, **more: Any) -> None:
        super().__init__(message, **more)
        self.retry_after = retry_after
        self.hourly = hourly


class ServerError(MixpanelError):
    """5xx that did not pass on several tries.

    Args:
        message: what happened.
        retry_after: seconds that Mixpanel asked to wait, if it did.
        more: arguments of `MixpanelError`.
    """

    default_advice = "Try again later; status.mixpanel.com shows Mixpanel's outages."
    may_have_arrived = True

    def __init__(self, message: str, *, retry_after: float | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.retry_after = retry_after


class ConnectionFailed(MixpanelError):
    """No answer: name resolution, connection, TLS or time-out.

    `may_have_arrived` is false when no byte of the request was sent. `retryable` is false for a certificate that
    can't be verified.
    """

    default_advice = "Check the network, proxy variables, MIXPANEL_REGION and MIXPANEL_BASE_URL."
    retryable = True
    may_have_arrived = True


class IncompleteResponse(MixpanelError):
    """The body is cut or damaged. What arrived of it is not the whole reply."""

    default_advice = "Ask again; if it keeps happening, ask for fewer days at a time."
    retryable = True
    may_have_arrived = True


class ReplyError(MixpanelError):
    """An invalid reply: a 200 with an `error`, a redirect, or something else where JSON should be."""

    default_advice = "Check MIXPANEL_REGION and MIXPANEL_BASE_URL; otherwise see Mixpanel's message."
    may_have_arrived = True


class ReplyTooLarge(ReplyError):
    """A line, an item or a whole reply is longer than what is held in memory.

    Args:
        message: what happened.
        setting: variable that allows more.
        more: arguments of `MixpanelError`.
    """

    def __init__(self, message: str, *, setting: str, **more: Any) -> None:
        super().__init__(message, **{"advice": f"If that is expected, set {setting} to more bytes.", **more})
        self.setting = setting


class BatchRejected(ReplyError):
    """A 200 with status 0: Mixpanel stored nothing of the batch, and gives no reason for each record."""

    may_have_arrived = False


class InvalidRequest(MixpanelError, ValueError):
    """A check before sending failed: the request can't work. Nothing was sent."""


class WrongCredentialKind(MixpanelError):
    """The API accepts none of the configured kinds of credentials. Nothing was sent."""


class DeadlineExceeded(MixpanelError):
    """The time that one request may take, waits and retries included, is over."""

    default_advice = "Try again later, or give the request more time (`deadline`)."
    may_have_arrived = True


class BudgetExhausted(DeadlineExceeded):
    """The rate limit would let this request through only after its deadline.

    Args:
        message: what happened.
        free_at: aware time of the next free request, None if unknown (a place among concurrent requests).
        more: arguments of `MixpanelError`.
    """

    may_have_arrived = False

    def __init__(self, message: str, *, free_at: datetime | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.free_at = free_at


class BudgetUnavailable(MixpanelError):
    """The shared rate-limit state of the deployment can't be reached. Nothing was sent."""

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
