"""How many colours: elbow, targets and sizes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import SAMPLES, fail, names, photo, run, succeed

import kmcodec
from kmcodec.image import MAX_COLORS
from kmcodec.pictures import load_picture
from kmcodec.quantize.choose import CURVE_COLORS, find_elbow, find_least

CHELSEA = SAMPLES / "chelsea.png"


def measure(pixels: np.ndarray[Any, Any], n_colors: int, **options: Any) -> kmcodec.Report:
    """Return the report of an encode."""
    perceptual = options.pop("perceptual", True)
    return kmcodec.report(pixels, kmcodec.encode(pixels, n_colors, **options), perceptual=perceptual)


class TestElbow:
    """The rule of the elbow."""

    def test_by_hand(self) -> None:
        """The point farthest below the line from the first to the last: here, the corner."""
        assert 1 == find_elbow([2, 4, 8, 16], [100, 10, 8, 7])
        assert 2 == find_elbow([1, 2, 3, 4], [90, 60, 10, 0])
        assert 0 == find_elbow([5], [3.0])
        assert 0 == find_elbow([2, 3, 4], [3, 2, 1])

    @pytest.mark.parametrize("name", ["chelsea.png", "chart.png", "icon.png"])
    def test_auto_is_the_elbow_of_tune(self, name: str) -> None:
        """What tune marks is what "auto" takes, with the palette of that many colours."""
        pixels = load_picture(SAMPLES / name)
        curve = kmcodec.tune(pixels, perceptual=False)
        elbow = curve.elbow
        assert elbow in CURVE_COLORS
        place = find_elbow([point.colors for point in curve.points], [point.mse for point in curve.points])
        assert elbow == curve.points[place].colors
        assert kmcodec.encode(pixels, elbow) == kmcodec.encode(pixels, "auto")

    def test_few_colors(self) -> None:
        """A picture of a single colour has that one; kept colours have their places."""
        flat = np.full((5, 5, 3), 7, np.uint8)
        assert 1 == len(kmcodec.quantize(flat, "auto").palette)
        keep = [(i, 0, 0) for i in range(40)]
        assert 40 == len(kmcodec.quantize(photo(), "auto", keep=keep).palette)

    def test_most(self) -> None:
        """max_colors bounds it."""
        assert 3 >= len(kmcodec.quantize(photo(), "auto", max_colors=3).palette)


class TestTargets:
    """target_psnr and target_ssim."""

    @pytest.mark.parametrize("options", [{}, {"space": "oklab"}, {"dither": "diffusion", "max_colors": 512}])
    @pytest.mark.parametrize("target", [25.0, 33.3])
    def test_least_colors_for_psnr(self, target: float, options: dict[str, Any]) -> None:
        """The result reaches the target, and one colour less does not."""
        pixels = load_picture(CHELSEA)
        data = kmcodec.encode(pixels, "auto", target_psnr=target, **options)
        report = kmcodec.report(pixels, data, perceptual=False)
        assert report.psnr_db >= target
        options = {name: value for name, value in options.items() if name != "max_colors"}
        assert kmcodec.encode(pixels, report.colors, **options) == data
        assert measure(pixels, report.colors - 1, perceptual=False, **options).psnr_db < target

    def test_least_colors_for_ssim(self) -> None:
        """The same for SSIM."""
        pytest.importorskip("skimage")
        pixels = photo(60, 80)
        report = kmcodec.report(pixels, kmcodec.encode(pixels, "auto", target_ssim=0.8))
        assert report.ssim is not None
        assert report.ssim >= 0.8
        below = measure(pixels, report.colors - 1).ssim
        assert below is not None
        assert below < 0.8

    def test_both_are_reached(self) -> None:
        """With two targets, the harder one decides."""
        pytest.importorskip("skimage")
        pixels = photo(60, 80)
        counts = [
            len(kmcodec.quantize(pixels, "auto", **targets).palette)
            for targets in (
                {"target_psnr": 30},
                {"target_ssim": 0.5},
                {"target_psnr": 30, "target_ssim": 0.5},
            )
        ]
        assert max(counts[:2]) == counts[2]

    def test_streamed_pictures_have_them_too(self, tmp_path: Path) -> None:
        """A picture that is not in memory gets the same file; what needs its pixels is refused."""
        pixels = photo(60, 80)
        np.save(tmp_path / "a.npy", pixels)
        rows = np.load(tmp_path / "a.npy", mmap_mode="r")
        cases: list[dict[str, Any]] = [
            {},
            {"target_psnr": 30},
            {"max_bytes": 2000},
            {"target_psnr": 20, "max_bytes": 3000},
        ]
        for options in cases:
            kmcodec.write(tmp_path / "a.kmq", rows, "auto", recipe=True, **options)
            expected = kmcodec.encode(pixels, "auto", recipe=True, **options)
            assert expected == (tmp_path / "a.kmq").read_bytes()
        cases = [{"target_ssim": 0.5}, {"target_psnr": 30, "dither": "ordered"}]
        for options in cases:
            with pytest.raises(ValueError, match="in memory"):
                kmcodec.write(tmp_path / "a.kmq", rows, "auto", **options)

    def test_unreachable(self) -> None:
        """The error says what can be reached."""
        pixels = photo()
        reached = measure(pixels, 8).psnr_db
        with pytest.raises(kmcodec.TargetError, match=f"8 colours.*PSNR of {reached:.2f} dB instead of 50"):
            kmcodec.quantize(pixels, "auto", target_psnr=50, max_colors=8)
        # Every picture can be had exactly.
        exact = kmcodec.quantize(pixels[:20], "auto", target_psnr=1000)
        np.testing.assert_array_equal(pixels[:20], exact.to_rgb())

    def test_small_pictures_have_no_ssim(self) -> None:
        """Nor can it be a target."""
        pytest.importorskip("skimage")
        with pytest.raises(kmcodec.TargetError, match="below 7 pixels"):
            kmcodec.quantize(photo(6, 6), "auto", target_ssim=0.5)

    def test_without_scikit_image(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error says how to get it."""
        monkeypatch.setitem(sys.modules, "skimage", None)
        with pytest.raises(kmcodec.MissingExtraError, match="kmcodec.report"):
            kmcodec.quantize(photo(), "auto", target_ssim=0.5)

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ({"n_colors": "some"}, ValueError),
            ({"n_colors": 5, "target_psnr": 30}, ValueError),
            ({"n_colors": 5, "max_colors": 30}, ValueError),
            ({"n_colors": "auto", "max_colors": 0}, ValueError),
            ({"n_colors": "auto", "max_colors": MAX_COLORS + 1}, ValueError),
            ({"n_colors": "auto", "target_psnr": "30"}, TypeError),
            ({"n_colors": "auto", "target_psnr": float("inf")}, ValueError),
            ({"n_colors": "auto", "target_psnr": float("nan")}, ValueError),
            ({"n_colors": "auto", "target_psnr": 0}, ValueError),
            ({"n_colors": "auto", "target_ssim": 1.1}, ValueError),
            ({"n_colors": "auto", "palette": [(0, 0, 0)]}, ValueError),
            ({"n_colors": "auto", "max_colors": 1, "keep": [(0, 0, 0), (1, 1, 1)]}, ValueError),
        ],
    )
    def test_arguments(self, arguments: dict[str, Any], error: type[Exception]) -> None:
        """What makes no sense is refused."""
        with pytest.raises(error):
            kmcodec.quantize(photo(), **arguments)

    @given(st.integers(1, 40), st.integers(1, 500), st.integers(1, 600))
    def test_find_least(self, least: int, span: int, threshold: int) -> None:
        """The first number that reaches the threshold, or the nearest before 1/256 is."""
        most = least + span
        found = find_least(lambda n: n >= threshold, least, most)
        if threshold > most:
            assert found is None
        else:
            expected = max(least, threshold)
            assert found is not None
            assert expected <= found <= expected + 1 + expected // 128
            assert expected == found or found >= 256


