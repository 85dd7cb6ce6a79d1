"""What the studio does with a picture, without a page: files and settings in, results out.

Owns what is computed when: a result as soon as can be, on fewer pixels first where all would take long; then
what it measures, roughly and at last exactly. Whatever a newer wish makes out of date is dropped, even if it
is found at that moment: wishes are taken, and what is found is told, under one lock. Knows nothing of
browsers: it tells from threads of its own.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kmcodec import metrics
from kmcodec.checks import check_choice, check_fraction, check_integer
from kmcodec.container.layout import CODINGS, SIGNATURE, Header
from kmcodec.container.reader import KmqReader
from kmcodec.container.salvage import FILL, salvage, show_runs
from kmcodec.container.writer import write_image
from kmcodec.errors import KmqError
from kmcodec.image import MAX_COLORS, IndexedImage, Section
from kmcodec.lossy import check_lossy, encode_lossy
from kmcodec.palettes.colors import join_colors, list_colors, parse_color
from kmcodec.pictures import Picture, encode_picture, parse_picture
from kmcodec.quantize.choose import find_elbow, trace_curve
from kmcodec.quantize.colorspace import SPACES
from kmcodec.quantize.dither import DITHERS
from kmcodec.quantize.options import EFFORTS, INITS, Iteration, Request, check_options
from kmcodec.quantize.quantizer import CountedPicture, quantize
from kmcodec.report.animate import to_palette
from kmcodec.report.contents import list_contents
from kmcodec.report.measure import measure_parts, measure_size
from kmcodec.report.plots import sample_colors
from kmcodec.studio.lane import Job, Lane
from kmcodec.studio.pace import Pace
from kmcodec.studio.sample import choose_tiles, estimate_index_bytes
from kmcodec.threads import StoppedError, Workers, count_threads

#: Pixels that a picture may have: its colours, rows and results are all held in memory.
MOST_PIXELS = 1 << 26

# Pixels of a preview; and of a smaller one, where that takes long, too.
_PREVIEW_PIXELS = (1 << 16, 1 << 14)

# Seconds that may pass until something is seen of a move: what takes longer has a preview. The browser needs
# as long again.
_SOON = 0.06

# Seconds without a move before something slow begins.
_CALM = 0.25

# Results that can still be fetched: a browser may be some moves behind.
_KEPT_RESULTS = 8


class Settings(NamedTuple):
    """Hold what a user has chosen.

    Attributes
    ----------
    n_colors : int
        K, 1..65536.
    space, init, dither, coding : str
        As for kmcodec.encode.
    locked : tuple of str
        Colours to keep in the palette, as #rrggbb or #rrggbbaa.
    replaced : tuple of (str, str)
        Colours to keep while clusters are sought, and what stands in their place in the file.
    effort, seed, dither_strength, lossy
        As for kmcodec.encode. Those that mean nothing with the others are ignored, and lossy is 0 for none.
    """

    n_colors: int = 16
    space: str = "srgb"
    init: str = "split"
    dither: str = "none"
    coding: str = "packed"
    locked: tuple[str, ...] = ()
    replaced: tuple[tuple[str, str], ...] = ()
    effort: str = "default"
    seed: int = 0
    dither_strength: float = 1.0
    lossy: float = 0.0

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Settings:
        """Return settings as a page sends them, checked.

        Raises
        ------
        TypeError, ValueError
            If one is none.
        """
        return cls(
            check_integer("K", values["n_colors"], 1, MAX_COLORS),
            check_choice("space", values["space"], SPACES),
            check_choice("start", values["init"], INITS),
            check_choice("dithering", values["dither"], ("none", *DITHERS)),
            check_choice("coding", values["coding"], CODINGS),
            tuple(_check_color(color) for color in values["locked"]),
            tuple((_check_color(old), _check_color(new)) for old, new in values["replaced"]),
            check_choice("effort", values["effort"], EFFORTS),
            check_integer("seed", values["seed"], 0, 2**64 - 1),
            check_fraction("dithering strength", values["dither_strength"]),
            check_lossy(values["lossy"], "context", None) or 0.0,
        )

    @property
    def kept(self) -> list[str]:
        """The colours that k-means keeps."""
        return list(dict.fromkeys([*self.locked, *(old for old, _ in self.replaced)]))

    @property
    def kind(self) -> tuple[str, ...]:
        """What decides, beside K, how long colours are sought."""
        return self.space, self.init, self.dither, self.effort

    @property
    def is_lossy(self) -> bool:
        """Whether other colours may be taken where they cost less."""
        return self.lossy > 0 and self.coding == "context" and self.dither == "none"

    def to_options(self) -> dict[str, Any]:
        """Return the options of kmcodec.quantize, and n_colors."""
        kept = self.kept
        options = {"n_colors": max(self.n_colors, len(kept)), "space": self.space, "init": self.init}
        options |= {"effort": self.effort, "dither": self.dither}
        if self.init != "split":
            options["seed"] = self.seed
        if self.dither != "none":
            options["dither_strength"] = self.dither_strength
        if kept:
            options["keep"] = join_colors([parse_color(color) for color in kept])
        return options

    def to_request(self, **options: Any) -> Request:
        """Return the request to the quantizer."""
        return check_options(**{**self.to_options(), **options})

    def to_arguments(self) -> list[str]:
        """Return what kmq encode is told to make the same file; what is replaced, it only keeps."""
        options, defaults = self.to_options(), {**Settings().to_options(), "seed": 0, "dither_strength": 1.0}
        arguments = ["-k", str(options["n_colors"])]
        for name in ("space", "init", "seed", "effort", "dither", "dither_strength"):
            if options.get(name, defaults[name]) != defaults[name]:
                arguments += [f"--{name.replace('_', '-')}", str(options[name])]
        for color in self.kept:
            arguments += ["--keep", color]
        if self.coding != "packed":
            arguments += ["--coding", self.coding]
        if self.is_lossy:
            arguments += ["--lossy", str(self.lossy).removesuffix(".0")]
        return arguments


def _check_color(color: Any) -> str:
    return list_colors(np.array([parse_color(str(color))], np.uint8))[0]


class Numbers(NamedTuple):
    """Hold the numbers of a result, as kmcodec.report has them; None for what is not known yet.

    Attributes
    ----------
    colors, file_bytes, ratio, bits_per_pixel, source_ratio, psnr_db, ssim, delta_e_mean, delta_e_p95
        As in kmcodec.report.Report.
    is_exact : bool
        Whether the pixels are those of the original.
    is_rough : bool
        Whether SSIM and delta E, and of a preview PSNR, too, are those of a sample of the pixels.
    is_size_rough : bool
        Whether the size, and what follows from it, is estimated from such a sample.
    is_complete : bool
        Whether no more will be known: of pictures that are smaller than its windows, SSIM never is.
    """

    colors: int
    file_bytes: int | None
    ratio: float | None
    bits_per_pixel: float | None
    source_ratio: float | None
    psnr_db: float
    ssim: float | None
    delta_e_mean: float | None
    delta_e_p95: float | None
    is_exact: bool
    is_rough: bool
    is_size_rough: bool = False
    is_complete: bool = False


class Result(NamedTuple):
    """Hold what has become of a picture.

    Attributes
    ----------
    version : int
        Later results have larger ones.
    stage : str
        "preview", of fewer pixels; "coding", whose pixels are final, but not the size; "full"; "iteration",
        a step of k-means; "file", a .kmq file that was opened.
    data : bytes
        A .kmq file.
    image : IndexedImage
        What is in it.
    settings : Settings
    name : str
        Of what was opened, without its suffix.
    """

    version: int
    stage: str
    data: bytes
    image: IndexedImage
    settings: Settings
    name: str

    def encode_png(self) -> bytes:
        """Return it as PNG, with the metadata of the picture."""
        return encode_picture(self.image, "PNG", KmqReader(self.data).metadata)


class Opened(NamedTuple):
    """Tell of a picture that has been read.

    Attributes
    ----------
    name : str
    width, height, channels : int
    n_colors : int
        Distinct ones.
    notes : tuple of str
        What could not be taken along.
    source_bytes : int
        Of the file.
    """

    name: str
    width: int
    height: int
    channels: int
    n_colors: int
    notes: tuple[str, ...]
    source_bytes: int


class Inspected(NamedTuple):
    """Tell of a .kmq file that has been read.

    Attributes
    ----------
    name : str
    rows : list of (str, str)
        Labels and values: what is in it.
    faults : list of str
        What is wrong with it, and what could be saved.
    """

    name: str
    rows: list[tuple[str, str]]
    faults: list[str]


class Measured(NamedTuple):
    """Tell the numbers of a result."""

    version: int
    numbers: Numbers


class Traced(NamedTuple):
    """Tell the error for each number of colours.

    Attributes
    ----------
    space : str
        That of the distances.
    n_colors : list of int
    psnr_db : list of float
        Finite: a picture that comes out exactly ends the curve.
    elbow : int
        K.
    """

    space: str
    n_colors: list[int]
    psnr_db: list[float]
    elbow: int


class Sampled(NamedTuple):
    """Tell some of the colours of the picture, shape (n, 3), uint8."""

    colors: NDArray[np.uint8]


class Iterated(NamedTuple):
    """Tell how k-means went: the mean squared error of each iteration."""

    errors: list[float]


class Failed(NamedTuple):
    """Tell what went wrong, in a sentence."""

    message: str


Event: TypeAlias = Result | Opened | Inspected | Measured | Traced | Sampled | Iterated | Failed


@dataclass(eq=False)
class _Subject:
    """Hold a picture that was opened, its colours counted, and what is told of it more than once."""

    source_bytes: int
    sections: tuple[Section, ...]
    levels: tuple[CountedPicture, ...]
    """The picture itself, and previews of fewer and fewer pixels, unless it has few."""
    curves: dict[str, Traced] = field(default_factory=dict)
    history: list[Iteration] = field(default_factory=list)
    pace: Pace = field(default_factory=Pace)
    estimated: tuple[IndexedImage, float] | None = None
    """An image whose size was estimated, and the estimate."""
    bias: float = 1.0
    """By how much the last estimate was wrong."""

    @property
    def counted(self) -> CountedPicture:
        return self.levels[0]

    @property
    def pixels(self) -> NDArray[np.uint8]:
        return self.counted.pixels


class Session:
    """Do what one user wants with one picture at a time.

    Parameters
    ----------
    tell : callable
        Is told each Event, by any thread.
    threads : int, optional
        Default: all processors.
    """

    def __init__(self, tell: Callable[[Event], None], threads: int | None = None) -> None:
        self._tell = tell
        self._threads = threads
        # What one of them does goes on while another one is given something new.
        names = ("results", "sample", "curve", "iterations")
        self._lanes = {name: Lane(self._fail, threads) for name in names}
        # The next move, whenever it comes, finds processors that are free.
        self._lanes["measures"] = Lane(self._fail, max(1, count_threads(threads) // 2))
        self._versions = itertools.count(1)
        # Of all that follows. Lanes are told under it to stop, and what they find is told under it.
        self._lock = threading.RLock()
        self._is_closed = False
        self._opening: Job | None = None
        self._results: dict[int, Result] = {}
        self._name = ""
        self._subject: _Subject | None = None
        self._file: Result | None = None
        self._settings = Settings()

    def close(self) -> None:
        """Stop all work, and forget the picture."""
        with self._lock:
            self._is_closed = True
            if self._opening is not None:
                self._opening.stop()
            for lane in self._lanes.values():
                lane.close()
            self._subject = self._file = None
            self._results.clear()

    # What can be asked for.

    @property
    def original(self) -> NDArray[np.uint8] | None:
        """The picture, shape (height, width, 3 or 4), uint8."""
        subject = self._subject
        return None if subject is None else subject.pixels

    @property
    def settings(self) -> Settings:
        """Those that were set last, without what meant another picture."""
        return self._settings

    def get_result(self, version: int) -> Result | None:
        """Return a result, if it is one of the last."""
        return self._results.get(version)

    # What can be done.

    def open_file(self, name: str, data: bytes) -> None:
        """Read a file, and tell of it: a picture is Opened, a .kmq file Inspected. Blocks until then.

        If another one is opened meanwhile, that one is told of, and nothing of this one.

        Raises
        ------
        KmqError
            If it is neither, damaged beyond reading, or too large.
        """
        with self._opening_file() as job:
            if data.startswith(SIGNATURE):
                self._inspect(job, name, data)
            else:
                self._open(job, name, parse_picture(data, max_pixels=MOST_PIXELS), len(data))

    def compress_again(self) -> None:
        """Take the pixels of the .kmq file that was opened last for a picture."""
        with self._opening_file() as job:
            result = self._file
            if result is not None:
                metadata = replace(KmqReader(result.data).metadata, recipe=None)
                picture = Picture(result.image.to_rgb(), metadata, ())
                self._open(job, f"{result.name}.kmq", picture, len(result.data))

    def set(self, settings: Settings) -> None:
        """Make a result with these settings, unless there is no picture; what is under way is dropped."""
        with self._lock:
            is_changed = settings != self._settings
            self._settings = settings
            subject = self._subject
            if subject is not None:
                if is_changed:
                    # Centroids of other settings would take the place of the result.
                    self._lanes["iterations"].stop()
                    subject.history.clear()
                self._lanes["measures"].stop()
                self._lanes["results"].submit(lambda job: self._make(job, subject, settings))

    def trace_curve(self) -> None:
        """Tell the error curve of the picture in the space of the settings."""
        with self._lock:
            subject, space = self._subject, self._settings.space
            if subject is not None:
                self._lanes["curve"].submit(lambda job: self._trace(job, subject, space))

    def trace_iterations(self) -> None:
        """Tell how k-means goes with the settings."""
        with self._lock:
            subject, settings = self._subject, self._settings
            if subject is not None:
                self._lanes["iterations"].submit(lambda job: self._iterate(job, subject, settings))

    def show_iteration(self, number: int) -> None:
        """Make a result with the centroids of one of the iterations told last."""
        with self._lock:
            subject, settings = self._subject, self._settings
            if subject is None or not 0 <= number < len(subject.history):
                return
            palette = to_palette(subject.history[number])

            def show(job: Job) -> None:
                image = subject.counted.quantize(
                    settings.to_request(palette=palette, dither="none"), job.workers
                )
                self._publish(job, "iteration", write_image(image), image, settings)

            self._lanes["measures"].stop()
            self._lanes["results"].submit(show)

    # How it is done.

    def _fail(self, error: Exception) -> None:
        if isinstance(error, (KmqError, ValueError, TypeError)):
            self._tell(Failed(str(error)))
        elif isinstance(error, MemoryError):
            self._tell(Failed("not enough memory"))
        else:
            logging.getLogger(__name__).exception("an error of kmq studio itself")
            self._tell(Failed(f"an error of kmq studio itself: {type(error).__name__}: {error}"))

    @contextmanager
    def _opening_file(self) -> Iterator[Job]:
        """Say while a file is opened whether it is still wanted: until another one is opened, or all ends."""
        with Workers(self._threads) as workers:
            job = Job(workers)
            with self._lock:
                if self._opening is not None:
                    self._opening.stop()
                self._opening = job
                if self._is_closed:
                    job.stop()
            try:
                yield job
            except (KmqError, MemoryError, StoppedError):
                if not job.is_stopped:
                    raise

    def _open(self, job: Job, name: str, picture: Picture, source_bytes: int) -> None:
        counted = CountedPicture(picture.pixels, job.workers)
        height, width, channels = counted.pixels.shape
        levels = [counted]
        for most in _PREVIEW_PIXELS:
            # Every so many pixels of every so many rows.
            step = 1
            while -(-height // step) * -(-width // step) > most:
                step += 1
            if step > 1:
                small = np.ascontiguousarray(counted.pixels[::step, ::step])
                levels.append(CountedPicture(small, job.workers))
        subject = _Subject(source_bytes, picture.metadata.to_sections(), tuple(levels))
        n_colors = len(counted.histogram.colors)
        with self._lock:
            self._announce(job, Opened(name, width, height, channels, n_colors, picture.notes, source_bytes))
            self._replace(name, subject)
            self._lanes["sample"].submit(lambda job: self._sample(job, subject))
            # Colours of another picture mean nothing here.
            self.set(self._settings._replace(locked=(), replaced=()))

    def _inspect(self, job: Job, name: str, data: bytes) -> None:
        try:
            with KmqReader(data, max_pixels=MOST_PIXELS) as reader:
                image, faults = reader.image(threads=self._threads), []
                rows = list_contents(reader, name)
        except KmqError as error:
            # What is damaged beyond saving raises once more.
            saved = salvage(data, max_pixels=MOST_PIXELS)
            image, faults = self._index(saved.pixels), _describe_damage(saved, error)
            data, rows = write_image(image), []
        with self._lock:
            self._announce(job, Inspected(name, rows, faults))
            self._replace(name, None)
            self._file = self._publish(job, "file", data, image, self._settings)

    def _replace(self, name: str, subject: _Subject | None) -> None:
        """Put a picture, or a .kmq file, in the place of what was opened before."""
        for lane in self._lanes.values():
            lane.stop()
        self._name = os.path.splitext(name)[0]
        self._subject, self._file = subject, None

    def _announce(self, job: Job, event: Event) -> None:
        """Tell what work has found, unless it is out of date by now."""
        with self._lock:
            job.check()
            self._tell(event)

    def _index(self, pixels: NDArray[np.uint8]) -> IndexedImage:
        """Return what was saved as an image; its colours are at most those of a palette, and the fill."""
        return quantize(pixels, MAX_COLORS, threads=self._threads)

    def _make(self, job: Job, subject: _Subject, settings: Settings) -> None:
        level = self._choose_preview(subject, settings)
        if level is not None:
            image = self._quantize(job, subject, settings, level)
            job.check()
            data = write_image(image)
            self._publish_and_measure(job, "preview", data, image, settings, subject, level)
        image = replace(self._quantize(job, subject, settings), sections=subject.sections)
        job.check()
        is_coded_later = settings.coding != "packed" and len(image.palette) > 1
        data = write_image(image, threads=self._threads)
        stage = "coding" if is_coded_later else "full"
        self._publish_and_measure(job, stage, data, image, settings, subject)
        if not is_coded_later:
            return
        job.wait(_CALM)
        if settings.is_lossy:
            data = self._encode_lossy(job, subject, settings)
            image = _replace_colors(KmqReader(data).image(threads=self._threads), settings)
        if settings.replaced or not settings.is_lossy:
            data = write_image(image, coding=settings.coding, threads=self._threads, on_progress=job.check)
        self._publish_and_measure(job, "full", data, image, settings, subject)

    def _encode_lossy(self, job: Job, subject: _Subject, settings: Settings) -> bytes:
        options = {**settings.to_options(), "threads": self._threads}
        return encode_lossy(
            subject.pixels,
            options.pop("n_colors"),
            options,
            settings.lossy,
            None,
            strip_rows=None,
            sections=subject.sections,
            on_progress=job.check,
        )

    def _choose_preview(self, subject: _Subject, settings: Settings) -> int | None:
        """Return the level of the preview that comes first; None if the picture itself comes soon enough."""
        seconds = [
            subject.pace.expect((level, settings.kind), settings.n_colors)
            for level in range(len(subject.levels))
        ]
        if len(seconds) == 1 or (seconds[0] is not None and seconds[0] <= _SOON):
            return None
        quick = [level for level in range(1, len(seconds)) if (seconds[level] or 0) <= _SOON]
        return quick[0] if quick else len(seconds) - 1

    def _quantize(self, job: Job, subject: _Subject, settings: Settings, level: int = 0) -> IndexedImage:
        options = {"effort": "fast"} if level else {}
        start = time.monotonic()
        request = settings.to_request(on_iteration=job.check, **options)
        image = subject.levels[level].quantize(request, job.workers)
        subject.pace.note((level, settings.kind), settings.n_colors, time.monotonic() - start)
        return _replace_colors(image, settings)

    def _publish(self, job: Job, stage: str, data: bytes, image: IndexedImage, settings: Settings) -> Result:
        """Keep a result, and tell of it, unless it is out of date by now."""
        with self._lock:
            job.check()
            result = Result(next(self._versions), stage, data, image, settings, self._name)
            self._results[result.version] = result
            for version in list(self._results)[:-_KEPT_RESULTS]:
                del self._results[version]
            self._tell(result)
        return result

    def _publish_and_measure(
        self,
        job: Job,
        stage: str,
        data: bytes,
        image: IndexedImage,
        settings: Settings,
        subject: _Subject,
        level: int = 0,
    ) -> None:
        original = subject.levels[level].pixels
        # Otherwise a move between the two would leave the measures of a result that it has made out of date.
        with self._lock:
            result = self._publish(job, stage, data, image, settings)
            self._lanes["measures"].submit(lambda job: self._measure(job, original, subject, result))

    def _measure(self, job: Job, original: NDArray[np.uint8], subject: _Subject, result: Result) -> None:
        """Tell the numbers of a result: what is quick; what takes longer of a sample; then of all.

        The original of a preview has as few pixels.
        """
        decoded, header = result.image.to_rgb(), KmqReader(result.data).header
        numbers = _start_numbers(original, decoded, len(result.image.palette))
        if result.stage == "full":
            numbers = _add_size(numbers, header, header.file_bytes, subject.source_bytes)
            if subject.estimated is not None and subject.estimated[0] is result.image:
                subject.bias = header.file_bytes / subject.estimated[1]
        can_see = metrics.has_scikit_image()
        numbers = numbers._replace(is_complete=result.stage == "full" and not can_see)
        self._announce(job, Measured(result.version, numbers))
        # What other colours will save is not known before.
        if result.stage == "coding" and not result.settings.is_lossy:
            rest = header.file_bytes - measure_parts(header).indices
            file_bytes = rest + estimate_index_bytes(result.image, result.settings.coding)
            subject.estimated = result.image, file_bytes
            numbers = _add_size(numbers, header, round(file_bytes * subject.bias), subject.source_bytes)
            numbers = numbers._replace(is_size_rough=True)
            self._announce(job, Measured(result.version, numbers))
        if not can_see:
            return
        tiles = choose_tiles(*original.shape[:2])
        rough = _add_perceived(numbers, original[tiles], decoded[tiles], job)
        self._announce(job, Measured(result.version, rough._replace(is_rough=True)))
        if result.stage != "preview":
            job.wait(_CALM)
            numbers = _add_perceived(numbers, original, decoded, job)
            numbers = numbers._replace(is_complete=result.stage == "full")
            self._announce(job, Measured(result.version, numbers))

    def _sample(self, job: Job, subject: _Subject) -> None:
        self._announce(job, Sampled(sample_colors(subject.pixels)))

    def _trace(self, job: Job, subject: _Subject, space: str) -> None:
        if space not in subject.curves:
            job.wait(_CALM)
            curve = trace_curve(subject.counted.histogram, job.workers, space=SPACES[space])
            elbow = curve[find_elbow([p.n_colors for p in curve], [p.mse for p in curve])].n_colors
            seen = [point for point in curve if point.mse > 0]
            subject.curves[space] = Traced(
                space,
                [point.n_colors for point in seen],
                [metrics.psnr_db(point.mse) for point in seen],
                elbow,
            )
        self._announce(job, subject.curves[space])

    def _iterate(self, job: Job, subject: _Subject, settings: Settings) -> None:
        job.wait(_CALM)
        history: list[Iteration] = []

        def keep(iteration: Iteration) -> None:
            job.check()
            history.append(iteration)

        subject.counted.quantize(settings.to_request(dither="none", on_iteration=keep), job.workers)
        n_pixels = subject.pixels.shape[0] * subject.pixels.shape[1]
        with self._lock:
            self._announce(job, Iterated([iteration.inertia / n_pixels for iteration in history]))
            subject.history[:] = history


def _start_numbers(original: NDArray[np.uint8], decoded: NDArray[np.uint8], n_colors: int) -> Numbers:
    """Return the numbers that follow from the squared error."""
    mse = metrics.mean_squared_error(original, decoded)
    psnr_db = metrics.psnr_db(mse)
    return Numbers(n_colors, None, None, None, None, psnr_db, None, None, None, mse == 0, False)


def _add_size(numbers: Numbers, header: Header, file_bytes: int, source_bytes: int) -> Numbers:
    """Return numbers with those that follow from the size of the file, known or estimated."""
    size = measure_size(header, file_bytes=file_bytes)
    return numbers._replace(
        file_bytes=file_bytes,
        ratio=size.ratio,
        bits_per_pixel=size.bits_per_pixel,
        source_ratio=source_bytes / file_bytes,
    )


def _add_perceived(
    numbers: Numbers, original: NDArray[np.uint8], decoded: NDArray[np.uint8], job: Job
) -> Numbers:
    """Return numbers with those that say what the eye sees."""
    ssim = metrics.structural_similarity(original, decoded, job.workers)
    difference = metrics.measure_color_difference(original, decoded, job.workers)
    return numbers._replace(ssim=ssim, delta_e_mean=difference.mean, delta_e_p95=difference.p95)


def _replace_colors(image: IndexedImage, settings: Settings) -> IndexedImage:
    """Return an image with other colours in the place of some of its palette."""
    if not settings.replaced:
        return image
    palette, channels = image.palette.copy(), image.palette.shape[1]
    for pair in settings.replaced:
        old, new = ((*parse_color(color), 255)[:channels] for color in pair)
        palette[(image.palette == np.array(old, np.uint8)).all(axis=1)] = new
    return replace(image, palette=palette)


def _describe_damage(saved: Any, error: KmqError) -> list[str]:
    """Return what is wrong with a file, and what of it is shown."""
    height = len(saved.pixels)
    lost = sum(stop - start for start, stop in saved.lost)
    fill = "#" + bytes(FILL).hex()
    if lost == 0:
        what = "All rows could be saved."
    else:
        what = f"{height - lost:,} of {height:,} rows could be saved;"
        what += f" rows {show_runs(saved.lost)} are lost, and filled with {fill}."
    if saved.unchecked:
        what += " Some rows lack their checksum."
    faults = [str(fault) for fault in saved.faults[:3]] or [str(error)]
    return [f"The file is damaged: {faults[0]}.", *(f"{fault}." for fault in faults[1:]), what]
