"""What may be asked of the quantizer: options, their names, and their checks.

Owns how much each effort does. Knows nothing of pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmcodec.checks import check_choice, check_colors, check_fraction, check_integer, check_target
from kmcodec.image import MAX_COLORS, drop_opaque_alpha
from kmcodec.quantize.colorspace import SPACES, ColorSpace
from kmcodec.quantize.dither import DITHERS
from kmcodec.quantize.search import BATCH
from kmcodec.quantize.seeding import SEEDINGS

#: Ways to choose the first centroids.
INITS = ("split", *SEEDINGS)


class Effort(NamedTuple):
    """Say how much is done for a lower error.

    Attributes
    ----------
    groups : int
        Points of the search, times the square root of K.
    first_steps, last_steps : int
        Lloyd steps at most before and after the swaps.
    swaps : int
        Swaps tried at most.
    patience : int
        Swaps that may fail one after the other.
    iterations : int
        Lloyd iterations on all colours at most.
    """

    groups: int
    first_steps: int
    swaps: int
    patience: int
    last_steps: int
    iterations: int

    @property
    def max_steps(self) -> int:
        """How often on_iteration is called at most."""
        searched = 3 + self.first_steps + -(-self.swaps // BATCH) + self.last_steps + self.iterations
        return max(searched, UNSEARCHED_ITERATIONS)


#: Lloyd iterations where K is too large for the search: what makes up for most of it.
UNSEARCHED_ITERATIONS = 12

#: Efforts, by the names that users give.
EFFORTS = {
    "fast": Effort(96, 3, 12, 5, 2, 1),
    "default": Effort(224, 4, 40, 14, 8, 1),
    "best": Effort(640, 20, 700, 160, 40, 8),
}


class Iteration(NamedTuple):
    """Describe one step of the search for the best centroids.

    Attributes
    ----------
    number : int
        0, 1, 2, ...
    inertia : float
        Sum over all pixels of the squared distance to their centroid, in units of the colour space: for
        sRGB the squared error in R, G, B (0..255), with alpha the mean of that error on black and on
        white; for Oklab its lightness is 0..1. During the search, near colours stay together, and may be
        nearer to another centroid than to theirs.
    centroids : ndarray, shape (K, 3) or (K, 4), float64
        sRGB, 0..255; with alpha premultiplied, and alpha as fourth column.
    """

    number: int
    inertia: float
    centroids: NDArray[np.float64]


class Goal(NamedTuple):
    """Say by what the number of colours is chosen: the least that reach the targets; without any, the elbow.

    Attributes
    ----------
    max_colors : int
        1..65536.
    target_psnr : float or None
        In decibels.
    target_ssim : float or None
        At most 1.
    """

    max_colors: int
    target_psnr: float | None
    target_ssim: float | None


class Request(NamedTuple):
    """Hold the arguments of quantize, checked."""

    #: Where there is a goal, it is still to be chosen.
    n_colors: int
    goal: Goal | None
    space: ColorSpace
    init: str
    effort: Effort
    seed: int
    dither: str
    strength: int
    #: Colours to keep, shape (n, 3) or (n, 4); or the whole palette.
    fixed: NDArray[np.uint8]
    is_given: bool
    on_iteration: Callable[[Iteration], Any] | None


def check_options(
    n_colors: int | Literal["auto"] = 64,
    *,
    max_colors: int = MAX_COLORS,
    target_psnr: float | None = None,
    target_ssim: float | None = None,
    space: str = "srgb",
    init: str = "split",
    effort: str = "default",
    seed: int = 0,
    dither: str = "none",
    dither_strength: float = 1.0,
    keep: ArrayLike | None = None,
    palette: ArrayLike | None = None,
    on_iteration: Callable[[Iteration], Any] | None = None,
) -> Request:
    """Check the arguments of quantize, which are described there.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or is out of range.
    """
    goal = _check_goal(n_colors, max_colors, target_psnr, target_ssim, has_palette=palette is not None)
    n_colors = goal.max_colors if goal is not None else check_integer("n_colors", n_colors, 1, MAX_COLORS)
    check_choice("dither", dither, ("none", *DITHERS))
    fixed = np.zeros((0, 3), np.uint8)
    if palette is not None:
        fixed = drop_opaque_alpha(check_colors("palette", palette))
    elif keep is not None:
        fixed = drop_opaque_alpha(check_colors("keep", keep))
        fixed = fixed[np.sort(np.unique(fixed, axis=0, return_index=True)[1])]
        if len(fixed) > n_colors:
            name = "n_colors" if goal is None else "max_colors"
            raise ValueError(f"keep has {len(fixed)} colours, more than {name}, which is {n_colors}")
    return Request(
        n_colors=n_colors,
        goal=goal,
        space=SPACES[check_choice("space", space, SPACES)],
        init=check_choice("init", init, INITS),
        effort=EFFORTS[check_choice("effort", effort, EFFORTS)],
        seed=check_integer("seed", seed, 0, 2**64 - 1),
        dither=dither,
        strength=round(256 * check_fraction("dither_strength", dither_strength)),
        fixed=fixed,
        is_given=palette is not None,
        on_iteration=on_iteration,
    )


def _check_goal(
    n_colors: Any, max_colors: Any, target_psnr: Any, target_ssim: Any, *, has_palette: bool
) -> Goal | None:
    """Return by what the number of colours is to be chosen; None where it is given."""
    goal = Goal(
        check_integer("max_colors", max_colors, 1, MAX_COLORS),
        check_target("target_psnr", target_psnr),
        check_target("target_ssim", target_ssim, 1),
    )
    if isinstance(n_colors, str):
        if n_colors != "auto":
            raise ValueError(f"n_colors must be an int or 'auto', found {n_colors!r}")
        if has_palette:
            raise ValueError("n_colors='auto' chooses colours, and palette gives them all")
        return goal
    if goal != Goal(MAX_COLORS, None, None):
        raise ValueError("max_colors, target_psnr and target_ssim go with n_colors='auto' only")
    return None
