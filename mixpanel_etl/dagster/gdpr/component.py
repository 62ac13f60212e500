"""`type: mixpanel_etl.MixpanelGdpr`: data subject requests, from intake to certificate."""

# Dagster reads the annotations of components, so they must be types, not strings.
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, get_args

import dagster as dg

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.dagster.fields import CronSchedule, KeyPrefix, prefixed, sql_file
from mixpanel_etl.dagster.gdpr.assets import STEPS, asset_of, run_step
from mixpanel_etl.dagster.gdpr.checks import gdpr_checks
from mixpanel_etl.dagster.gdpr.intake import intake_check, intake_sensor
from mixpanel_etl.dagster.gdpr.overview import OVERVIEW, AssetName, daily_schedule, overview_asset, run_overview
from mixpanel_etl.dagster.gdpr.sensors import progress_sensor
from mixpanel_etl.dagster.schedules import fresh
from mixpanel_etl.dagster.warehouse import WarehouseComponent
from mixpanel_etl.gdpr.delivery import Destination
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.profile_lookups import Profiles
from mixpanel_etl.gdpr.progress import Erase
from mixpanel_etl.gdpr.redaction import redacted_logs
from mixpanel_etl.lake import ConfigurationError
from mixpanel_etl.lake.storage import storage

#: Seconds that a request of a step waits in the client: what takes weeks is waited for by sensors.
_DEADLINE = 60.0
_MINIMA = {"hold_hours": 0, "intake_minutes": 1, "keep_days": 0, "late_days": 1}


