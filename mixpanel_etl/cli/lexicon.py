"""`mixpanel-etl lexicon`: the data dictionary as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixpanel_etl.cli.shared import console, exit_on_error, waits
from mixpanel_etl.client import Mixpanel
from mixpanel_etl.lexicon import Plan, apply, compare, fetch, lines, read_directory, write_entries
from mixpanel_etl.settings import Settings

lexicon = typer.Typer(
    name="lexicon",
    help="Mixpanel's data dictionary as YAML files, one for each event: pull, plan, apply.",
    no_args_is_help=True,
    add_completion=False,
)

Directory = Annotated[Path, typer.Argument(help="Folder of the schema files.")]
Delete = Annotated[bool, typer.Option("--delete", help="Delete schemas that only Mixpanel has.")]
Truncate = Annotated[bool, typer.Option("--truncate", help="Empty Mixpanel's ENTIRE dictionary first.")]

CHANGES = 3  # the exit code of a plan that has some; 1 is an error, 2 wrong usage


@lexicon.command()
def pull(directory: Directory) -> None:
    """Write what Mixpanel has into DIRECTORY: into the file that describes it already, or into a new one."""
    with exit_on_error():
        there = read_directory(directory) if directory.exists() else {}
        with _mixpanel() as mixpanel:
            found = fetch(mixpanel)
        written = write_entries(directory, found.values(), there)
    console.print(f"{len(found)} schemas in Mixpanel, {len(written)} files written")
    only_here = sorted(name for key, described in there.items() if key not in found for name in [described.path])
    if only_here:
        console.print("not in Mixpanel: " + ", ".join(map(str, only_here)), markup=False, soft_wrap=True)


@lexicon.command()
def plan(directory: Directory, delete: Delete = False, truncate: Truncate = False) -> None:
    """Show what `apply` would change. Exits with 0 when that is nothing, with 3 when there are changes."""
    with exit_on_error(), _mixpanel() as mixpanel:
        found = _compared(mixpanel, directory, delete=delete, truncate=truncate)
    _show(found)
    if found:
        raise typer.Exit(CHANGES)


@lexicon.command(name="apply")
def apply_(
    directory: Directory,
    delete: Delete = False,
    truncate: Truncate = False,
    allow_drop: Annotated[
        bool,
        typer.Option(
            "--allow-drop", help="Allow `dropped: true`: Mixpanel discards these events permanently at ingestion."
        ),
    ] = False,
) -> None:
    """Change Mixpanel's dictionary to what DIRECTORY has."""
    with exit_on_error(), _mixpanel() as mixpanel:
        found = _compared(mixpanel, directory, delete=delete, truncate=truncate)
        _show(found)
        done = apply(mixpanel, found, allow_drop=allow_drop)
    console.print(f"{done.uploaded} uploaded, {done.deleted} deleted, in {done.requests} requests")


def _mixpanel() -> Mixpanel:
    settings = Settings.load()
    settings.require_credentials()
    return Mixpanel(settings, on_wait=waits)


def _compared(mixpanel: Mixpanel, directory: Path, *, delete: bool, truncate: bool) -> Plan:
    wanted = {key: described.entry for key, described in read_directory(directory).items()}
    return compare(wanted, fetch(mixpanel), delete=delete, truncate=truncate)


_STYLES = {"+": "green", "~": "yellow", "-": "red"}


def _show(found: Plan) -> None:
    for line in lines(found):
        style = _STYLES.get(line[0])
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
