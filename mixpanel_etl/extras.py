"""The parts of the package that need more than its client does, and the extras that install what they need."""

from __future__ import annotations

from importlib.util import find_spec

from mixpanel_etl.errors import MixpanelEtlError

#: The modules that each part imports. The dependencies of the extra of this name in pyproject.toml bring them.
EXTRAS = {
    "lake": (*("adbc_driver_manager", "duckdb", "numpy", "polars", "pyarrow", "s3fs", "sqlglot", "xxhash", "yaml"),),
    "dagster": ("dagster",),
    "sandbox": ("duckdb", "pyarrow", "starlette", "uvicorn"),
}


class MissingExtra(MixpanelEtlError, ImportError):
    """A part of the package was used whose dependencies are not installed."""

    def __init__(self, extra: str, missing: tuple[str, ...]) -> None:
        super().__init__(f"{', '.join(missing)} not installed: pip install 'mixpanel_etl[{extra}]'")


def require(extra: str) -> None:
    """Make sure that the dependencies of an extra are installed, without importing them.

    Raises:
        MissingExtra: at least one is missing; the message has the command that installs it.
    """
    missing = tuple(name for name in EXTRAS[extra] if find_spec(name) is None)
    if missing:
        raise MissingExtra(extra, missing)


def missing_extra(error: ImportError) -> MissingExtra | None:
    """The extra whose dependency could not be imported; None if the error has another reason."""
    if isinstance(error, MissingExtra):
        return error
    name = (error.name or "").partition(".")[0]
    return next((MissingExtra(extra, (name,)) for extra, modules in EXTRAS.items() if name in modules), None)
