"""One sandbox for all tests of a process, made new for each, and an environment in which the package uses it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import hypothesis
import pytest

from mixpanel_etl.client import Clock, Mixpanel
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.sandbox import Project, Sandbox
from mixpanel_etl.settings import Settings

from .lake.s3_server import S3Server

FIRST = date(2026, 1, 1)

# Nothing is judged by its time. (In CI hypothesis tries the same examples each time, elsewhere new ones.)
hypothesis.settings.register_profile("here", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("here")

#: What makes a test slow without a mark (docs/testing.md): whole flows, and servers.
SLOW_FOLDERS = (
    *(
        "cli",
        "connectors",
        "dagster",
        "gdpr",
        "lexicon",
        "openapi",
        "packaging",
        "pull",
        "push",
        "readers",
        "redteam",
        "sql",
    ),
)
SLOW_FIXTURES = frozenset(("postgres_url", "redis_url", "s3_server"))
SERVERS = frozenset(("postgres", "redis", "s3"))  # as parameters of fixtures


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without slow tests, folders of slow tests are not even imported."""
    folders = [Path(__file__).parent / name for name in SLOW_FOLDERS]
    return True if config.option.markexpr == "not slow" and collection_path in folders else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_slow(item):
            item.add_marker("slow")


def _is_slow(item: pytest.Item) -> bool:
    if item.path.relative_to(Path(__file__).parent).parts[0] in SLOW_FOLDERS:
        return True
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    if any(isinstance(value, str) and value in SERVERS for value in parameters):
        return True
    return not SLOW_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def mixpanel_server() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def mixpanel_project() -> Project:
    """Override it for a project with other settings."""
    return Project(enforce_budgets=False)


@pytest.fixture
def mixpanel(
    mixpanel_server: Sandbox, mixpanel_project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Sandbox:
    """An empty sandbox that `Settings.load()` points at; the lake and all state are below `tmp_path`."""
    mixpanel_server.reset([mixpanel_project])
    variables = {
        **mixpanel_server.environment(),
        "MIXPANEL_LAKE": str(tmp_path / "lake"),
        "MIXPANEL_START_DATE": str(FIRST),
        "MIXPANEL_BUDGET_URL": str(tmp_path / "budget.sqlite"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)  # where no `.env` is
    return mixpanel_server


@pytest.fixture
def client(mixpanel: Sandbox) -> Iterator[Mixpanel]:
    """A client of the sandbox that does not really wait before it tries again."""
    with Mixpanel(Settings.load(), clock=Clock(sleep=lambda _: None)) as client:
        yield client


@pytest.fixture
def table(mixpanel: Sandbox) -> EventsTable:
    return EventsTable(Settings.load().lake)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pgserver = pytest.importorskip("pgserver")
    server = pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    # What a careless administrator may have set: the count must not depend on it.
    server.psql("ALTER DATABASE postgres SET timezone = 'America/New_York'")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A real S3 API on localhost with one empty bucket, `events`, which the environment names as a user's would."""
    import boto3

    server = S3Server()
    server.start()
    for name, value in {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="events")
    yield server
    server.stop()


@pytest.fixture
def s3_lake(s3_server: S3Server, tmp_path: Path) -> str:
    """The URI of a lake in a bucket."""
    return f"s3://events/{tmp_path.name}"
