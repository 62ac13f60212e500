"""The settings of a project, and the file in which they are declared.

Source: mixpanel-api.md#credentials, #project-time.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from mixpanel_etl.sandbox.engine.accounts import Accounts
from mixpanel_etl.sandbox.engine.saved_reports import Cohort, Funnel, Insight

Plan = Literal["free", "growth", "enterprise"]
RetryAfter = Literal["seconds", "date"]
IdMerge = Literal["simplified", "original", "legacy"]
GdprReplies = Literal["openapi", "reference"]
QueryReplies = Literal["openapi", "specification"]
SyncReplies = Literal["reference", "specification"]
TimeUnit = Literal["s", "ms", "us", "ns"]


class ServiceAccount(NamedTuple):
    """A service account as a member of one project. Roles: owner, admin, analyst, consumer, or any other."""

    username: str = "sandbox.sa"
    secret: str = "sandbox-service-account-secret"  # noqa: S105 - a documented constant of a server on localhost
    role: str = "admin"
    expires: datetime | None = None

    def __repr__(self) -> str:
        return f"ServiceAccount(username={self.username!r}, role={self.role!r}, expires={self.expires!r})"


class LookupTable(NamedTuple):
    """An empty lookup table, as the UI creates it: the API only replaces its rows."""

    id: str
    name: str


_DEFAULT_ACCOUNT = ServiceAccount()
_FIRST_WORKSPACE_ID = 10_000_000


@dataclass(frozen=True)
class Project:
    """One project of the sandbox.

    `service_account` may be a plain `(username, secret)`; the same account in several projects is a member of all.
    Token and secret, when not given, are `sandbox-token-<project_id>` and `sandbox-secret-<project_id>`.

    Attributes:
        timezone: IANA name of the project's time zone.
        created_before_2023: whether `/export` uses project time instead of UTC, for days and for `time`.
        plan: plan of the project; with "free" the Query API answers 402.
        max_history_days: maximum age in days of the data of the Query API, which answers 403 otherwise.
        enforce_budgets: whether requests beyond the rate limits are answered with 429.
        retry_after: form of the header `Retry-After` of a 429; by default it is absent.
        max_import_bytes: maximum of an uncompressed body of `/import` (mixpanel-api.md#import-limits).
        hot_shard_threshold: maximum events of one distinct_id on one day; the rest are rewritten
            (mixpanel-api.md#hot-shards).
        organization_id: id of the organization; its projects share service accounts and the budgets of Lexicon.
        workspace_id: id of the data view "All Project Data"; by default 10,000,000 + project_id.
        id_merge: ID merge API of the project (mixpanel-api.md#identity-merge).
        group_keys: group keys for which `/groups` accepts profiles.
        lookup_tables: empty lookup tables, which `PUT /lookup-tables/{id}` fills.
        max_lookup_table_bytes: maximum of an uncompressed lookup table (mixpanel-api.md#lookup-tables).
        warehouse_imports: imports that exist from the start, with the fields of `WarehouseImport`.
        warehouse_times: unit of the times in a warehouse import's history, which is undocumented.
        sync_replies: reply to a triggered sync: with a `run_id` ("reference"), or only `{"status": "ok"}`.
        gdpr_replies: documented shape of the GDPR API's replies (mixpanel-api.md#gdpr-jobs).
        query_replies: documented shape of the Query API's replies (mixpanel-api.md#query).
        gdpr_stage_seconds: seconds that a GDPR job is PENDING, and then STAGING; it ends after 24 times as long.
        flag_cohorts: distinct_ids by cohort hash, for the rollouts of feature flags.
        funnels: saved funnels, as `Funnel` or a mapping of its fields.
        cohorts: saved cohorts, as `Cohort` or a mapping of its fields.
        insights: saved Insights reports, as `Insight` or a mapping of its fields.
        jql_seconds: maximum seconds of a JQL script, whose process is killed then.
        jql_megabytes: maximum megabytes of memory of a JQL script.
    """

    project_id: int = 12345
    name: str = "Sandbox"
    timezone: str = "UTC"
    created_before_2023: bool = False
    plan: Plan = "growth"
    service_account: ServiceAccount | tuple[str, str] = _DEFAULT_ACCOUNT
    token: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    oauth_token: str = field(default="sandbox-oauth-token", repr=False)
    max_history_days: int | None = None
    enforce_budgets: bool = True
    retry_after: RetryAfter | None = None
    max_import_bytes: int = 2_097_152
    hot_shard_threshold: int = 200_000
    organization_id: int = 1
    workspace_id: int = 0
    id_merge: IdMerge = "simplified"
    group_keys: Sequence[str] = ("company",)
    lookup_tables: Sequence[LookupTable | tuple[str, str]] = ()
    max_lookup_table_bytes: int = 104_857_600
    warehouse_imports: Sequence[Mapping[str, Any]] = ()
    warehouse_times: TimeUnit = "s"
    sync_replies: SyncReplies = "reference"
    gdpr_replies: GdprReplies = "openapi"
    query_replies: QueryReplies = "openapi"
    gdpr_stage_seconds: float = 3600
    flag_cohorts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    funnels: Sequence[Funnel] = ()
    cohorts: Sequence[Cohort] = ()
    insights: Sequence[Insight] = ()
    jql_seconds: float = 120
    jql_megabytes: int = 1000

    def __post_init__(self) -> None:
        _set(self, "service_account", ServiceAccount(*self.service_account))
        _set(self, "token", self.token or f"sandbox-token-{self.project_id}")
        _set(self, "secret", self.secret or f"sandbox-secret-{self.project_id}")
        _set(self, "workspace_id", self.workspace_id or _FIRST_WORKSPACE_ID + self.project_id)
        _set(self, "lookup_tables", tuple(LookupTable(*table) for table in self.lookup_tables))
        for name, kind in _SAVED.items():
            _set(self, name, tuple(_report(name, report, kind) for report in getattr(self, name)))
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                wanted = ", ".join(choice for choice in choices if choice)
                raise ValueError(f"{name} {getattr(self, name)!r} must be one of {wanted}")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"timezone {self.timezone!r} must be an IANA name such as Europe/Madrid") from error

    @property
    def account(self) -> ServiceAccount:
        return ServiceAccount(*self.service_account)

    @property
    def tables(self) -> list[LookupTable]:
        """The lookup tables."""
        return [LookupTable(*table) for table in self.lookup_tables]

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def export_timezone(self) -> str:
        """Time zone of the days of `/export`: UTC, or project time for a project created before 2023."""
        return self.timezone if self.created_before_2023 else "UTC"

    @property
    def stored_zone(self) -> tzinfo:
        """The zone of project time on the scale of stored times: UTC if those are in project time."""
        return UTC if self.created_before_2023 else self.zone

    def today(self, now: datetime) -> date:
        """The date at `now` in project time."""
        return now.astimezone(self.zone).date()


_CHOICES: dict[str, tuple[str | None, ...]] = {
    "plan": get_args(Plan),
    "retry_after": (None, *get_args(RetryAfter)),
    "id_merge": get_args(IdMerge),
    "warehouse_times": get_args(TimeUnit),
    "sync_replies": get_args(SyncReplies),
    "gdpr_replies": get_args(GdprReplies),
    "query_replies": get_args(QueryReplies),
}

_SAVED: dict[str, type[Funnel | Cohort | Insight]] = {"funnels": Funnel, "cohorts": Cohort, "insights": Insight}


class Projects:
    """The projects of one sandbox, by id and by credential, and the service accounts that are their members."""

    def __init__(self, projects: Sequence[Project]) -> None:
        if not projects:
            raise ValueError("a sandbox needs at least one project: Sandbox(projects=[Project()])")
        self._by_id = {project.project_id: project for project in projects}
        for name in ("project_id", "token", "secret", "workspace_id"):
            if len({getattr(project, name) for project in projects}) < len(projects):
                raise ValueError(f"two projects share the same {name}: give each its own")
        self.accounts = Accounts()
        for project in projects:
            self.accounts.declare(project.organization_id, project.project_id, project.account)

    def __iter__(self) -> Iterator[Project]:
        return iter(self._by_id.values())

    @property
    def first(self) -> Project:
        return next(iter(self._by_id.values()))

    def get(self, project_id: int) -> Project | None:
        return self._by_id.get(project_id)

    def of(self, project_id: int | None) -> Project:
        """The project of an id, or the first one. Raises ValueError for an unknown id."""
        if project_id is None:
            return self.first
        if project_id not in self._by_id:
            raise ValueError(f"project_id {project_id} is not in this sandbox, which has {sorted(self._by_id)}")
        return self._by_id[project_id]


def read_projects(path: Path) -> list[Project]:
    """The projects that a TOML file declares: one `[[project]]` table each, with the fields of `Project`.

    `service_account = {username = "...", secret = "...", role = "admin"}`. Raises ValueError naming the field.
    """
    tables = tomllib.loads(path.read_text("utf-8")).get("project", [])
    if not isinstance(tables, list) or not tables:
        raise ValueError(f"{path} declares no projects: begin each with [[project]]")
    return [_project(table, path) for table in tables]


def _project(table: Mapping[str, Any], path: Path) -> Project:
    known = {item.name for item in fields(Project)}
    unknown = sorted(table.keys() - known)
    if unknown:
        raise ValueError(f"{path}: unknown field {unknown[0]!r}; a project has {', '.join(sorted(known))}")
    values = dict(table)
    if "service_account" in values:
        values["service_account"] = ServiceAccount(**values["service_account"])
    if "lookup_tables" in values:
        values["lookup_tables"] = [LookupTable(**entry) for entry in values["lookup_tables"]]
    return Project(**values)


def _report(name: str, report: object, kind: type[Funnel | Cohort | Insight]) -> Funnel | Cohort | Insight:
    try:
        return msgspec.convert(report, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{name}: {error}") from error


def _set(project: Project, name: str, value: object) -> None:
    object.__setattr__(project, name, value)  # completes a frozen dataclass
