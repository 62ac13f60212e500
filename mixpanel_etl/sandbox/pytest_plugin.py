"""The pytest fixture `mixpanel_sandbox`, which is available wherever the package is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mixpanel_etl.sandbox.server import Sandbox


@pytest.fixture
def mixpanel_sandbox() -> Iterator[Sandbox]:
    """A running sandbox with one project (UTC, id 12345) and no events, for one test."""
    from mixpanel_etl.sandbox.server import Sandbox  # loaded by every pytest run: see the package

    with Sandbox() as sandbox:
        yield sandbox
