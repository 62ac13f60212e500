"""`serve()`: a sandbox in the foreground, until Ctrl-C."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

from mixpanel_etl.sandbox.engine.line_reader import read_lines
from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.server import Sandbox

DEFAULT_PORT = 8010


def serve(
    projects: Sequence[Project] = (),
    *,
    port: int = DEFAULT_PORT,
    host_names: Collection[str] = (),
    load: Sequence[Path] = (),
    generate: int = 0,
    from_date: date | None = None,
    to_date: date | None = None,
    seed: int = 0,
    duplicates: float = 0.01,
    echo: Callable[[str], object] = print,
) -> None:
    """Serve until Ctrl-C or SIGTERM, after loading files and generating events into the first project.

    Args:
        projects: projects of the sandbox; `read_projects` reads them from a file.
        port: port on 127.0.0.1.
        host_names: see `Sandbox`.
        load: files of exported lines, `.gz` or not.
        generate: number of events to generate between from_date and to_date, which are then required.
        from_date: first day of the generated events.
        to_date: last day of the generated events, inclusive.
        seed: see `generate_lines`.
        duplicates: see `generate_lines`.
        echo: called with each line of output: progress, then the environment variables to export.

    Raises:
        ValueError: a line is not an exported event, or `generate` is given without dates.
        OSError: a file cannot be read, or the port is taken.
    """
    if generate and (from_date is None or to_date is None):
        raise ValueError("generating events needs from_date and to_date")
    with (
        suppress(KeyboardInterrupt),
        Sandbox(projects, port, host_names=host_names) as sandbox,
        _sigterm_interrupts(),
    ):
        for path in load:
            echo(f"# {sandbox.load(read_lines(path)):,} events from {path}")
        if generate and from_date and to_date:
            made = sandbox.generate(generate, from_date, to_date, seed=seed, duplicates=duplicates)
            echo(f"# {made:,} events generated, {from_date} to {to_date}")
        for project in sandbox.projects:
            echo(f"# project {project.project_id} ({project.name}), {project.timezone}")
            for name, value in sandbox.environment(project.project_id).items():
                echo(f"export {name}={shlex.quote(value)}")
        echo(f"# Mixpanel is at {sandbox.url} until Ctrl-C")
        threading.Event().wait()


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM ends like Ctrl-C, so that the temporary store is removed; only the main thread can handle signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
