"""The command line, `mixpanel-etl`: a module for each command."""

from __future__ import annotations

import typer

from mixpanel_etl.cli.backfill import backfill
from mixpanel_etl.cli.demo import demo
from mixpanel_etl.cli.dev import dev
from mixpanel_etl.cli.doctor import doctor
from mixpanel_etl.cli.export import export
from mixpanel_etl.cli.external_tables import external_tables_command
from mixpanel_etl.cli.gdpr import gdpr
from mixpanel_etl.cli.lexicon import lexicon
from mixpanel_etl.cli.push import push
from mixpanel_etl.cli.sandbox import sandbox
from mixpanel_etl.cli.sql import sql
from mixpanel_etl.cli.warehouse_imports import warehouse_imports

app = typer.Typer(
    name="mixpanel-etl",
    help="Mixpanel to Parquet and back. Settings come from MIXPANEL_* variables; `.env.example` lists them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals hold credentials
)
for command in (export, backfill, doctor, sql, push, sandbox, demo, dev, warehouse_imports):
    app.command()(command)
app.command("external-tables")(external_tables_command)
app.add_typer(gdpr, name="gdpr")
app.add_typer(lexicon)