class TestSize:
    """max_bytes."""

    @pytest.mark.parametrize(
        "options",
        [{}, {"strip_rows": 7}, {"metadata": kmcodec.Metadata(xmp=b"<x/>")}],
        ids=str,
    )
    @pytest.mark.parametrize("alpha", [False, True])
    @pytest.mark.parametrize("max_bytes", [700, 2000, 4000, 10**6])
    def test_as_many_as_fit(self, max_bytes: int, alpha: bool, options: dict[str, Any]) -> None:
        """The file fits, and one colour more would not, unless the picture has no more."""
        pixels = photo()
        if alpha:
            pixels = np.dstack([pixels, pixels[:, :, 0]])
        data = kmcodec.encode(pixels, MAX_COLORS, max_bytes=max_bytes, **options)
        assert len(data) <= max_bytes
        colors = kmcodec.KmqReader(data).header.n_colors
        if colors < len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)):
            more = kmcodec.encode(pixels, MAX_COLORS, max_bytes=len(data) + 10**5, **options)
            assert len(more) > len(data)
            assert len(kmcodec.encode(pixels, colors + 1, **options)) > max_bytes - 10

    def test_given_colors_are_an_upper_bound(self) -> None:
        """Fewer where they do not fit."""
        pixels = photo()
        assert kmcodec.encode(pixels, 16) == kmcodec.encode(pixels, 16, max_bytes=10**6)
        small = kmcodec.encode(pixels, 16, max_bytes=1400)
        assert kmcodec.KmqReader(small).header.n_colors == 8

    @pytest.mark.parametrize(
        ("options", "least"),
        [
            ({}, "1 colour"),
            ({"palette": [(0, 0, 0), (9, 9, 9)]}, "2 colours"),
            ({"n_colors": "auto", "keep": [(0, 0, 0), (9, 9, 9), (8, 8, 8)]}, "3 colours"),
        ],
    )
    def test_unreachable(self, options: dict[str, Any], least: str) -> None:
        """The error says what the least takes."""
        with pytest.raises(kmcodec.TargetError, match=rf"42 bytes are out of reach: with {least} the file"):
            kmcodec.encode(photo(), **{"max_bytes": 42, **options})

    def test_size_and_quality(self) -> None:
        """Within a size, a quality may be out of reach."""
        with pytest.raises(kmcodec.TargetError, match="out of reach"):
            kmcodec.encode(photo(), "auto", max_bytes=1000, target_psnr=40)


