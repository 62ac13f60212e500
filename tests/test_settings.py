"""Settings: read from the environment, and wrong ones named before anything runs."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.settings import Settings, SettingsError

EXAMPLE = Path(__file__).parent.parent / ".env.example"
ACCOUNT = {"MIXPANEL_SERVICE_ACCOUNT_USERNAME": "etl", "MIXPANEL_SERVICE_ACCOUNT_SECRET": "hush-hush"}


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MIXPANEL_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def load(monkeypatch: pytest.MonkeyPatch, prefix: str = "MIXPANEL_", **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings.load(prefix)


def test_without_any_variable_the_settings_load() -> None:
    settings = Settings.load()
    assert (settings.region, settings.timezone, settings.start_date) == ("us", "UTC", date(2024, 1, 1))


def test_variables_of_the_environment_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        monkeypatch,
        **ACCOUNT,
        MIXPANEL_REGION="EU",
        MIXPANEL_PROJECT_ID="12345",
        MIXPANEL_TIMEZONE="Europe/Berlin",
        MIXPANEL_CREATED_BEFORE_2023="true",
        MIXPANEL_START_DATE="2025-02-03",
        MIXPANEL_LAKE="s3://bucket/lake",
    )
    assert (settings.region, settings.project_id, settings.lake) == ("eu", 12345, "s3://bucket/lake")
    assert settings.start_date == date(2025, 2, 3)
    assert settings.service_account_secret is not None
    assert settings.service_account_secret.get_secret_value() == "hush-hush"


def test_another_project_has_another_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, "MIXPANEL_EU_", MIXPANEL_REGION="us", MIXPANEL_EU_REGION="eu")
    assert settings.region == "eu"
    assert settings.variable("lake") == "MIXPANEL_EU_LAKE"


def test_a_client_is_made_of_the_variables_of_its_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXPANEL_EU_REGION", "eu")
    monkeypatch.setenv("MIXPANEL_EU_PROJECT_ID", "7")
    assert repr(Mixpanel.from_env("MIXPANEL_EU_")) == "Mixpanel(project_id=7, region='eu')"
    assert Mixpanel.from_env().settings.region == "us"


def test_a_dotenv_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MIXPANEL_REGION=eu\nMIXPANEL_PROJECT_ID=7\nUNRELATED=1\n")
    settings = load(monkeypatch, MIXPANEL_PROJECT_ID="8")
    assert (settings.region, settings.project_id) == ("eu", 8)


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, MIXPANEL_PROJECT_ID="", MIXPANEL_BASE_URL="", MIXPANEL_START_DATE="")
    assert (settings.project_id, settings.base_url) == (None, None)


@pytest.mark.parametrize(
    ("variables", "lines"),
    [
        ({"MIXPANEL_REGION": "asia"}, ["MIXPANEL_REGION: .*'us', 'eu' or 'in'"]),
        ({"MIXPANEL_PROJECT_ID": "abc"}, ["MIXPANEL_PROJECT_ID: .*integer"]),
        ({"MIXPANEL_PROJECT_ID": "0"}, ["MIXPANEL_PROJECT_ID: .*greater than 0"]),
        ({"MIXPANEL_TIMEZONE": "Berlin"}, ["MIXPANEL_TIMEZONE: must be .*IANA.*'Europe/Berlin'.*not 'Berlin'"]),
        ({"MIXPANEL_START_DATE": "yesterday"}, ["MIXPANEL_START_DATE: .*date"]),
        ({"MIXPANEL_BASE_URL": "http://mixpanel.com"}, ["MIXPANEL_BASE_URL: .*unencrypted: use https"]),
        ({"MIXPANEL_BASE_URL": "http://127.evil.example"}, ["MIXPANEL_BASE_URL: .*use https"]),
        ({"MIXPANEL_BASE_URL": "mixpanel.com"}, ["MIXPANEL_BASE_URL: must be a URL"]),
        ({"MIXPANEL_BASE_URL": "https://me:pa55@host"}, ["MIXPANEL_BASE_URL: .*no user, password"]),
        ({"MIXPANEL_BASE_URL": "https://host:port"}, ["MIXPANEL_BASE_URL: must be a URL"]),
        ({"MIXPANEL_BUDGET_URL": "mysql://host/db"}, ["MIXPANEL_BUDGET_URL: mysql: .*postgresql://"]),
        ({"MIXPANEL_OAUTH_TOKEN": "two\nlines"}, ["MIXPANEL_OAUTH_TOKEN: has a line break"]),
        ({"MIXPANEL_PROJECT_SECRET": "naïve"}, ["MIXPANEL_PROJECT_SECRET: .*copy it again"]),
        ({"MIXPANEL_CREATED_BEFORE_2023": "true"}, ["MIXPANEL_TIMEZONE is missing: .*MIXPANEL_CREATED_BEFORE_2023"]),
        (
            {"MIXPANEL_SERVICE_ACCOUNT_USERNAME": "etl", "MIXPANEL_PROJECT_ID": "1"},
            ["MIXPANEL_SERVICE_ACCOUNT_USERNAME is set but MIXPANEL_SERVICE_ACCOUNT_SECRET is not"],
        ),
        (
            {"MIXPANEL_SERVICE_ACCOUNT_SECRET": "x", "MIXPANEL_PROJECT_ID": "1"},
            ["MIXPANEL_SERVICE_ACCOUNT_SECRET is set but MIXPANEL_SERVICE_ACCOUNT_USERNAME is not"],
        ),
        (ACCOUNT, ["MIXPANEL_PROJECT_ID is missing"]),
        (
            {"MIXPANEL_REGION": "asia", "MIXPANEL_TIMEZONE": "Mars"},
            ["MIXPANEL_REGION: ", "MIXPANEL_TIMEZONE: "],
        ),
        (
            {"MIXPANEL_SERVICE_ACCOUNT_USERNAME": "etl", "MIXPANEL_CREATED_BEFORE_2023": "true"},
            [
                "ACCOUNT_SECRET is not",
                "MIXPANEL_PROJECT_ID is missing",
                "MIXPANEL_TIMEZONE is missing",
            ],
        ),
    ],
)
def test_each_problem_is_a_line_that_names_the_variable_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], lines: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, **variables)
    found = str(caught.value).splitlines()
    assert len(found) == len(lines)
    assert all(re.search(pattern, line) for pattern, line in zip(lines, found, strict=True))


def test_problems_name_the_variables_of_their_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="MIXPANEL_EU_TIMEZONE: ") as caught:
        load(monkeypatch, "MIXPANEL_EU_", MIXPANEL_EU_TIMEZONE="Mars")
    assert "MIXPANEL_TIMEZONE" not in str(caught.value)
    with pytest.raises(SettingsError, match="MIXPANEL_EU_PROJECT_ID is missing"):
        load(
            monkeypatch,
            "MIXPANEL_EU_",
            MIXPANEL_EU_TIMEZONE="UTC",
            MIXPANEL_EU_SERVICE_ACCOUNT_USERNAME="a",
            MIXPANEL_EU_SERVICE_ACCOUNT_SECRET="b",
        )


def test_the_line_break_of_a_secret_from_a_file_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    token = load(monkeypatch, MIXPANEL_OAUTH_TOKEN="token\n").oauth_token
    assert token is not None
    assert token.get_secret_value() == "token"


@pytest.mark.parametrize(
    "url", ["https://gateway.example/mixpanel", "http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"]
)
def test_https_and_loopback_are_allowed_as_base_url(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert load(monkeypatch, MIXPANEL_BASE_URL=url + "/").base_url == url


@pytest.mark.parametrize("location", ["/var/lib/budget.sqlite", "budget", "C:\\budget", "file:/b", "redis://h/0"])
def test_a_budget_can_be_a_path_or_a_url(monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    assert load(monkeypatch, MIXPANEL_BUDGET_URL=location).budget_location == location


def test_the_budget_is_by_default_a_file_of_this_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load(monkeypatch, XDG_STATE_HOME=str(tmp_path))
    assert settings.budget_location == str(tmp_path / "mixpanel_etl" / "budget.sqlite")


@pytest.mark.parametrize(("before_2023", "zone"), [("false", "UTC"), ("true", "America/Los_Angeles")])
def test_exports_cut_their_days_in_utc_unless_the_project_is_older_than_2023(
    monkeypatch: pytest.MonkeyPatch, before_2023: str, zone: str
) -> None:
    settings = load(monkeypatch, MIXPANEL_TIMEZONE="America/Los_Angeles", MIXPANEL_CREATED_BEFORE_2023=before_2023)
    assert settings.export_zone == zone
    assert settings.zone.key == "America/Los_Angeles"


def test_no_problem_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, MIXPANEL_SERVICE_ACCOUNT_SECRET="hush-hush", MIXPANEL_BASE_URL="http://me:hush-hush@host")
    error: BaseException | None = caught.value
    while error is not None:
        assert "hush-hush" not in str(error) + repr(error)
        error = error.__cause__ or error.__context__


def test_credentials_are_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"set MIXPANEL_SERVICE_ACCOUNT_USERNAME, .*SECRET and MIXPANEL_PROJECT_ID"):
        Settings.load().require_credentials()
    load(monkeypatch, MIXPANEL_PROJECT_SECRET="x").require_credentials()


def test_the_example_names_every_variable_with_a_comment_and_loads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = EXAMPLE.read_text()
    named: dict[str, Any] = dict(re.findall(r"^(MIXPANEL_\w+)=(.*)$", text, re.MULTILINE))
    assert set(named) == {f"MIXPANEL_{name.upper()}" for name in Settings.model_fields}
    for name in named:
        above = text[: text.index(f"\n{name}=")].rsplit("\n", 1)[-1]
        assert above.startswith("#") or "SERVICE_ACCOUNT" in above
    (tmp_path / ".env").write_text(text)
    assert Settings.load().model_dump() == Settings.load("NOBODY_").model_dump()
