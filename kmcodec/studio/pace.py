"""How long work will take, by how long it took."""

from __future__ import annotations

import math
from collections.abc import Hashable

# Between the root of K and K lies what clustering and dithering take.
_POWER = 0.75


class Pace:
    """Remember how long each kind of work with colours took the last time."""

    def __init__(self) -> None:
        self._last: dict[Hashable, tuple[int, float]] = {}

    def note(self, kind: Hashable, n_colors: int, seconds: float) -> None:
        """Take down how long work of a kind took with so many colours."""
        self._last[kind] = n_colors, seconds

    def expect(self, kind: Hashable, n_colors: int) -> float | None:
        """Return the seconds that it will take with so many; None of a kind that has not been seen."""
        if kind not in self._last:
            return None
        before, seconds = self._last[kind]
        return seconds * math.pow(max(1.0, n_colors / before), _POWER)