class TestCommand:
    """kmq encode -k auto, --target-psnr, --target-ssim, --max-bytes."""

    @pytest.mark.parametrize(
        ("words", "arguments"),
        [
            (["-k", "auto"], {"n_colors": "auto"}),
            (["--target-psnr", "30"], {"n_colors": "auto", "target_psnr": 30}),
            (["--max-bytes", "60000"], {"n_colors": MAX_COLORS, "max_bytes": 60000}),
            (["-k", "7", "--max-bytes", "60000"], {"n_colors": 7, "max_bytes": 60000}),
            (["-k", "auto", "--max-bytes", "60000"], {"n_colors": "auto", "max_bytes": 60000}),
            (["-k", "99", "--target-psnr", "30"], {"n_colors": "auto", "target_psnr": 30, "max_colors": 99}),
        ],
    )
    def test_is_the_library(self, tmp_path: Path, words: list[str], arguments: dict[str, Any]) -> None:
        """The command gives the file that the library gives."""
        succeed(
            tmp_path, "encode", str(CHELSEA), "-o", "a.kmq", "--quiet", "--recipe", "--strip-metadata", *words
        )
        expected = kmcodec.encode(load_picture(CHELSEA), recipe=True, **arguments)
        assert expected == (tmp_path / "a.kmq").read_bytes()

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (
                ["-k", "4", "--target-psnr", "60"],
                "4 colours, the most that are possible here, reach a PSNR of",
            ),
            (
                ["--max-bytes", "20"],
                "20 bytes are out of reach: with 1 colour the file takes 6324, 6281 of them for metadata",
            ),
        ],
    )
    def test_out_of_reach(self, tmp_path: Path, words: list[str], message: str) -> None:
        """Status 3, one line that says what is reachable, and nothing written."""
        for suffix in (["-o", "a.kmq"], ["-o", "-"]):
            process = run(tmp_path, "encode", str(CHELSEA), *suffix, *words)
            assert (3, b"") == (process.returncode, process.stdout)
            assert message in process.stderr.decode()
            assert 1 == len(process.stderr.splitlines())
        assert [] == names(tmp_path)

    def test_arrays_are_read_whole_where_that_is_needed(self, tmp_path: Path) -> None:
        """A target for SSIM needs all pixels."""
        pytest.importorskip("skimage")
        np.save(tmp_path / "a.npy", photo())
        values = json.loads(succeed(tmp_path, "encode", "a.npy", "--target-ssim", "0.5", "--json"))
        report = kmcodec.report(photo(), (tmp_path / "a.kmq").read_bytes())
        assert values["colors"] == report.colors
        assert report.ssim is not None
        assert report.ssim >= 0.5

    @pytest.mark.parametrize(
        "words",
        [
            ["-k", "some"],
            ["-k", "0"],
            ["--target-psnr", "-1"],
            ["--target-psnr", "inf"],
            ["--target-ssim", "2"],
            ["--max-bytes", "0"],
            ["--palette", str(CHELSEA), "--target-psnr", "9"],
        ],
    )
    def test_usage(self, tmp_path: Path, words: list[str]) -> None:
        """What makes no sense is wrong usage."""
        fail(tmp_path, "encode", str(CHELSEA), "-o", "a.kmq", *words, status=2)

    def test_tune(self, tmp_path: Path) -> None:
        """Text, JSON and plot of the curve."""
        pytest.importorskip("matplotlib")
        words = succeed(tmp_path, "tune", str(CHELSEA), "--plot", "a.svg").decode()
        curve = kmcodec.tune(load_picture(CHELSEA))
        elbow = next(line for line in words.splitlines() if line.endswith("elbow"))
        assert str(curve.elbow) == elbow.split()[0]
        assert b"<svg" in (tmp_path / "a.svg").read_bytes()
        values = json.loads(succeed(tmp_path, "tune", str(CHELSEA), "--json"))
        assert json.loads(json.dumps(curve.to_dict())) == values
        assert "exists already" in fail(tmp_path, "tune", str(CHELSEA), "--plot", "a.svg")
        assert "needs a file" in fail(tmp_path, "tune", str(CHELSEA), "--plot", "-", status=2)
        assert "context-coded" in words.splitlines()[0]
        quick = succeed(tmp_path, "tune", str(CHELSEA), "--quick").splitlines()[0]
        assert b"SSIM" not in quick
        assert b"context" not in quick


