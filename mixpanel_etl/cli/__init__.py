"""The command line, `mixpanel-etl`: a module for each command, imported when the command is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from mixpanel_etl.extras import missing_extra

#: Each command, a module of this package, and what `mixpanel-etl --help` says of it.
COMMANDS = {
    "export": "Export days of events into the lake, without Dagster.",
    "backfill": "Materialize days of an asset in as few runs as the asset allows.",
    "doctor": "Check credentials, region, clock, lake and budget, and say what to fix.",
    "sql": "Query the lake with DuckDB: a view for every table, and Mixpanel's reports.",
    "push": "Send the rows of a push.",
    "init": "Write what a Dagster project needs: dagster.yaml, .env.example, a first defs.yaml.",
    "sandbox": "Run a Mixpanel on localhost until Ctrl-C.",
    "demo": "Pull 250 days of events and three reports from a sandbox, and compare them.",
    "dev": "Run Dagster's webserver and daemon, with a sandbox if no credentials are set.",
    "connectors": "Print the imports of Mixpanel's warehouse connectors as a `defs.yaml`.",
    "external-tables": "Print statements for the lake's tables in Athena, BigQuery or Snowflake.",
    "gdpr": "Show data subject requests and act on them.",
    "lexicon": "Keep Mixpanel's data dictionary as YAML files: pull, plan, apply.",
}


class _Commands(TyperGroup):
    """Imports a command when it is called: help, and commands without Dagster, load neither it nor the lake."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, stub, rest = super().resolve_command(ctx, args)
        return name, stub and command(str(name)), rest


app = typer.Typer(
    cls=_Commands,
    name="mixpanel-etl",
    help="Mixpanel to Parquet and back. Settings come from MIXPANEL_* variables; `.env.example` lists them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals hold credentials
)
for _name, _help in COMMANDS.items():
    app.command(_name, help=_help)(lambda: None)


def command(name: str) -> Any:
    """The command of a name, or the group of commands: the attribute of its module that is called like it."""
    python_name = name.replace("-", "_")
    try:
        found = getattr(import_module(f"{__name__}.{python_name}"), python_name)
    except ImportError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        typer.echo(f"mixpanel-etl {name}: {missing}", err=True)
        raise typer.Exit(1) from None
    if not isinstance(found, typer.Typer):
        function, found = found, typer.Typer(add_completion=False)
        found.command(name)(function)
    return typer.main.get_command(found)
