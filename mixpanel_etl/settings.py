"""What the package must be told: region, project, credentials, lake. Read from the environment, checked at once.

Source: mixpanel-api.md#hosts, #credentials, #project-time.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self, SupportsIndex
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableSetting

from mixpanel_etl.errors import MixpanelEtlError

Region = Literal["us", "eu", "in"]

DEFAULT_PREFIX = "MIXPANEL_"
BUDGET_SCHEMES = ("file", "postgresql", "postgres", "redis", "rediss")


class Hidden(str):
    """A secret on its way to where it is used. Tracebacks with local variables, and each `repr`, show `***`.

    `str(secret)` is the plain text, for libraries that want exactly that.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __getitem__(self, key: SupportsIndex | slice[Any, Any, Any]) -> Hidden:
        return Hidden(super().__getitem__(key))  # rich cuts long strings before it shows them


class SettingsError(MixpanelEtlError, ValueError):
    """Settings are missing, malformed or contradict each other: one line for each, naming the variable."""


class Settings(BaseSettings):
    """Settings of one Mixpanel project, from environment variables (first) and a `.env` file (second).

    `Settings.load()` reads `MIXPANEL_*`; `Settings.load("MIXPANEL_EU_")` reads those of another project. Loading
    without any credentials is allowed, so that definitions load everywhere; `require_credentials()` asks for them.

    Raises:
        SettingsError: with one line for each missing, malformed or contradictory setting.
    """

    model_config = SettingsConfigDict(
        env_prefix=DEFAULT_PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        # Otherwise pydantic prints the values (the secrets) of what did not validate.
        hide_input_in_errors=True,
    )

    region: Region = "us"
    project_id: Annotated[int, Field(gt=0)] | None = None
    workspace_id: Annotated[int, Field(gt=0)] | None = None
    service_account_username: str | None = None
    service_account_secret: SecretStr | None = None
    project_token: SecretStr | None = None
    project_secret: SecretStr | None = None
    oauth_token: SecretStr | None = None
    timezone: str = "UTC"
    created_before_2023: bool = False
    base_url: str | None = None
    budget_url: str | None = Field(default=None, repr=False)  # may hold a database password
    lake: Annotated[str, Field(min_length=1)] = ".lake"
    warehouse_url: SecretStr | None = None  # may hold a database password
    start_date: date = date(2024, 1, 1)
    #: Bytes per second that an export must bring, over ten minutes of waiting for it; 0 for any.
    export_min_rate: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 100.0
    #: Bytes of the longest line of an export, or item of a JQL reply, that is held in memory.
    max_line_bytes: Annotated[int, Field(gt=0)] = 64 << 20
    #: Bytes of the largest reply that is held in memory, decompressed.
    max_reply_bytes: Annotated[int, Field(gt=0)] = 256 << 20

    _prefix: str = PrivateAttr(default=DEFAULT_PREFIX)

    def __init__(self, **values: Any) -> None:
        values = {name: Hidden(value) if isinstance(value, str) else value for name, value in values.items()}
        prefix = values.get("_env_prefix") or DEFAULT_PREFIX
        problems: list[str] = []
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems = list(_problems(error, prefix))
        except UnreadableSetting as error:
            problems = [str(error)]
        # Raised out here, because a chained ValidationError would carry the secrets along.
        if problems:
            raise SettingsError("\n".join(problems))
        self._prefix = prefix

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Project and region: logs and tracebacks show no credentials, and no addresses that may contain some."""
        # From the dictionary, because a debugger also shows settings that failed to load.
        yield "project_id", self.__dict__.get("project_id")
        yield "region", self.__dict__.get("region")

    @classmethod
    def load(cls, prefix: str = DEFAULT_PREFIX) -> Self:
        """Read the variables that begin with `prefix`."""
        return cls(_env_prefix=prefix)

    @property
    def zone(self) -> ZoneInfo:
        """The project's time zone, in which the Query API cuts its days."""
        return ZoneInfo(self.timezone)

    @property
    def export_zone(self) -> str:
        """The IANA zone in which `/export` cuts its days (UTC, or project time; mixpanel-api.md#project-time)."""
        return self.timezone if self.created_before_2023 else "UTC"

    @property
    def budget_location(self) -> str:
        """Where the shared rate-limit state is: `budget_url`, else a file of this user's."""
        if self.budget_url:
            return self.budget_url
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return str(Path(state) / "mixpanel_etl" / "budget.sqlite")

    @property
    def prefix(self) -> str:
        """What the variables begin with from which these settings were read."""
        return self._prefix

    def variable(self, field: str) -> str:
        """The environment variable of a field, as the user writes it."""
        return self._prefix + field.upper()

    def require_credentials(self) -> None:
        """Fail without any credentials.

        Raises:
            SettingsError: names the variables to set.
        """
        if self.service_account_secret or self.project_token or self.project_secret or self.oauth_token:
            return
        username, secret, project = map(
            self.variable, ("service_account_username", "service_account_secret", "project_id")
        )
        raise SettingsError(
            f"no credentials: set {username}, {secret} and {project} (in Mixpanel: Organization Settings > "
            "Service Accounts). For a trial without Mixpanel run `mixpanel-etl sandbox`"
        )

    @field_validator("region", mode="before")
    @classmethod
    def _region_in_any_case(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator(
        "service_account_username",
        "service_account_secret",
        "project_token",
        "project_secret",
        "oauth_token",
        mode="before",
    )
    @classmethod
    def _fit_for_a_header(cls, value: object) -> object:
        """Without the line break that secrets get when they are read from files."""
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(plain, str):
            return value
        if not (plain.strip().isascii() and plain.strip().isprintable()):
            raise ValueError("has a line break or another character that credentials never have: copy it again")
        return plain.strip() or None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(
                "must be the IANA time zone of Mixpanel's project settings, like 'Europe/Berlin' or "
                f"'America/Los_Angeles', not {name!r}"
            )
        return name

    @field_validator("base_url")
    @classmethod
    def _safe_base_url(cls, url: str | None) -> str | None:
        return None if url is None else _checked_base_url(url)

    @field_validator("budget_url")
    @classmethod
    def _known_budget(cls, url: str | None) -> str | None:
        scheme, colon, _ = (url or "").partition(":")
        if colon and len(scheme) > 1 and scheme not in BUDGET_SCHEMES:  # one letter is a Windows drive
            # Anything but a scheme may be a password.
            named = f"{scheme}:" if scheme.isalpha() and "@" not in (url or "") else "what it names"
            raise ValueError(f"{named} can't hold it; give a file's path, postgresql://... or redis://...")
        return None if url is None else Hidden(url)

    @model_validator(mode="after")
    def _nothing_contradicts(self) -> Self:
        problems = "\n".join(self._contradictions())
        if problems:
            raise ValueError(problems)
        return self

    def _contradictions(self) -> Iterator[str]:
        """Sentences in which `{field}` stands for the variable of that field."""
        if self.service_account_username and not self.service_account_secret:
            yield "{service_account_username} is set but {service_account_secret} is not: set both"
        if self.service_account_secret and not self.service_account_username:
            yield "{service_account_secret} is set but {service_account_username} is not: set both"
        if self.service_account_username and not self.project_id:
            yield (
                "{project_id} is missing: a service account works only with the project's number "
                "(in Mixpanel: Project Settings > Overview)"
            )
        if self.created_before_2023 and "timezone" not in self.model_fields_set:
            yield (
                "{timezone} is missing: with {created_before_2023} every event's time is shifted by the project's "
                "zone, so it must be named (even if it is UTC)"
            )


def is_loopback(host: str | None) -> bool:
    """Whether `host` is this machine: localhost, 127.0.0.0/8 or ::1. No name is looked up."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def _checked_base_url(url: str) -> str:
    parts = urlsplit(url)
    # The URL is not repeated in these two messages: it may hold a password.
    if parts.scheme not in ("http", "https") or not parts.hostname or not _has_good_port(parts):
        raise ValueError("must be a URL like https://proxy.example.com or http://127.0.0.1:8080")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("may hold a scheme, a host, a port and a path, but no user, password, query or fragment")
    if parts.scheme != "https" and not is_loopback(parts.hostname):
        raise ValueError(f"{url!r} would send credentials unencrypted: use https (http is for loopback hosts)")
    return url.rstrip("/")


def _has_good_port(parts: SplitResult) -> bool:
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def _problems(error: ValidationError, prefix: str) -> Iterator[str]:
    variables = {field: prefix + field.upper() for field in Settings.model_fields}
    for detail in error.errors(include_input=False, include_url=False):
        text = detail["msg"].removeprefix("Value error, ")
        if detail["loc"]:
            yield f"{variables.get(str(detail['loc'][0]), detail['loc'][0])}: {text}"
        else:
            yield text.format_map(variables)
