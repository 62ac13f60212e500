"""The client: one object per project, one attribute per API."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final, Self, get_type_hints

from mixpanel_etl.client.annotations import Annotations
from mixpanel_etl.client.app import App
from mixpanel_etl.client.experiments import Experiments
from mixpanel_etl.client.export import Export
from mixpanel_etl.client.feature_flags.api import FeatureFlags
from mixpanel_etl.client.gdpr import Gdpr
from mixpanel_etl.client.http.transport import RawReply, Timeouts, Transport
from mixpanel_etl.client.http.waiting import Clock, OnWait, Waiter
from mixpanel_etl.client.identity import Identity
from mixpanel_etl.client.ingestion.api import Ingestion
from mixpanel_etl.client.lexicon import Lexicon
from mixpanel_etl.client.limits.budget import Budgets, Usage
from mixpanel_etl.client.operations.api import Api
from mixpanel_etl.client.pipelines.api import Pipelines
from mixpanel_etl.client.query.api import Query
from mixpanel_etl.client.service_accounts import ServiceAccounts
from mixpanel_etl.client.warehouse_connectors import WarehouseConnectors
from mixpanel_etl.settings import DEFAULT_PREFIX, Settings

DEADLINE = 2 * 3600.0  # room for one whole hour of an exhausted budget


class Mixpanel(Export, App):
    """A Mixpanel project over HTTP.

    Use it as a context manager. It may be shared between threads.

    Args:
        settings: region, project, credentials, location of the shared budget.
        on_wait: function that is called with a `Wait` before every wait of more than a few seconds.
        deadline: seconds per request, waits, retries and the body included; a running attempt gets as many again, at
            most 30. The body of an export may take longer, at the rate of `export_min_rate`.
        timeouts: seconds to connect, and for each silence of the server.
        clock: the time, for tests to replace.
    """

    query: Query
    ingestion: Ingestion
    identity: Identity
    lexicon: Lexicon
    gdpr: Gdpr
    annotations: Annotations
    feature_flags: FeatureFlags
    experiments: Experiments
    service_accounts: ServiceAccounts
    pipelines: Pipelines
    warehouse_connectors: WarehouseConnectors

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
        super().__init__(Transport(settings, self.budgets, waiter=waiter, timeouts=timeouts, deadline=deadline))
        for name, api in APIS.items():
            setattr(self, name, api(self.transport))

    @classmethod
    def from_env(cls, prefix: str = DEFAULT_PREFIX) -> Self:
        """A client of the project that environment variables and a `.env` file describe.

        Args:
            prefix: prefix of the variables, such as `MIXPANEL_EU_`.

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

    def replies(self) -> AbstractContextManager[list[RawReply]]:
        """The replies within the block as they came, in the order of their requests.

        Example:
            .. code-block:: python

                with mixpanel.replies() as replies:
                    counts = mixpanel.query.segmentation("sign up", first, last)
                keep(replies[-1].body)
        """
        return self.transport.replies()

    def budget(self, name: str) -> Usage:
        """Used and remaining units of a budget (`export`, `query`), counted by all processes of the deployment."""
        return self.budgets.usage(name)

    def spent(self, name: str) -> int:
        """Number of requests of this client that count in a budget, retries included."""
        return self.budgets.spent(name)


#: The APIs by attribute of `Mixpanel`.
APIS: Final = {
    name: kind for name, kind in get_type_hints(Mixpanel).items() if isinstance(kind, type) and issubclass(kind, Api)
}
