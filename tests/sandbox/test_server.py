"""Starting and stopping: as a context manager, as a fixture, from a project file, in the foreground."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest
import requests

from mixpanel_etl.sandbox import CONTROL_HEADER, Project, Sandbox, ServiceAccount, read_projects

from .http_calls import HttpCall, control_call, exported_events, exported_line


def test_the_fixture_gives_a_running_sandbox(mixpanel_sandbox: Sandbox) -> None:
    assert control_call(mixpanel_sandbox, "GET").status_code == 200


def test_the_fixture_does_not_import_the_server_until_it_is_used() -> None:
    modules = "{'duckdb', 'uvicorn', 'pyarrow'} & {*sys.modules}"
    script = f"import sys, mixpanel_etl.sandbox.pytest_plugin as _; print({modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_stopped_sandbox_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    threads = threading.active_count()
    with Sandbox() as sandbox:
        sandbox.load([exported_line()])
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
    assert threading.active_count() == threads
    with pytest.raises(requests.ConnectionError):
        requests.get(sandbox.url, timeout=10)


def test_a_port_can_be_chosen_and_taken_only_once(sandbox: Sandbox) -> None:
    port = int(sandbox.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=port).start()


def test_the_environment_points_at_a_project(sandbox: Sandbox) -> None:
    sandbox.reset([Project(7, timezone="Europe/Madrid", created_before_2023=True, service_account=("me", "s"))])
    assert sandbox.environment(prefix="MIXPANEL_EU_") == {
        "MIXPANEL_EU_BASE_URL": sandbox.url,
        "MIXPANEL_EU_PROJECT_ID": "7",
        "MIXPANEL_EU_SERVICE_ACCOUNT_USERNAME": "me",
        "MIXPANEL_EU_SERVICE_ACCOUNT_SECRET": "s",
        "MIXPANEL_EU_PROJECT_TOKEN": "sandbox-token-7",
        "MIXPANEL_EU_WORKSPACE_ID": "10000007",
        "MIXPANEL_EU_OAUTH_TOKEN": "sandbox-oauth-token",
        "MIXPANEL_EU_TIMEZONE": "Europe/Madrid",
        "MIXPANEL_EU_CREATED_BEFORE_2023": "true",
    }


def test_exports_run_concurrently_with_each_other_and_with_loading(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.generate(5000, date(2024, 1, 1), date(2024, 1, 3))
    with ThreadPoolExecutor(9) as pool:
        loading = [pool.submit(sandbox.load, [exported_line()] * 500) for _ in range(3)]
        exports = [pool.submit(export) for _ in range(6)]
        counts = [len(exported_events(one.result())) for one in exports]
    assert sum(one.result() for one in loading) == 1500
    assert all(5000 <= count <= 6500 for count in counts)
    assert len(exported_events(export())) == 6500


def test_a_client_that_disconnects_frees_its_place(sandbox: Sandbox) -> None:
    for _ in range(5):
        sandbox.load([exported_line(note="x" * 1_000_000)] * 10)
    project = sandbox.projects[0]
    url = f"{sandbox.url}/api/2.0/export?project_id={project.project_id}&from_date=2024-01-01&to_date=2024-01-03"
    headers = {"Accept-Encoding": "identity"}  # 50 MB, more than the buffers between server and client hold
    with requests.get(url, auth=project.account[:2], headers=headers, stream=True, timeout=10) as response:
        chunks = response.iter_content(1000)
        next(chunks)
        assert _running_exports(sandbox) == 1
    assert any(_running_exports(sandbox) == 0 for _ in range(1000))


def _running_exports(sandbox: Sandbox) -> int:
    (project,) = control_call(sandbox, "GET").json()["projects"]
    return int(project["budgets"]["export"]["running"])


def test_a_project_file_declares_projects(tmp_path: Path) -> None:
    path = tmp_path / "projects.toml"
    path.write_text(
        """
        [[project]]
        project_id = 1
        timezone = "Asia/Tokyo"
        service_account = {username = "me", secret = "s", role = "analyst"}
        [[project]]
        project_id = 2
        plan = "free"
        """
    )
    first, second = read_projects(path)
    assert (first.timezone, first.account) == ("Asia/Tokyo", ServiceAccount("me", "s", "analyst"))
    assert (second.plan, second.token) == ("free", "sandbox-token-2")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "declares no project"),
        ("[[project]]\nid = 1", "unknown field 'id'"),
        ('[[project]]\ntimezone = "Mars"', "timezone 'Mars' must be an IANA name"),
        ('[[project]]\nplan = "gold"', "plan 'gold' must be one of free, growth, enterprise"),
    ],
)
def test_an_invalid_project_file_is_rejected(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "projects.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=named):
        read_projects(path)


def test_two_projects_cannot_share_an_identifying_credential() -> None:
    with pytest.raises(ValueError, match="two projects share the same token"):
        Sandbox([Project(1, token="t"), Project(2, token="t")])


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_in_the_foreground_it_prints_the_variables_and_ends_cleanly(tmp_path: Path, ending: signal.Signals) -> None:
    events = tmp_path / "events.jsonl"
    events.write_bytes(exported_line() + b"\n" + exported_line() + b"\n")
    script = (
        # As in a terminal; a test run in the background inherits SIGINT as ignored.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from datetime import date; from pathlib import Path; from mixpanel_etl.sandbox import serve\n"
        f"serve(port=0, load=[Path({str(events)!r})], generate=100, from_date=date(2024, 1, 1),"
        " to_date=date(2024, 1, 2), echo=lambda text: print(text, flush=True))"
    )
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        said = []
        for text in process.stdout:
            said.append(text.strip())
            if "until Ctrl-C" in text:
                break
        assert said[0] == f"# 2 events from {events}"
        assert said[1] == "# 100 events generated, 2024-01-01 to 2024-01-02"
        variables = dict(text.removeprefix("export ").split("=", 1) for text in said if text.startswith("export"))
        overview = requests.get(
            f"{variables['MIXPANEL_BASE_URL']}/sandbox", headers={CONTROL_HEADER: "1"}, timeout=10
        ).json()
        assert overview["projects"][0]["events"] == 102
        process.send_signal(ending)
        try:
            assert process.wait(10) == 0
        finally:
            process.kill()
    assert not list(temporary.iterdir())