class TestTune:
    """kmcodec.tune."""

    def test_points_are_near_single_encodes(self) -> None:
        """Errors are within a few percent of those of quantizing with each K; sizes are exact."""
        pixels = load_picture(CHELSEA)
        for point in kmcodec.tune(pixels, perceptual=False).points:
            report = measure(pixels, point.colors)
            assert (report.file_bytes, report.index_bits) == (point.file_bytes, point.index_bits)
            assert 0.95 < point.mse / report.mse < 1.05

    @pytest.mark.parametrize("threads", [1, 3])
    def test_context_coding(self, threads: int) -> None:
        """Its sizes are near those of encoding with each K, and the same where the palette is exact."""
        for name in ("chelsea.png", "icon.png"):
            pixels = load_picture(SAMPLES / name)
            for point in kmcodec.tune(pixels, perceptual=False, codings=True, threads=threads).points:
                size = len(kmcodec.encode(pixels, point.colors, coding="context"))
                assert 0.9 < (point.context_bytes or 0) / size < 1.1
        pixels = kmcodec.quantize(photo(), 40).to_rgb()
        last = kmcodec.tune(pixels, perceptual=False, codings=True, threads=threads).points[-1]
        expected = len(kmcodec.encode(pixels, 40, coding="context"))
        assert (40, expected) == (last.colors, last.context_bytes)
        assert {None} == {point.context_bytes for point in kmcodec.tune(pixels, perceptual=False).points}

    def test_progress(self) -> None:
        """Each kind of work is told from its beginning to its end."""
        told: list[tuple[str, int, int]] = []
        curve = kmcodec.tune(photo(), codings=True, on_progress=lambda *step: told.append(step))
        count = len(curve.points)
        assert list(range(count + 1)) == [done for name, done, _ in told if name == "measuring"]
        coding = [done for name, done, _ in told if name == "context coding"]
        pixels = count * photo()[:, :, 0].size
        assert (pixels, sorted(coding)) == (coding[-1], coding)
        assert {("measuring", count), ("context coding", pixels)} == {(name, n) for name, _, n in told}

    def test_measures_are_those_of_the_report(self) -> None:
        """SSIM and delta E of a point are what the report says of such a picture."""
        pytest.importorskip("skimage")
        pixels = kmcodec.quantize(photo(), 40).to_rgb()
        last = kmcodec.tune(pixels).points[-1]
        assert (40, 0.0, 1.0, 0.0) == (last.colors, last.mse, last.ssim, last.delta_e_mean)

    @pytest.mark.parametrize("name", ["chelsea.png", "icon.png"])
    def test_measures_of_colors_are_those_of_pixels(self, name: str) -> None:
        """Delta E, taken over the distinct colours, is that over the pixels, with alpha too."""
        pytest.importorskip("skimage")
        pixels = load_picture(SAMPLES / name)
        point = next(point for point in kmcodec.tune(pixels).points if point.colors == 4)
        report = measure(pixels, 4)
        assert point.delta_e_mean == pytest.approx(report.delta_e_mean, rel=0.05)
        assert point.delta_e_p95 == pytest.approx(report.delta_e_p95, rel=0.05)
        assert point.ssim == pytest.approx(report.ssim, rel=0.05)

    @pytest.mark.parametrize("n_colors", [1, 2, 3, 5, 256, 257])
    def test_few_colors(self, n_colors: int) -> None:
        """The curve ends where the picture is exact."""
        pixels = np.zeros((16, 20, 3), np.uint8)
        pixels.reshape(-1, 3)[:n_colors, 0] = np.arange(n_colors) % 256
        pixels.reshape(-1, 3)[:n_colors, 1] = np.arange(n_colors) // 256
        curve = kmcodec.tune(pixels, perceptual=False)
        assert min(n_colors, 256) == curve.points[-1].colors
        assert (curve.points[-1].mse == 0) == (n_colors <= 256)
        json.dumps(curve.to_dict(), allow_nan=False)

    def test_alpha(self) -> None:
        """Errors are those on black and on white, sizes those with alpha."""
        pixels = load_picture(SAMPLES / "icon.png")
        point = next(point for point in kmcodec.tune(pixels, perceptual=False).points if point.colors == 16)
        report = measure(pixels, 16)
        assert report.file_bytes == point.file_bytes
        assert point.mse == pytest.approx(report.mse, rel=0.05)
