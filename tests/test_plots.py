"""Plots, animations and the page of a report."""

from __future__ import annotations

import html
import io
import itertools
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support import SAMPLES, fail, names, photo, run, succeed

import kmcodec
from kmcodec.report import animate, plots
from kmcodec.report.figures import draw_figures

pytest.importorskip("matplotlib")

CHELSEA = str(SAMPLES / "chelsea.png")
ICON = str(SAMPLES / "icon.png")
KINDS = ("comparison", "palette", "rgb", "oklab", "elbow", "convergence")


def load(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a picture."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def pictures() -> dict[str, NDArray[np.uint8]]:
    """Return pictures of all kinds."""
    pixels = photo()
    return {
        "photo": pixels,
        "alpha": np.dstack([pixels, pixels[:, :, 0]]),
        "nothing but alpha": np.zeros((4, 4, 4), np.uint8),
        "one pixel": photo(1, 1),
        "wide": photo(5, 300),
        "high": photo(300, 5),
    }


@pytest.mark.parametrize("name", pictures())
def test_every_picture_can_be_drawn(name: str) -> None:
    """Whatever the size, alpha and number of colours."""
    pixels = pictures()[name]
    image = kmcodec.quantize(pixels, 8)
    with plots.drawing():
        figures = [
            plots.draw_comparison(pixels, image),
            plots.draw_palette(image),
            plots.draw_space(pixels, image, "rgb"),
            plots.draw_space(pixels, image, "oklab"),
            plots.draw_elbow(kmcodec.tune(pixels, perceptual=False)),
        ]
        for figure in figures:
            assert load(plots.render(figure, "png")).std() > 0


def test_same_figure_same_bytes() -> None:
    """Nothing depends on the clock or on chance."""
    pixels = photo()
    image = kmcodec.quantize(pixels, 8)
    for format_name in plots.FORMATS.values():
        files = []
        for _ in range(2):
            with plots.drawing():
                files.append(plots.render(plots.draw_space(pixels, image, "rgb"), format_name))
        assert files[0] == files[1]


def test_comparison_shows_the_difference() -> None:
    """Eight times the absolute difference, at most 255."""
    a = np.array([[[10, 20, 30]]], np.uint8)
    b = np.array([[[12, 15, 200]]], np.uint8)
    assert [16, 40, 255] == plots.amplify(a, b).ravel().tolist()


def test_sample_is_of_the_colors_that_are_seen() -> None:
    """Distinct, at most 5000, and none of pixels that are fully transparent."""
    rng = np.random.default_rng(0)
    many = rng.integers(0, 256, (200, 200, 3), np.uint8)
    sample = plots.sample_colors(many)
    assert 2500 < len(sample) <= 5000
    assert len(sample) == len(np.unique(sample, axis=0))
    hidden = np.array([[[1, 2, 3, 0], [4, 5, 6, 255]]], np.uint8)
    assert [[4, 5, 6]] == plots.sample_colors(hidden).tolist()


def test_oklab_axes() -> None:
    """Where points lie is Oklab: white, and red as its author gives it."""
    found = plots.locate_colors(np.array([[255, 255, 255], [255, 0, 0]], np.uint8), "oklab")
    expected = np.array([[0, 0, 1], [0.2249, 0.1258, 0.6280]])
    np.testing.assert_allclose(expected, found, atol=2e-3)


def test_figures_of_a_page_have_no_color_of_their_own() -> None:
    """Text and axes are in currentColor; each is an SVG element."""
    pixels = photo()
    image = kmcodec.quantize(pixels, 8)
    figures = draw_figures(pixels, image, {"init": "kmeans++", "seed": 3, "effort": "no such", "space": 5})
    assert 4 == len(figures)
    for figure in figures:
        assert figure.svg.startswith("<svg")
        ElementTree.fromstring(figure.svg)
        assert "currentColor" in figure.svg
    assert "space srgb, init kmeans++, effort default, seed 3" in figures[3].caption


def test_inertia_falls_to_the_error_of_the_result() -> None:
    """Each step of the search has an error that a picture would have; the last is near the palette's."""
    pixels = photo()
    history: list[kmcodec.Iteration] = []
    image = kmcodec.quantize(pixels, 12, init="random", on_iteration=history.append)
    errors = [iteration.inertia / pixels[:, :, 0].size for iteration in history]
    assert errors[0] > errors[-1]
    assert all(b <= 1.02 * a for a, b in itertools.pairwise(errors))
    report = kmcodec.report(pixels, kmcodec.encode(image.to_rgb(), 12), perceptual=False)
    assert errors[-1] == pytest.approx(report.mse, rel=0.05)


class TestAnimation:
    """The iterations, drawn."""

    def test_frames(self) -> None:
        """One for each iteration, and one for the result; all of one size."""
        history: list[kmcodec.Iteration] = []
        options: dict[str, Any] = {"init": "random", "seed": 1}
        kmcodec.quantize(photo(), 4, on_iteration=history.append, **options)
        frames = animate.draw_iterations(photo(), 4, **options)
        assert len(history) + 1 == len(frames)
        assert 1 == len({frame.shape for frame in frames})
        assert (frames[0] != frames[-1]).any()

    def test_alpha(self) -> None:
        """Centroids with alpha are drawn as they are seen."""
        picture = pictures()["alpha"]
        assert len(animate.draw_iterations(picture, 3, axes_space="oklab")) > 1
        assert 1 == len(animate.draw_iterations(pictures()["nothing but alpha"], 3))
        half = kmcodec.Iteration(0, 0.0, np.array([[50.0, 25.0, 0.0, 127.5], [0.0, 0.0, 0.0, 0.0]]))
        assert [[100, 50, 0, 128], [0, 0, 0, 0]] == animate.to_palette(half).tolist()

    @pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
    def test_command(self, tmp_path: Path, suffix: str) -> None:
        """The file has the frames, repeats, and holds the last frame."""
        Image.fromarray(photo()).save(tmp_path / "a.bmp")
        succeed(tmp_path, "animate", "a.bmp", "-k", "4", "--init", "random", "-o", f"a.{suffix}")
        frames = animate.draw_iterations(photo(), 4, init="random")
        with Image.open(tmp_path / f"a.{suffix}") as file:
            assert len(frames) == getattr(file, "n_frames", 1)
            assert 0 == file.info["loop"]
            file.seek(len(frames) - 1)
            found = np.asarray(file.convert("RGB")).astype(int)
        error = np.abs(found - frames[-1])
        assert error.mean() < (2 if suffix == "gif" else 1e-9)

    def test_default_name_and_wrong_suffix(self, tmp_path: Path) -> None:
        """A GIF beside the input; what holds no animation is wrong usage."""
        Image.fromarray(photo()).save(tmp_path / "a.bmp")
        succeed(tmp_path, "animate", "a.bmp", "-k", "2")
        assert ["a.bmp", "a.gif"] == names(tmp_path)
        assert ".gif, .webp or .png" in fail(tmp_path, "animate", "a.bmp", "-o", "a.jpg", status=2)
        assert "exists already" in fail(tmp_path, "animate", "a.bmp", "-k", "2")


class TestCommand:
    """kmq plot, and kmq report --html."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_plot_encodes_where_there_is_no_file(self, tmp_path: Path, kind: str) -> None:
        """The original is enough; the plot lies beside it."""
        Image.fromarray(photo()).save(tmp_path / "a.bmp")
        succeed(tmp_path, "plot", kind, "a.bmp", "-k", "5")
        assert {"a.bmp", f"a-{kind}.png"} == set(names(tmp_path))
        assert load((tmp_path / f"a-{kind}.png").read_bytes()).std() > 0

    @pytest.mark.parametrize("kind", ["comparison", "palette", "rgb", "oklab"])
    def test_plot_of_a_file(self, tmp_path: Path, kind: str) -> None:
        """A file is drawn as it is; it is what encoding the original in the same way would draw."""
        succeed(tmp_path, "encode", ICON, "-o", "a.kmq", "-k", "5", "--quiet")
        succeed(tmp_path, "plot", kind, ICON, "a.kmq", "-o", "a.png")
        succeed(tmp_path, "plot", kind, ICON, "-k", "5", "-o", "b.png")
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()

    @pytest.mark.parametrize("suffix", ["svg", "pdf"])
    def test_formats(self, tmp_path: Path, suffix: str) -> None:
        """The suffix says the format; a palette can be drawn of a .kmq file alone."""
        succeed(tmp_path, "encode", ICON, "-o", "a.kmq", "-k", "5", "--quiet")
        succeed(tmp_path, "plot", "palette", "a.kmq", "-o", f"a.{suffix}")
        start = (tmp_path / f"a.{suffix}").read_bytes()[:200]
        assert {"svg": b"<?xml", "pdf": b"%PDF"}[suffix] in start

    def test_plot_to_a_pipe(self, tmp_path: Path) -> None:
        """Standard output gets a PNG."""
        assert load(succeed(tmp_path, "plot", "palette", ICON, "-k", "5", "-o", "-")).std() > 0

    @pytest.mark.parametrize(
        ("words", "message", "status"),
        [
            (["elbow", ICON, "a.kmq"], "of the original alone", 2),
            (["no-such", ICON], "KIND must be comparison", 2),
            (["palette", ICON, "-o", "a.bmp"], "plots are written as .png, .svg, .pdf", 2),
            (["rgb", CHELSEA, "a.kmq", "-o", "a.png"], "has 128 x 128 pixels, the original 451 x 300", 1),
            (["convergence", "a.kmq", "-o", "a.png"], "nothing to iterate", 1),
            (["rgb", "no such file"], "No such file", 1),
        ],
    )
    def test_errors(self, tmp_path: Path, words: list[str], message: str, status: int) -> None:
        """Each in a line, and nothing is written."""
        succeed(tmp_path, "encode", ICON, "-o", "a.kmq", "-k", "5", "--quiet")
        assert message in fail(tmp_path, "plot", *words, status=status)
        assert ["a.kmq"] == names(tmp_path)

    def test_html(self, tmp_path: Path) -> None:
        """The page is one file, has what the text has, and an existing one is not replaced."""
        succeed(tmp_path, "encode", ICON, "-o", "a.kmq", "-k", "5", "--quiet")
        words = succeed(tmp_path, "report", ICON, "a.kmq", "--html", "a.html").decode()
        page = (tmp_path / "a.html").read_text(encoding="utf-8")
        for number in re.findall(r"\d[\d,.]+\d", words.partition("What it takes")[2]):
            assert number in page
        assert page.count("<svg") >= 4
        assert "exists already" in fail(tmp_path, "report", ICON, "a.kmq", "--html", "a.html")

    def test_html_says_infinite(self, tmp_path: Path) -> None:
        """An exact copy has no PSNR in numbers in the page either."""
        sprite = str(SAMPLES / "sprite.png")
        succeed(tmp_path, "encode", sprite, "-o", "a.kmq", "--quiet")
        succeed(tmp_path, "report", sprite, "a.kmq", "--html", "a.html")
        page = (tmp_path / "a.html").read_text(encoding="utf-8")
        assert "infinite: no pixel has an error" in page
        assert not re.search(r"\b(inf|nan)\b", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots say how to get it, before any work; the page does without figures, and says so."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(kmcodec.MissingExtraError, match="kmcodec.report"), plots.drawing():
        pass
    with pytest.raises(kmcodec.MissingExtraError, match="kmcodec.report"):
        animate.draw_iterations(photo(), 4)
    # As if it were broken, in a process of its own.
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    succeed(tmp_path, "encode", ICON, "-o", "a.kmq", "-k", "5", "--quiet")
    environment = {"PYTHONPATH": str(tmp_path)}
    for words in (["plot", "palette"], ["animate"], ["tune", "--plot", "a.png"]):
        process = run(tmp_path, *words, ICON, environment=environment)
        assert (1, f"kmq: {plots.HINT}\n") == (process.returncode, process.stderr.decode())
    process = run(tmp_path, "report", ICON, "a.kmq", "--html", "a.html", environment=environment)
    assert (0, b"") == (process.returncode, process.stderr)
    assert html.escape(plots.HINT) in (tmp_path / "a.html").read_text(encoding="utf-8")
