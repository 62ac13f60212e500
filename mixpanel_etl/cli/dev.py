"""`mixpanel-etl dev`: Dagster's UI, with a sandbox behind it when there are no credentials."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from mixpanel_etl.cli.shared import console, exit_on_error, project_module, use_dagster_home
from mixpanel_etl.demo.project import ROOT, demo_project
from mixpanel_etl.settings import Settings, SettingsError


def dev(port: Annotated[int, typer.Option(help="Port of the Dagster UI.")] = 3000) -> None:
    """Run Dagster's webserver and daemon; against a sandbox with demo data when no credentials are set."""
    with exit_on_error():
        _check_free(port)
        if _has_credentials():
            use_dagster_home()
            raise typer.Exit(_dagster(port, _definitions()))
        console.print("no credentials are set: using a sandbox with generated events")
        with demo_project(ROOT.absolute()):
            code = _dagster(port, ["-m", "mixpanel_etl.demo.definitions"])
        raise typer.Exit(code)


def _check_free(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        raise OSError(f"port {port} is taken; give another one with --port") from None


def _has_credentials() -> bool:
    settings = Settings.load()
    try:
        settings.require_credentials()
    except SettingsError:
        return False
    return True


def _definitions() -> list[str]:
    """What Dagster loads: the code locations of a `workspace.yaml` here, or else the Dagster project here."""
    return [] if Path("workspace.yaml").exists() else ["-m", project_module("definitions")]


def _dagster(port: int, definitions: list[str]) -> int:
    command = [sys.executable, "-m", "dagster", "dev", *definitions, "-p", str(port)]
    console.print(f"Dagster is starting: http://localhost:{port}")
    process = subprocess.Popen(command)  # noqa: S603 - our own interpreter and arguments
    # Ctrl-C reaches Dagster by itself; what a supervisor sends reaches us only.
    signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGINT))
    try:
        return process.wait()
    except KeyboardInterrupt:
        # Ctrl-C went to both; give Dagster the time to stop its own processes.
        return process.wait()
