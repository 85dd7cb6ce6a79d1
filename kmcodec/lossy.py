"""Fewer bytes for some error, with context coding: indices chosen by what they cost, and by what they spoil.

Owns the choice between the ways to save bytes: fewer colours, or other colours where they cost less. The
latter is entropy-constrained assignment, of which the model of context coding says the cost.

Source: P. A. Chou, T. Lookabaugh and R. M. Gray, "Entropy-constrained vector quantization", IEEE Trans.
Acoustics, Speech, and Signal Processing 37(1), 1989; here with the conditional, adaptive probabilities of the
coder, pixel by pixel, and with the palette re-estimated afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kmcodec.budget import out_of_reach
from kmcodec.checks import check_integer, check_number
from kmcodec.coding import context
from kmcodec.container.layout import build_sections
from kmcodec.container.writer import plan_header, write_image
from kmcodec.image import IndexedImage, Indices, Section, drop_opaque_alpha, to_indices
from kmcodec.quantize.colorspace import sort_palette
from kmcodec.quantize.grouping import divide_rounded
from kmcodec.quantize.histogram import count_picture
from kmcodec.quantize.options import Request, check_options
from kmcodec.quantize.palette import add_alpha, choose_palette
from kmcodec.threads import OnProgress, Tell, Workers, relay_progress

# An index is taken to cost so many times its average at most: where something new comes, its first pixels
# are dear, and to avoid them is to pay for the next ones. Without that limit photographs lose a few percent,
# and pictures that repeat themselves all that could be gained.
_MOST_PRICE = 5

#: The most that a bit can be worth: more than what any colour is away from any other.
MAX_LOSSY = 10**6

# What a bit can be worth, where a size decides, in units of the points: powers of the eighth root of two,
# from about 1 to about a million where channels have 255 steps.
_EIGHTHS = (4096, 4467, 4871, 5312, 5793, 6317, 6889, 7512)
_WORTHS = [eighth << octave for octave in range(20) for eighth in _EIGHTHS]

# With half as many colours it is not much else: by how many of these at most less, and more.
_FEWER_STEPS = 16
_MORE_STEPS = 8

# Files that are made side by side.
_PROBES = 3

# By effort: by how much less a bit is taken to be worth, as binary logarithms, with all colours and with the
# best number of them. Of what one pixel saves, the next ones lose a part: between half and three quarters in
# photographs, nearly all where a picture repeats itself.
_TRIES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "fast": ((1,), ()),
    "default": ((1, 2), (1, 2, 4)),
    "best": ((1, 2, 3), (1, 2, 3, 4, 5)),
}

# Pixels of which the sums are taken at a time.
_SUMMED_PIXELS = 1 << 20


class _Result(NamedTuple):
    """Hold a file, and the sum over its pixels of the squared distances, in units of the points."""

    file: bytes
    error: int


def check_lossy(lossy: Any, coding: str, max_bytes: Any) -> float | None:
    """Return lossy as a float or None; raise TypeError or ValueError unless it can be asked for."""
    if lossy is None:
        return None
    worth = check_number("lossy", lossy)
    if not 0 <= worth <= MAX_LOSSY:
        raise ValueError(f"lossy must be in 0..{MAX_LOSSY}, found {lossy!r}")
    if coding != "context":
        raise ValueError(f"lossy goes with coding='context', found {coding!r}")
    if max_bytes is not None:
        raise ValueError("lossy does not go with max_bytes, which chooses it")
    return worth


def is_lossy(coding: str, lossy: float | None, max_bytes: int | None) -> bool:
    """Return whether other colours than the nearest may be taken."""
    return lossy is not None or (max_bytes is not None and coding == "context")


def encode_lossy(
    pixels: NDArray[np.uint8],
    n_colors: int | Literal["auto"],
    options: Mapping[str, Any],
    lossy: float | None,
    max_bytes: int | None,
    *,
    strip_rows: int | None,
    sections: tuple[Section, ...],
    on_progress: OnProgress | None = None,
) -> bytes:
    """Encode a picture with context coding: at what a bit is worth, or into a file of a size.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3 or 4), uint8
    n_colors : int or "auto"
        K at most; "auto" is refused.
    options : mapping
        Options of kmcodec.quantize; dither must be "none".
    lossy : float or None
        Squared error, summed over the channels in steps of 1/255 of their range, that a bit is worth. Error
        and bits, at that, come to little.
    max_bytes : int or None
        Size of the whole file at most, at least 1, where lossy is None. The error is a low one.
    strip_rows : int or None
    sections : tuple of Section
        As for KmqWriter.
    on_progress : callable, optional
        As for kmcodec.encode.

    Returns
    -------
    bytes
        A .kmq file.

    Raises
    ------
    TargetError
        If no file is so small.
    TypeError, ValueError
        If an argument has the wrong type, or is out of range.
    """
    # All that can be wrong is found before the work begins.
    if max_bytes is not None:
        check_integer("max_bytes", max_bytes, 1)
    if strip_rows is not None:
        check_integer("strip_rows", strip_rows, 1)
    with Workers(options.get("threads")) as workers:
        picture = _Picture(pixels, n_colors, options, strip_rows, sections, workers, on_progress)
        effort = options.get("effort", "default")
        if lossy is not None:
            return _encode_at_rate(picture, picture.scale(lossy), effort)
        assert max_bytes is not None
        return _encode_to_size(picture, max_bytes, effort)


def _encode_at_rate(picture: _Picture, per_bit: int, effort: str) -> bytes:
    def weigh(result: _Result) -> int:
        return result.error + 8 * per_bit * len(result.file)

    most = picture.most_colors
    best, best_k = picture.store([(most, 0)])[0], most
    fewer = picture.list_fewer_colors()
    for start in range(0, len(fewer) if per_bit else 0, _PROBES):
        counts = fewer[start : start + _PROBES]
        for k, result in zip(counts, picture.store([(k, 0) for k in counts]), strict=True):
            if weigh(result) < weigh(best):
                best, best_k = result, k
        if best_k not in counts:
            break
    # As many colours leave more to choose from; and twice the best number is often better than it.
    with_most, with_best = _TRIES[effort]
    shares = {(most, share) for share in with_most} | {(best_k, share) for share in with_best}
    shares |= {(min(2 * best_k, most), share) for share in with_best[:-1]}
    tries = [(k, per_bit >> share) for k, share in sorted(shares) if per_bit >> share]
    return min([best, *picture.store(tries)], key=weigh).file


def _encode_to_size(picture: _Picture, max_bytes: int, effort: str) -> bytes:
    most = picture.most_colors
    whole = picture.store([(most, 0)])[0]
    if len(whole.file) <= max_bytes:
        return whole.file
    # Of numbers of colours the largest.
    fewer = range(most - 1, picture.least_colors - 1, -1)
    best = _find_first(picture, [(k, 0) for k in fewer], max_bytes)
    best_k = 0 if best is None else fewer[best[0]]
    # And of what a bit is worth the least; for fewer colours that is less.
    last = len(_WORTHS)
    for k in [most, *([] if effort == "fast" else picture.list_fewer_colors())]:
        if k <= max(best_k, 1):
            break
        first = 0 if k == most else max(0, last - _FEWER_STEPS)
        worths = _WORTHS[first : last + _MORE_STEPS]
        found = _find_first(picture, [(k, worth) for worth in worths], max_bytes)
        if found is None:
            break
        last = first + found[0]
        best = min((each for each in (best, found) if each), key=lambda each: each[1].error)
    if best is None:
        takes = f"the smallest file takes {picture.least_file_bytes}"
        raise out_of_reach(max_bytes, takes, picture.sections_bytes)
    return best[1].file


def _find_first(
    picture: _Picture, tries: Sequence[tuple[int, int]], max_bytes: int
) -> tuple[int, _Result] | None:
    """Return the first try that fits, and what it gives; sizes fall from one to the next, mostly."""
    first, stop = 0, len(tries)
    found = None
    while first < stop:
        # Always as many at a time: the result must not depend on the number of threads.
        probes = sorted({first + (stop - first) * i // (_PROBES + 1) for i in range(1, _PROBES + 1)})
        for i, result in zip(probes, picture.store([tries[i] for i in probes]), strict=True):
            if len(result.file) <= max_bytes:
                stop, found = i, (i, result)
                break
            first = i + 1
    return found


class _Picture:
    """Hold a picture of which several files are made."""

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        n_colors: int | Literal["auto"],
        options: Mapping[str, Any],
        strip_rows: int | None,
        sections: tuple[Section, ...],
        workers: Workers,
        on_progress: OnProgress | None,
    ) -> None:
        self._request: Request = check_options(
            n_colors, **{name: value for name, value in options.items() if name != "threads"}
        )
        if self._request.goal is not None:
            raise ValueError("lossy and max_bytes with context coding need a number for n_colors, not 'auto'")
        if self._request.dither != "none":
            raise ValueError("lossy and max_bytes with context coding go with dither='none' only")
        self._workers = workers
        self._strip_rows = strip_rows
        self._sections = sections
        #: Of the metadata, with their checksum.
        self.sections_bytes = len(build_sections(sections))
        self._on_progress = on_progress
        # Palettes, and the index of each colour of the histogram.
        self._nearest: dict[int, tuple[NDArray[np.uint8], Indices]] = {}
        # What each index of such a palette costs at most.
        self._prices: dict[int, NDArray[np.int64]] = {}
        self._histogram, self._rows = count_picture(drop_opaque_alpha(pixels), workers)
        # Distances have a meaning only where all colours have alpha, or none has.
        self._channels = max(self._histogram.colors.shape[1], self._request.fixed.shape[1])
        if self._histogram.colors.shape[1] < self._channels:
            self._histogram = self._histogram.add_alpha()
        self._points = self._request.space.to_points(self._histogram.colors)
        n_fixed = len(self._request.fixed)
        #: Numbers of colours that a palette may have.
        self.most_colors = n_fixed
        if not self._request.is_given:
            self.most_colors = min(self._request.n_colors, n_fixed + len(self._histogram.colors))
        self.least_colors = max(n_fixed, 1)
        #: Bytes of the smallest file so far.
        self.least_file_bytes = 0

    def scale(self, lossy: float) -> int:
        """Return what a bit is worth, in units of the points."""
        scale = self._request.space.scale
        # Coordinates are in 0..255, or in 0..1.
        unit = scale if scale < 255 else scale / 255
        return round(lossy * unit**2)

    def list_fewer_colors(self) -> list[int]:
        """Return numbers of colours to try instead, each half of the one before."""
        counts = []
        k = self.most_colors
        while (k := k // 2) >= max(self.least_colors, 2):
            counts.append(k)
        return [] if self._request.is_given else counts

    def store(self, tries: Sequence[tuple[int, int]]) -> list[_Result]:
        """Return files: for each number of colours and worth of a bit one; side by side.

        Where a bit is worth nothing, every pixel has the nearest colour; else indices are chosen by cost, and
        the palette fits them.
        """
        # In one thread each, but for the search for the palettes.
        for k, _ in tries:
            if k not in self._nearest:
                self._nearest[k] = self._find_nearest(k)
        unmetered = sorted({k for k, per_bit in tries if per_bit} - self._prices.keys())
        # Each pixel is looked at once where colours are the nearest, else twice.
        passes = len(unmetered) + sum(2 if per_bit else 1 for _, per_bit in tries)
        tell = self._workers.count_work("choosing", passes * self._rows.size, self._on_progress)
        prices = self._workers.map(lambda k: self._find_prices(k, tell), unmetered)
        self._prices.update(zip(unmetered, prices, strict=True))
        results = self._workers.map(lambda each: self._store_one(*each, tell), tries)
        for result in results:
            self.least_file_bytes = min(self.least_file_bytes or len(result.file), len(result.file))
        return results

    def _store_one(self, n_colors: int, per_bit: int, tell: Tell) -> _Result:
        image = self._render(n_colors)
        if per_bit and len(image.palette) > 1:
            image = self._choose(image, per_bit, self._prices[n_colors], tell)
            sums = self._sum(image)
            if not self._request.is_given:
                image, sums = self._fit_palette(image, sums)
        else:
            sums = self._sum(image)
        return self._store(image, sums, tell)

    def _find_nearest(self, n_colors: int) -> tuple[NDArray[np.uint8], Indices]:
        """Return a palette of so many colours, and the index of each of the picture's."""
        choice = choose_palette(self._histogram, self._request._replace(n_colors=n_colors), self._workers)
        return add_alpha(choice.palette, self._channels), choice.list_indices()

    def _render(self, n_colors: int) -> IndexedImage:
        palette, labels = self._nearest[n_colors]
        return IndexedImage(palette, labels[self._rows])

    def _list_strips(self, image: IndexedImage) -> list[slice]:
        """Return the rows of each strip."""
        header = plan_header(
            len(image.palette),
            image.width,
            image.height,
            has_alpha=self._channels == 4,
            strip_rows=self._strip_rows,
            sections_bytes=0,
            coding="context",
        )
        step = header.strip_rows
        return [slice(start, start + step) for start in range(0, header.height, step)]

    def _find_prices(self, n_colors: int, tell: Tell) -> NDArray[np.int64]:
        """Return what each index costs at most where it is the nearest, in 1/256 bits."""
        image = self._render(n_colors)
        totals = np.zeros(len(image.palette), np.int64)
        if len(totals) > 1:
            tree = context.build_tree(image.palette)
            for rows in self._list_strips(image):
                totals += context.meter(image.indices[rows], tree, tell)
        counts = np.bincount(image.indices.reshape(-1), minlength=len(totals))
        return _MOST_PRICE * totals // np.maximum(counts, 1)

    def _choose(
        self, image: IndexedImage, per_bit: int, prices: NDArray[np.int64], tell: Tell
    ) -> IndexedImage:
        tree = context.build_tree(image.palette)
        entries = self._request.space.to_points(image.palette)
        trade = context.Trade(per_bit, self._points, entries, prices)
        indices = np.empty_like(image.indices)
        for rows in self._list_strips(image):
            indices[rows] = context.choose_indices(image.indices[rows], self._rows[rows], tree, trade, tell)
        return IndexedImage(image.palette, indices)

    def _sum(self, image: IndexedImage) -> NDArray[np.int64]:
        """Return for each index its pixels and the sums of their points, shape (K, 5)."""
        k = len(image.palette)
        sums = np.zeros((k, 5), np.int64)
        indices, rows = image.indices.reshape(-1), self._rows.reshape(-1)
        for start in range(0, len(indices), _SUMMED_PIXELS):
            part = slice(start, start + _SUMMED_PIXELS)
            sums[:, 0] += np.bincount(indices[part], minlength=k)
            for c in range(4):
                # Whole numbers, far below 2**53.
                weights = self._points[rows[part], c]
                sums[:, 1 + c] += np.bincount(indices[part], weights, minlength=k).astype(np.int64)
        return sums

    def _fit_palette(
        self, image: IndexedImage, sums: NDArray[np.int64]
    ) -> tuple[IndexedImage, NDArray[np.int64]]:
        """Return an image whose colours are the means of their pixels; unused ones go, fixed ones stay."""
        space, fixed = self._request.space, self._request.fixed
        means = divide_rounded(sums[:, 1:], np.maximum(sums[:, :1], 1)).astype(np.int16)
        palette = space.to_colors(means, self._channels)
        kept = sums[:, 0] > 0
        if len(fixed):
            wanted = set(map(tuple, add_alpha(fixed, self._channels).tolist()))
            is_fixed = np.array([tuple(color) in wanted for color in image.palette.tolist()])
            palette[is_fixed] = image.palette[is_fixed]
            kept |= is_fixed
        palette, places = sort_palette(palette[kept])
        numbers = np.zeros(len(kept), np.int64)
        numbers[kept] = places
        moved = np.zeros((len(palette), 5), np.int64)
        np.add.at(moved, numbers[kept], sums[kept])
        indices = to_indices(numbers, len(palette))[image.indices]
        return IndexedImage(palette, indices), moved

    def _store(self, image: IndexedImage, sums: NDArray[np.int64], tell: Tell) -> _Result:
        """Return the file of an image, and its error."""
        entries = self._request.space.to_points(image.palette).astype(np.int64)
        squares = (self._points.astype(np.int64) ** 2).sum(axis=1)
        error = int((squares * self._histogram.counts).sum())
        error += int(((sums[:, :1] * entries - 2 * sums[:, 1:]) * entries).sum())
        image = IndexedImage(drop_opaque_alpha(image.palette), image.indices, self._sections)
        file = write_image(
            image, strip_rows=self._strip_rows, coding="context", threads=1, on_progress=relay_progress(tell)
        )
        return _Result(file, error)
