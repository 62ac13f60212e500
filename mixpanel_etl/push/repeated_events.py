"""Rows that would become the same event in Mixpanel, which keeps one of such (mixpanel-api.md#deduplication)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

#: Rows that are remembered, eight bytes each.
_MAX_REMEMBERED = 4_000_000
#: Runs of more are not merged any further, which would need as much memory again.
_MAX_MERGED = 500_000


class Repeats:
    """The events of a push so far, as hashes: sorted runs, of which small ones are merged."""

    def __init__(self) -> None:
        self._runs: list[npt.NDArray[np.uint64]] = []

    def among(self, identity: pl.Series, counted: pl.Series) -> pl.Series:
        """Which rows repeat an earlier one, of this call or of those before; the first four million are remembered.

        Args:
            identity: a hash of each row.
            counted: the rows that matter; others neither are nor make repetitions.
        """
        import polars as pl

        places = counted.arg_true().to_numpy()
        hashes = identity.to_numpy()[places]
        new, first = np.unique(hashes, return_index=True)
        again = np.ones(len(hashes), bool)
        again[first] = False
        for run in self._runs:
            found = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            again |= run[found] == hashes
        if len(new) and sum(map(len, self._runs)) < _MAX_REMEMBERED:
            self._remember(new)
        result = np.zeros(len(identity), bool)
        result[places] = again
        return pl.Series(result)

    def _remember(self, run: npt.NDArray[np.uint64]) -> None:
        while self._runs and len(self._runs[-1]) <= min(2 * len(run), _MAX_MERGED):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        self._runs.append(run)
