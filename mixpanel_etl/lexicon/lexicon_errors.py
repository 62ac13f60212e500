"""What is wrong with a schema directory, or with what is about to be sent."""

from __future__ import annotations

from collections.abc import Sequence

from mixpanel_etl.errors import MixpanelEtlError


class LexiconError(MixpanelEtlError, ValueError):
    """Base of everything that this package raises. Nothing was sent."""


class LexiconFilesError(LexiconError):
    """The schema directory has mistakes: one line for each, with file, line and remedy.

    Attributes:
        problems: the lines.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))
