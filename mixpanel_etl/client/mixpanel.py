"""The client: one object per project, one attribute per API group."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Self

from mixpanel_etl.client import app, export
from mixpanel_etl.client.annotations import Annotations
from mixpanel_etl.client.experiments import Experiments
from mixpanel_etl.client.feature_flags.api import FeatureFlags
from mixpanel_etl.client.gdpr import Gdpr
from mixpanel_etl.client.http.response import Response
from mixpanel_etl.client.http.transport import RawReply, Timeouts, Transport
from mixpanel_etl.client.http.waiting import Clock, OnWait, Waiter
from mixpanel_etl.client.identity import Identity
from mixpanel_etl.client.ingestion.api import Ingestion
from mixpanel_etl.client.lexicon import Lexicon
from mixpanel_etl.client.limits.budget import Budgets, Usage
from mixpanel_etl.client.operations.parameters import Day
from mixpanel_etl.client.pipelines.api import Pipelines
from mixpanel_etl.client.query.api import Query
from mixpanel_etl.client.service_accounts import ServiceAccounts
from mixpanel_etl.client.warehouse_connectors import Warehouse
from mixpanel_etl.settings import DEFAULT_PREFIX, Settings

DEADLINE = 2 * 3600.0  # room for one whole hour of an exhausted budget


class Mixpanel:
    """A Mixpanel project over HTTP.

    Use it as a context manager. It may be shared between threads.

    Args:
        settings: region, project, credentials, where the shared budget is.
        on_wait: called with a `Wait` before every wait of more than a few seconds.
        deadline: seconds that a request may take, waits, retries and the body included; an attempt under way gets as
            many again, at most 30. The body of an export may take longer, at the rate of `export_min_rate`.
        timeouts: seconds to connect, and for each silence of the server.
        clock: the time, for tests to replace.
    """

    def __init__(
        self,
        settings: Settings,
        on_wait: OnWait | None = None,
        *,
        deadline: float = DEADLINE,
        timeouts: Timeouts = Timeouts(),  # noqa: B008
        clock: Clock = Clock(),  # noqa: B008
    ) -> None:
        self.settings = settings
        waiter = Waiter(clock, on_wait)
        self.budgets = Budgets(settings, waiter)
        self.transport = Transport(settings, self.budgets, waiter=waiter, timeouts=timeouts, deadline=deadline)
        self.query = Query(self.transport)
        self.ingestion = Ingestion(self.transport)
        self.identity = Identity(self.transport)
        self.lexicon = Lexicon(self.transport)
        self.gdpr = Gdpr(self.transport)
        self.annotations = Annotations(self.transport)
        self.feature_flags = FeatureFlags(self.transport)
        self.experiments = Experiments(self.transport)
        self.service_accounts = ServiceAccounts(self.transport)
        self.pipelines = Pipelines(self.transport)
        self.warehouse = Warehouse(self.transport)

    @classmethod
    def from_env(cls, prefix: str = DEFAULT_PREFIX) -> Self:
        """A client of the project that environment variables and a `.env` file describe.

        Args:
            prefix: what the names of the variables begin with, for example `MIXPANEL_EU_`.

        Raises:
            SettingsError: one line for each missing, malformed or contradictory variable.
        """
        return cls(Settings.load(prefix))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(project_id={self.settings.project_id}, region={self.settings.region!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close pooled connections and the shared budget."""
        self.transport.close()
        self.budgets.close()

    def export(
        self,
        from_date: Day,
        to_date: Day,
        *,
        events: Sequence[str] | None = None,
        where: str | None = None,
        limit: int | None = None,
    ) -> AbstractContextManager[Response]:
        """Stream the raw events of at most 100 days, as decompressed chunks of JSON lines in no order.

        `time` is asked for in milliseconds. Duplicates come as Mixpanel stores them (mixpanel-api.md#deduplication). A
        200 can end with a line that is not JSON (`terminated early`, mixpanel-api.md#export-truncation): that is for
        the decoder to refuse.

        Args:
            from_date: first day, a date or a string like `2026-01-31`, in UTC (project time for projects created
                before 2023).
            to_date: last day, included; not in the future in the project's zone.
            events: names to export; all when left out.
            where: a segmentation expression.
            limit: at most so many events (1 to 100,000). There is no way to get the rest: never for a full copy.

        Raises:
            InvalidRequest: a parameter can't work; nothing was sent.
            MixpanelError: one of the kinds in `client.errors`; `IncompleteResponse` while iterating.
        """
        return export.export(self.transport, from_date, to_date, events=events, where=where, limit=limit)

    def me(self) -> app.Me:
        """The account behind the credentials (`GET /api/app/me`): a test of host and credentials.

        Raises:
            MixpanelError: one of the kinds in `client.errors`.
        """
        return app.me(self.transport)

    def replies(self) -> AbstractContextManager[list[RawReply]]:
        """The replies within the block as they came, for whoever keeps them: the last one is the last to be asked.

        Example:
            .. code-block:: python

                with mixpanel.replies() as replies:
                    counts = mixpanel.query.segmentation("sign up", first, last)
                keep(replies[-1].body)
        """
        return self.transport.replies()

    def budget(self, name: str) -> Usage:
        """What all processes of this deployment have used of a budget (`export`, `query`), and what is left."""
        return self.budgets.usage(name)

    def spent(self, name: str) -> int:
        """How many requests this client has sent that count in a budget, second tries included."""
        return self.budgets.spent(name)
