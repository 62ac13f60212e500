"""Requests to Mixpanel over HTTP: credentials, budgets, time-outs, retries, and errors with a type.

Source: mixpanel-api.md#credentials, #rate-limits, #errors.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import date, datetime
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests

from mixpanel_etl.client.errors import InvalidRequest, MixpanelError, ReplyTooLarge, located
from mixpanel_etl.client.http import credentials
from mixpanel_etl.client.http import error_mapping as failures
from mixpanel_etl.client.http.connection import OutOfTime, StrictAdapter, Watch, watched
from mixpanel_etl.client.http.credentials import Credential, NoCredentials, ProjectToken
from mixpanel_etl.client.http.regions import url_of
from mixpanel_etl.client.http.response import Response
from mixpanel_etl.client.http.retries import retrying
from mixpanel_etl.client.http.waiting import Waiter
from mixpanel_etl.client.limits.budget import Budgets
from mixpanel_etl.client.operations.operation import Request
from mixpanel_etl.settings import Settings, is_loopback

POOLED_CONNECTIONS = 16
# Seconds that also a request gets that was sent just before its deadline, because its budget is spent already. A short
# deadline is at most doubled.
MAX_GRACE = 30.0
ERROR_BODY_SECONDS = 10.0  # for the body of an error, whose status says most of it

T = TypeVar("T")


class Timeouts(NamedTuple):
    """Seconds for connecting, and for each silence of the server while it answers.

    Mixpanel's own edge gives up after 488 s of a query (120 s of the App API; mixpanel-api.md#timeouts): who gives up
    before it never hears why, and asks again what costs a query each time.
    """

    connect: float = 10.0
    read: float = 600.0


class RawReply(NamedTuple):
    """A reply as it came: byte for byte, without its compression."""

    endpoint: str
    requested_at: datetime
    body: bytes


# A context variable, so that threads that share a client do not hear each other's replies.
_recorded: ContextVar[list[RawReply] | None] = ContextVar("recorded", default=None)


class Transport:
    """Sends requests for one project. Safe to share between threads; close it when done.

    Args:
        settings: region, credentials, project.
        budgets: rate limits, shared with other processes.
        waiter: lets time pass.
        timeouts: timeouts of one attempt.
        deadline: seconds per request, waits, retries and the body included; a running attempt gets as many again, at
            most 30. The body of an export has a minimum rate instead (`export_min_rate`).
    """

    def __init__(
        self, settings: Settings, budgets: Budgets, *, waiter: Waiter, timeouts: Timeouts, deadline: float
    ) -> None:
        self.settings = settings
        self._budgets = budgets
        self._waiter = waiter
        self.timeouts = timeouts
        self._deadline = deadline
        self._credentials = credentials.configured(settings)
        self.session = _session(settings)
        self._scrub = failures.Scrubber(secret for c in self._credentials for secret in c.secrets())

    def close(self) -> None:
        self.session.close()

    def now(self) -> datetime:
        """The aware time."""
        return self._waiter.clock.now()

    def today(self) -> date:
        """The date in the project's time zone."""
        return self.now().astimezone(self.settings.zone).date()

    def project_token(self) -> str:
        """The project token, for APIs that take it as a parameter.

        Raises:
            WrongCredentialKind: it is not set.
        """
        return credentials.choose((ProjectToken,), self.settings, self._credentials).secret

    def required(self, name: Literal["project_id", "workspace_id"]) -> int:
        """An id of the settings that is part of the path.

        Raises:
            InvalidRequest: it is not set; names the variable.
        """
        value: int | None = getattr(self.settings, name)
        if value is None:
            raise InvalidRequest(f"{name} is missing, and part of the path", advice=f"Set MIXPANEL_{name.upper()}.")
        return value

    @contextmanager
    def replies(self) -> Iterator[list[RawReply]]:
        """The replies that are read within the block in this thread. Errors and streams are not among them."""
        recorded: list[RawReply] = []
        token = _recorded.set(recorded)
        try:
            yield recorded
        finally:
            _recorded.reset(token)

    @contextmanager
    def stream(self, request: Request) -> Iterator[Response]:
        """Send, and hand out the response with its body unread. Only what comes before the body is retried."""
        response = self._send(request, lambda response: response)
        if request.operation.family == "export":
            response.watch.pace(self.settings.export_min_rate)
            response.max_line = self.settings.max_line_bytes
        try:
            yield response
        finally:
            response.close()

    def read(self, request: Request) -> bytes:
        """Send, and read the whole body, which must fit in memory. A cut body is retried too.

        Raises:
            ReplyTooLarge: it is larger than `max_reply_bytes`.
        """
        return self._send(request, self._whole)

    def json(self, request: Request) -> Any:
        """Send, and decode a JSON reply.

        Raises:
            ReplyError: it is not JSON, or carries an `error` in spite of its 200 (mixpanel-api.md#errors).
        """
        body = self.read(request)
        with self._located(request):
            return failures.decoded(
                body, scrub=self._scrub.also(request.secrets), open_keys=request.operation.open_keys
            )

    def done(self, request: Request) -> Any:
        """Send where the reply need say no more than that it worked, be it JSON, text or nothing.

        Returns:
            The reply, if it is a JSON object.

        Raises:
            ReplyError: it is JSON that carries an `error` in spite of its 200.
        """
        body = self.read(request)
        if not body.lstrip().startswith(b"{"):
            return None
        with self._located(request):
            return failures.decoded(body, scrub=self._scrub.also(request.secrets))

    def watch(self, deadline_at: float | None = None) -> Watch:
        """The limits of one exchange.

        Args:
            deadline_at: when it should be over (on the clock's `monotonic`); the whole deadline from now by default.
        """
        clock = self._waiter.clock
        over_at = clock.monotonic() + self._deadline if deadline_at is None else deadline_at
        return Watch(clock, until=over_at + min(MAX_GRACE, self._deadline), silence=self.timeouts.read)

    def scrubber(self, *more: str) -> failures.Scrubber:
        """Takes the credentials, and these strings, out of messages."""
        return self._scrub.also(more)

    def _send(self, request: Request, consume: Callable[[Response], T]) -> T:
        deadline_at = self._waiter.clock.monotonic() + self._deadline
        arrived = False

        def attempt() -> T:
            nonlocal arrived
            try:
                with self._located(request):
                    return self._attempt(request, credential, deadline_at, consume)
            except MixpanelError as error:
                arrived |= error.may_have_arrived
                raise

        with self._located(request):
            credential = credentials.choose(request.operation.accepts, self.settings, self._credentials)
        try:
            result: T = retrying(request, deadline_at=deadline_at, waiter=self._waiter)(attempt)
        except MixpanelError as error:
            if error.may_have_arrived == arrived:
                raise
            # What an earlier attempt may have done, the last error must not deny.
            raise error.replace(may_have_arrived=arrived) from error.__cause__
        return result

    def _located(self, request: Request) -> AbstractContextManager[None]:
        return located(request.operation.endpoint, self.settings.prefix)

    def _attempt(
        self, request: Request, credential: Credential, deadline_at: float, consume: Callable[[Response], T]
    ) -> T:
        response = self._exchange(request, credential, deadline_at)
        try:
            if not 200 <= response.status < 300:
                response.watch.limit(ERROR_BODY_SECONDS)
            error = failures.error_of(response, self._scrub.also(request.secrets), reads=request.operation.reads)
            if error is not None:
                raise error
            return consume(response)
        except BaseException:
            response.close()
            raise

    def _exchange(self, request: Request, credential: Credential, deadline_at: float) -> Response:
        operation = request.operation
        release = self._budgets.acquire(request, deadline_at)
        requested_at = self._waiter.clock.now()
        watch = self.watch(deadline_at)
        try:
            with watched(watch):
                answer = self.session.request(
                    operation.method,
                    url_of(
                        operation.family,
                        request.filled_path,
                        region=self.settings.region,
                        base_url=self.settings.base_url,
                    ),
                    params={**credential.query, **request.query},
                    data=request.body,
                    headers=dict(request.headers),
                    auth=credential if operation.credentials_in == "header" else NoCredentials(),
                    timeout=Timeouts(min(self.timeouts.connect, watch.patience()), self.timeouts.read),
                    # A redirect would carry the credentials, or the data, to a host that is not configured.
                    allow_redirects=False,
                    stream=True,
                )
        except (requests.RequestException, OutOfTime) as error:
            release()
            scrub = self._scrub.also(request.secrets)
            failure = failures.connection_error(error, watch, scrub=scrub)
        except BaseException:
            release()
            raise
        else:
            return Response(
                answer,
                endpoint=operation.endpoint,
                prefix=self.settings.prefix,
                requested_at=requested_at,
                on_close=release,
                watch=watch,
            )
        # Raised out here: the original would carry the request, with its Authorization header, along.
        raise failure

    def _whole(self, response: Response) -> bytes:
        body, maximum = bytearray(), self.settings.max_reply_bytes
        for chunk in response:
            body += chunk
            if len(body) > maximum:
                raise ReplyTooLarge(f"the reply is larger than {maximum:,} bytes", setting="MIXPANEL_MAX_REPLY_BYTES")
        response.close()
        whole = bytes(body)
        if (recorded := _recorded.get()) is not None:
            recorded.append(RawReply(response.endpoint, response.requested_at, whole))
        return whole


def _without_query(record: logging.LogRecord) -> bool:
    """Takes queries out of urllib3's debug log: ids of persons, and tokens, are parameters of some requests."""
    if isinstance(record.args, tuple):
        record.args = tuple(part.partition("?")[0] if isinstance(part, str) else part for part in record.args)
    return True


def _session(settings: Settings) -> requests.Session:
    logging.getLogger("urllib3.connectionpool").addFilter(_without_query)
    session = requests.Session()
    adapter = StrictAdapter(pool_connections=POOLED_CONNECTIONS, pool_maxsize=POOLED_CONNECTIONS, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.headers["Accept-Encoding"] = "gzip"
    session.headers["User-Agent"] = f"mixpanel_etl/{version('mixpanel_etl')}"
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # Proxies and certificate bundles of the environment are wanted, except on the way to this very machine: a
    # proxy would get the credentials unencrypted.
    session.trust_env = not (settings.base_url and is_loopback(urlsplit(settings.base_url).hostname))
    return session
