"""What a project decides about requests of data subjects."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import get_args

import dagster as dg

from mixpanel_etl.client import Clock, Mixpanel
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.warehouse import WarehouseResource
from mixpanel_etl.gdpr.delivery import Destination
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.profile_lookups import Profiles
from mixpanel_etl.gdpr.progress import Erase
from mixpanel_etl.gdpr.redaction import names_nobody
from mixpanel_etl.lake import ConfigurationError
from mixpanel_etl.lake.storage import storage

#: No request of a step waits longer in the client: what has to wait for weeks does so where it shows.
_DEADLINE = 60.0


def log_alert(text: str) -> None:
    """Write an alert into the log."""
    logging.getLogger("mixpanel_etl").warning(text)


@dataclass(frozen=True)
class Gdpr:
    """Requests of data subjects, from where they are written down to their certificates.

    Attributes:
        key_prefix: of the assets.
        group_name: of the assets.
        mixpanel: the project; it needs the OAuth token of an owner or admin.
        warehouse: where `query` runs.
        query: SQL that returns requests, see `gdpr.data_subject_requests.COLUMNS`.
        intake_minutes: how often `query` and `folder` are read.
        folder: path or URI into which files with requests are dropped.
        deliver_to: path or URI for retrieved data; without it none are asked for.
        keep_days: after which delivered data are removed.
        lookup_property: of profiles, which the requests' `lookup` names.
        profiles_table: table of the lake in which it is looked up as well as in Mixpanel.
        protected: ids that belong to no single person; requests that name one are rejected.
        hold_hours: how long a deletion waits, and can be cancelled, before it goes to Mixpanel.
        erase: the lake once Mixpanel has deleted, or at once as well.
        pack_retrievals: several retrievals in one job, whose archive is taken apart by distinct id.
        late_days: after which an open job is alerted.
        daily_at: cron expression (UTC) of the daily look at deadlines.
        lake: path or URI of the lake; by default the project's setting.
        on_alert: called with each alert: once for a job, daily for a deadline; the text names no person.
        clock: the time, for tests to replace.

    Raises:
        ConfigurationError: a value can't work.
    """

    key_prefix: Sequence[str] = ("mixpanel", "gdpr")
    group_name: str = "gdpr"
    mixpanel: MixpanelResource = field(default_factory=MixpanelResource)
    warehouse: WarehouseResource = field(default_factory=WarehouseResource)
    query: str | None = None
    folder: str | None = None
    intake_minutes: int = 1
    deliver_to: str | None = None
    keep_days: float = 30
    lookup_property: str = "$email"
    profiles_table: str = "profiles"
    protected: Sequence[str] = ()
    hold_hours: float = 0
    erase: Erase = "after_success"
    pack_retrievals: bool = True
    late_days: float = 30
    daily_at: str = "0 6 * * *"
    lake: str | None = None
    on_alert: Callable[[str], None] = log_alert
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        if not self.query and not self.folder:
            raise ConfigurationError("neither `query` nor `folder` is set: say where requests come from")
        if self.erase not in get_args(Erase):
            raise ConfigurationError(f"erase {self.erase!r} is not one of {', '.join(get_args(Erase))}")
        for name, least in (("hold_hours", 0), ("intake_minutes", 1), ("keep_days", 0), ("late_days", 1)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or value < least:
                raise ConfigurationError(f"{name} {value!r} is no number of at least {least}")
        if isinstance(self.protected, str):
            raise ConfigurationError(f"protected {self.protected!r} is no list; write it as [{self.protected}]")
        if self.lake:
            self._check_places(self.lake)

    @property
    def name(self) -> str:
        """What its sensors, jobs and partitions begin with."""
        return "_".join(self.key_prefix)

    @property
    def partitions(self) -> dg.DynamicPartitionsDefinition:
        """One for each request: its `request_id`, which is checked to name no person."""
        return dg.DynamicPartitionsDefinition(name=f"{self.name}_requests")

    @property
    def pool(self) -> str:
        """One for all steps: they change the same ledger."""
        return self.mixpanel.pool("gdpr")

    @property
    def destination(self) -> Destination | None:
        """Where retrieved data go."""
        return Destination(self.deliver_to, timedelta(days=self.keep_days)) if self.deliver_to else None

    @property
    def hold(self) -> timedelta:
        """How long a deletion waits."""
        return timedelta(hours=self.hold_hours)

    def key(self, name: str) -> dg.AssetKey:
        """The key of one of the assets."""
        return dg.AssetKey([*self.key_prefix, name])

    def ledger(self) -> Ledger:
        """The ledger of the lake.

        Raises:
            ConfigurationError: requests or retrieved data would be in the lake, where erasures change them.
        """
        lake = self.lake or self.mixpanel.settings().lake
        self._check_places(lake)
        return Ledger(lake)

    def directory(self, ledger: Ledger) -> Profiles:
        """Where people are looked up: the newest snapshot of profiles, and Mixpanel."""
        return Profiles(
            ledger.lake,
            self.profiles_table,
            self.lookup_property,
            lambda: self.client(ledger),
            self.now,
            self.mixpanel.settings().project_id,
        )

    @contextmanager
    def client(self, ledger: Ledger, deadline: float = _DEADLINE) -> Iterator[Mixpanel]:
        """A client whose log, which Dagster may keep, names none of the people of open requests."""
        named = {one for entry in ledger.entries() for one in entry.named_persons}
        with names_nobody(named), self.mixpanel.client(deadline=deadline) as mixpanel:
            yield mixpanel

    def now(self) -> datetime:
        """The aware present."""
        return self.clock.now()

    def _check_places(self, lake: str) -> None:
        inside = storage(lake).uri("").rstrip("/") + "/"
        for name in ("folder", "deliver_to"):
            place = getattr(self, name)
            if place and f"{storage(place).uri('').rstrip('/')}/".startswith(inside):
                raise ConfigurationError(f"{name} {place!r} is inside the lake, where erasures would change its files")