@dataclass(kw_only=True)
class MixpanelGdpr(WarehouseComponent):
    """Data subject requests (deletions and retrievals): in Mixpanel, in the lake, with a certificate.

    It needs the OAuth token of an owner or admin (`MIXPANEL_OAUTH_TOKEN`) and the project's token
    (`MIXPANEL_PROJECT_TOKEN`).

    Example: a subclass that pages a team

        .. code-block:: python

            class PrivacyDesk(MixpanelGdpr):
                def alert(self, text):
                    my_company.page("privacy", text)
    """

    group: ClassVar[str] = "mixpanel_gdpr"

    query: Annotated[
        str | None,
        sql_file("SQL file that returns data subject requests from the warehouse.", "sql/gdpr/requests.sql"),
    ] = None
    folder: Annotated[
        str | None,
        dg.Resolver.default(
            description="Path or s3:// URI of the folder for CSV and JSON files with data subject requests. A file "
            "that was read is replaced by a receipt.",
            examples=["s3://privacy/inbox"],
        ),
    ] = None
    intake_minutes: Annotated[
        int, dg.Resolver.default(description="Minutes between two readings of the query and the folder.")
    ] = 1
    deliver_to: Annotated[
        str | None,
        dg.Resolver.default(
            description="Path or s3:// URI where retrieved personal data is delivered, one folder per data subject "
            "request. Must be outside the lake."
        ),
    ] = None
    keep_days: Annotated[float, dg.Resolver.default(description="Days until delivered data is deleted.")] = 30.0
    lookup_property: Annotated[
        str, dg.Resolver.default(description="Profile property that the column `lookup` refers to.")
    ] = "$email"
    profiles_table: Annotated[
        str,
        dg.Resolver.default(
            description="Table of the lake with snapshots of profiles. Lookups search it besides Mixpanel."
        ),
    ] = "profiles"
    protected: Annotated[
        Sequence[str],
        dg.Resolver.default(
            description="Ids that belong to no single person. A data subject request that names one is rejected."
        ),
    ] = field(default_factory=list)
    hold_hours: Annotated[
        float,
        dg.Resolver.default(description="Hours that a deletion waits, and can be cancelled, before Mixpanel gets it."),
    ] = 0.0
    erase: Annotated[
        Erase,
        dg.Resolver.default(description="When the lake is erased: after SUCCESS of Mixpanel's job, or also before."),
    ] = "after_success"
    pack_retrievals: Annotated[
        bool,
        dg.Resolver.default(
            description="Retrieve the data of several people in one job, and split its archive by distinct id."
        ),
    ] = True
    late_days: Annotated[float, dg.Resolver.default(description="Days after which an open job raises an alert.")] = 30.0
    cron_schedule: CronSchedule = "0 6 * * *"
    key_prefix: KeyPrefix = "mixpanel/gdpr"
    group_name: Annotated[str, dg.Resolver.default(description="Group of the assets.")] = group

    def __post_init__(self) -> None:
        if not self.query and not self.folder:
            raise ConfigurationError("set `query`, `folder` or both: they say where data subject requests come from")
        if self.erase not in get_args(Erase):
            raise ConfigurationError(f"erase is {self.erase!r}; allowed: {', '.join(get_args(Erase))}")
        for name, minimum in _MINIMA.items():
            value = getattr(self, name)
            if not isinstance(value, int | float) or value < minimum:
                raise ConfigurationError(f"{name} is {value!r}; it must be a number >= {minimum}")
        if isinstance(self.protected, str):
            raise ConfigurationError(f"protected is {self.protected!r}; it must be a list, e.g. [{self.protected}]")
        if self.lake:
            self._check_places(self.lake)

    def get_asset_spec(self, asset: AssetName) -> dg.AssetSpec:
        """Spec of one of the assets. Override it to change owners, tags or the group.

        Args:
            asset: requests, jobs, outcomes, erasures, deliveries, certificates or overview.

        Example:
            .. code-block:: python

                class OwnedGdpr(MixpanelGdpr):
                    def get_asset_spec(self, asset):
                        return super().get_asset_spec(asset).replace_attributes(owners=["team:privacy"])
        """
        if asset == OVERVIEW:
            spec = dg.AssetSpec(
                self.key(OVERVIEW),
                description="All open data subject requests with their deadlines (GDPR: 30 days, CCPA: 45). "
                "Expired deliveries are deleted.",
            )
            spec = fresh(spec, self.cron_schedule, "UTC")
        else:
            _, deps, description = STEPS[asset]
            spec = dg.AssetSpec(
                self.key(asset),
                deps=[self.key(dep) for dep in deps],
                description=description,
                partitions_def=self.partitions,
                skippable=True,  # what is not due is not recorded
            )
        return spec.replace_attributes(group_name=self.group_name, kinds={"mixpanel"})

    def execute(self, context: dg.AssetExecutionContext, asset: AssetName) -> Iterator[Any]:
        """Do what is due in a step for the data subject requests of the run, or list all that are open.

        Override it to do something before or after.

        Args:
            context: context of the run.
            asset: see `get_asset_spec`.

        Yields:
            A `dg.AssetMaterialization` for each data subject request that is done with the step; of `overview` an
            observation of each, and one `dg.MaterializeResult`.
        """
        yield from run_overview(context, self) if asset == OVERVIEW else run_step(context, self, asset)

    def alert(self, text: str) -> None:
        """Write an alert into the log. Override it to page your team; the text names no person.

        Args:
            text: what has failed, is late or waits for a decision; once for a job, daily for a deadline.
        """
        logging.getLogger("mixpanel_etl").warning(text)

    def build(self) -> dg.Definitions:
        """The assets of all steps, the sensors that start them, the checks, and the daily deadline check."""
        return dg.Definitions(
            assets=[*(asset_of(self, step) for step in STEPS), overview_asset(self)],
            asset_checks=[*gdpr_checks(self), intake_check(self)],
            sensors=[intake_sensor(self), progress_sensor(self)],
            schedules=[daily_schedule(self)],
        )

    def default_name(self, folder: str) -> str:  # noqa: ARG002
        """From the key prefix."""
        return dg.AssetKey(self.key_prefix.split("/")).to_python_identifier()

    def key(self, asset: AssetName) -> dg.AssetKey:
        """The key of one of the assets."""
        return prefixed(self.key_prefix, asset)

    @property
    def partitions(self) -> dg.DynamicPartitionsDefinition:
        """One for each data subject request: its `request_id`, which is checked to name no person."""
        return dg.DynamicPartitionsDefinition(name=self.key("requests").to_python_identifier())

    @property
    def pool(self) -> str:
        """One for all steps: they change the same ledger."""
        return self.mixpanel.pool("gdpr")

    @property
    def destination(self) -> Destination | None:
        """Where retrieved personal data is delivered."""
        return Destination(self.deliver_to, timedelta(days=self.keep_days)) if self.deliver_to else None

    @property
    def ledger(self) -> Ledger:
        """The ledger of the lake.

        Raises:
            ConfigurationError: `folder` or `deliver_to` is inside the lake, where erasures change files.
        """
        self._check_places(self.lake_uri)
        return Ledger(self.lake_uri)

    def profiles(self, ledger: Ledger) -> Profiles:
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
        """A client whose log, which Dagster may keep, names none of the people of open data subject requests."""
        named = {one for entry in ledger.entries() for one in entry.named_persons}
        with redacted_logs(named), self.mixpanel.client(deadline=deadline) as mixpanel:
            yield mixpanel

    def now(self) -> datetime:
        """The current time (aware), for tests to override."""
        return datetime.now(UTC)

    def _check_places(self, lake: str) -> None:
        inside = storage(lake).uri("").rstrip("/") + "/"
        for name in ("folder", "deliver_to"):
            place = getattr(self, name)
            if place and f"{storage(place).uri('').rstrip('/')}/".startswith(inside):
                raise ConfigurationError(f"{name} is {place!r}, inside the lake; erasures would change its files")
