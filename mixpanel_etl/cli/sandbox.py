"""`mixpanel-etl sandbox`: a Mixpanel on localhost."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from mixpanel_etl.cli.shared import DATES, console, exit_on_error


def sandbox(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 8010,
    host_name: Annotated[
        list[str] | None,
        typer.Option(help="Further host name to answer to, besides localhost, 127.0.0.1 and [::1]; repeatable."),
    ] = None,
    load: Annotated[
        list[Path] | None, typer.Option(help="File of exported events (JSON lines, .gz or not) to load; repeatable.")
    ] = None,
    generate: Annotated[int, typer.Option(help="Number of sample events to generate.")] = 0,
    from_date: Annotated[
        datetime | None, typer.Option("--from", formats=DATES, help="First day of the generated events.")
    ] = None,
    to_date: Annotated[
        datetime | None, typer.Option("--to", formats=DATES, help="Last day of the generated events.")
    ] = None,
    projects: Annotated[
        Path | None, typer.Option(help="File that declares the projects (docs/sandbox.md); by default there is one.")
    ] = None,
) -> None:
    """Run a Mixpanel on localhost until Ctrl-C, and print the variables that point the package at it."""
    with exit_on_error():
        from mixpanel_etl.sandbox import read_projects, serve  # DuckDB and uvicorn, an extra of the package

        serve(
            read_projects(projects) if projects else (),
            port=port,
            host_names=host_name or (),
            load=load or (),
            generate=generate,
            from_date=from_date.date() if from_date else None,
            to_date=to_date.date() if to_date else None,
            echo=lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True),
        )
