"""`mixpanel-etl external-tables`: the lake for Athena, BigQuery and Snowflake."""

from __future__ import annotations

from typing import Annotated

import typer

from mixpanel_etl.cli.shared import exit_on_error
from mixpanel_etl.lake import external_statements as external
from mixpanel_etl.settings import Settings


def external_tables(
    dialect: Annotated[external.Dialect, typer.Argument(help="SQL dialect: athena, bigquery or snowflake.")],
    database: Annotated[
        str, typer.Option(help="Database (Athena), dataset (BigQuery) or schema (Snowflake) of the tables.")
    ] = "mixpanel",
    lake: Annotated[str | None, typer.Option(help="s3:// URI; MIXPANEL_LAKE by default.")] = None,
) -> None:
    """Print statements that make an external table of each table of the lake; columns are those of its newest file."""
    with exit_on_error():
        for statement in external.external_tables(lake or Settings.load().lake, dialect, database):
            typer.echo(statement)
