"""Tracebacks with local variables, as rich and pytest show them, and every `repr`, hold no secret."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console
from rich.traceback import Traceback

from mixpanel_etl.cli import app
from mixpanel_etl.client import Clock, Event, Mixpanel, UserUpdate
from mixpanel_etl.client.http import credentials as kinds
from mixpanel_etl.lake import Table
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.push.row_changes import SNAPSHOT
from mixpanel_etl.sandbox import Fault, Sandbox
from mixpanel_etl.settings import Hidden, Settings, SettingsError
from mixpanel_etl.warehouse import Warehouse

SECRET = "zqs3cr3t"
DATABASE = f"etl:{SECRET}@127.0.0.1:9/shop"


def rendered(failing: Callable[[], object]) -> str:
    """The traceback of a failure with all local variables, from this function down."""
    console = Console(file=(shown := io.StringIO()), width=200)
    try:
        failing()
    except Exception as error:  # noqa: BLE001 - of any kind
        traceback = Traceback.from_exception(
            type(error), error, error.__traceback__, show_locals=True, locals_max_length=100, locals_max_string=10_000
        )
        console.print(traceback)
        assert "locals" in shown.getvalue()
        return shown.getvalue()
    raise AssertionError("it did not fail")


@pytest.fixture
def secrets(mixpanel: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    for name in ("SERVICE_ACCOUNT_SECRET", "PROJECT_TOKEN", "OAUTH_TOKEN", "PROJECT_SECRET"):
        monkeypatch.setenv(f"MIXPANEL_{name}", f"{SECRET}-{name.lower()}")
    monkeypatch.setenv("MIXPANEL_WAREHOUSE_URL", f"postgresql://{DATABASE}")
    return mixpanel


def export(mixpanel: Mixpanel) -> None:
    mixpanel.query.event_names()


def track(mixpanel: Mixpanel) -> None:
    mixpanel.ingestion.track([Event("buy", datetime.now(UTC), distinct_id="a", insert_id="b")])


def engage(mixpanel: Mixpanel) -> None:
    mixpanel.ingestion.engage([UserUpdate("a", "$set", {"b": 1})])


def evaluate(mixpanel: Mixpanel) -> None:
    mixpanel.feature_flags.evaluate("a")


def delete(mixpanel: Mixpanel) -> None:
    mixpanel.gdpr.create_deletion(["a"])


@pytest.mark.parametrize("call", [export, track, engage, evaluate, delete])
@pytest.mark.parametrize("where", ["rejected", "unreachable"])
def test_a_failure_of_the_transport(
    secrets: Sandbox, monkeypatch: pytest.MonkeyPatch, call: Callable[[Mixpanel], None], where: str
) -> None:
    if where == "unreachable":
        monkeypatch.setenv("MIXPANEL_BASE_URL", "http://127.0.0.1:9")
    else:
        secrets.add_fault(Fault("*", "payment_required"))
    with Mixpanel(Settings.load(), clock=Clock(sleep=lambda _: None), deadline=0.1) as client:
        assert SECRET not in rendered(lambda: call(client))
        assert SECRET not in repr(client) + repr(client.settings) + repr(kinds.configured(client.settings))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("service_account_secret", f"{SECRET}\nb"),
        ("budget_url", f"mysql://{DATABASE}"),
        ("budget_url", f"{SECRET}:etl@127.0.0.1"),
        ("base_url", f"https://etl:{SECRET}@proxy.example.com"),
        ("project_id", SECRET),
        ("region", "mars"),
    ],
)
def test_settings_that_are_malformed(secrets: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(SettingsError):
        Settings(**{name: value})
    values = {name: Hidden(value), "warehouse_url": Hidden(f"duckdb://{SECRET}")}
    assert SECRET not in rendered(lambda: Settings(**values))
    monkeypatch.setenv(f"MIXPANEL_{name.upper()}", value)
    assert SECRET not in rendered(Settings.load)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://{DATABASE}?connect_timeout=1",
        f"postgresql://{DATABASE}?no_such_option=1",
        f"redis://:{SECRET}@127.0.0.1:9/0",
    ],
)
def test_a_budget_that_cannot_be_reached(secrets: Sandbox, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr("mixpanel_etl.client.limits.stores.postgres.CONNECT_SECONDS", 1)
    monkeypatch.setenv("MIXPANEL_BUDGET_URL", url)
    with Mixpanel(Settings.load()) as client:
        assert SECRET not in rendered(client.query.event_names)


@pytest.mark.parametrize(
    "url", [f"postgresql://{DATABASE}", f"mysql://{DATABASE}", f"snowflake://{DATABASE}", f"duckdb:////no/{SECRET}"]
)
def test_a_warehouse_that_cannot_be_reached(url: str) -> None:
    hidden = Hidden(url)
    shown = rendered(lambda: Warehouse(hidden).count("SELECT 1"))
    assert f"etl:{SECRET}" not in shown
    assert SECRET not in shown or url.startswith("duckdb")


def test_a_bucket_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert SECRET not in rendered(lambda: storage("s3://bucket/lake").names("", ""))
    assert SECRET not in rendered(Table("s3://bucket/lake", "profiles", SNAPSHOT).keys)


def test_the_command_line_shows_no_local_variables(tmp_path: Path) -> None:
    assert app.pretty_exceptions_show_locals is False


def test_a_hidden_text_is_plain_for_those_who_use_it() -> None:
    secret = Hidden(SECRET)
    assert (str(secret), f"{secret}", secret.encode()) == (SECRET, SECRET, SECRET.encode())
    assert type(str(secret)) is str
    assert SECRET not in repr([secret, {"a": secret}, (secret[:100],)])
