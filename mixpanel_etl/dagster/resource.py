"""The Mixpanel project as a Dagster resource: where its settings are, never what they are."""

from __future__ import annotations

from logging import Logger
from typing import Any, TypeVar

import dagster as dg
from pydantic import Field

from mixpanel_etl.client import Mixpanel, Wait
from mixpanel_etl.client.mixpanel import DEADLINE
from mixpanel_etl.dagster.pools import warn_without_limit
from mixpanel_etl.settings import DEFAULT_PREFIX, Settings


class MixpanelResource(dg.ConfigurableResource[Mixpanel]):
    """A Mixpanel project whose settings and credentials are environment variables.

    No secret passes through Dagster's configuration, so none can show in its UI or storage.

    Example:
        .. code-block:: python

            @dg.asset
            def event_names(mixpanel: MixpanelResource) -> list[str]:
                with mixpanel.client() as client:
                    return client.query.event_names()
    """

    env_prefix: str = Field(
        default=DEFAULT_PREFIX,
        description="Prefix of the environment variables; use one per project, e.g. MIXPANEL_EU_.",
    )

    @property
    def resource_key(self) -> str:
        """Key under which components register this resource: `mixpanel`, or `mixpanel_eu` for MIXPANEL_EU_."""
        return (self.env_prefix or DEFAULT_PREFIX).lower().rstrip("_")

    def pool(self, budget: str) -> str:
        """The Dagster pool of all assets that draw on one of the project's budgets, as `mixpanel_export`."""
        return f"{self.resource_key}_{budget}"

    def settings(self) -> Settings:
        """The settings as they are in this process.

        Raises:
            SettingsError: one line for each missing or contradictory variable.
        """
        return Settings.load(self.env_prefix)

    def client(self, log: Logger | None = None, *, deadline: float = DEADLINE) -> Mixpanel:
        """A client of the project; use it as a context manager.

        Args:
            log: logger that receives a line for each wait for the rate limits, e.g. `context.log`.
            deadline: seconds per request, waits and retries included; see `Mixpanel`.

        Raises:
            SettingsError: credentials are missing.
        """
        warn_without_limit()
        settings = self.settings()
        settings.require_credentials()
        on_wait = None if log is None else lambda wait: log.info(_sentence(wait))
        return Mixpanel(settings, on_wait, deadline=deadline)


def _sentence(wait: Wait) -> str:
    until = f" until {wait.until:%H:%M:%S} UTC" if wait.until else ""
    return f"waiting{until}: {wait.reason}"


Resource = TypeVar("Resource", bound=dg.ConfigurableResource[Any])
_registered: dict[tuple[type, str], Any] = {}


def registered(resource: Resource) -> Resource:
    """The one object that stands for all equal resources: Dagster allows one object per resource key."""
    found: Resource = _registered.setdefault((type(resource), resource.model_dump_json()), resource)
    return found
