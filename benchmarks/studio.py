"""Measure kmq studio: milliseconds from a move in the page to the result that is drawn, and to its numbers.

In headless Chromium, which playwright drives; with a photograph of some megapixels made from samples/. K goes
from 16 to about 90, then a step down and up.

    python benchmarks/studio.py [--moves 20] [--megapixels 1] [--chromium PATH]
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent

# Remember when the last move was; then when something was first drawn after it, and all of it; and when
# numbers first changed.
WATCH = """() => {
  window.times = {};
  const until = (name) => { window.times[name] ??= performance.now() - window.times.start; };
  document.addEventListener("input", () => { window.times = { start: performance.now() }; }, true);
  window.addEventListener("kmq-shown", ({ detail }) =>
    requestAnimationFrame(() => {
      until("drawn");
      if (["full", "coding"].includes(detail.stage)) until("full");
    }));
  const watch = (name) => new MutationObserver(() => until(name)).observe(
    document.querySelector(`[data-number=${name}]`), { characterData: true, childList: true, subtree: true });
  watch("psnr");
  watch("ssim");
}"""


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=20)
    parser.add_argument("--megapixels", type=float, default=1)
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "photo.png")
        with Image.open(ROOT / "samples" / "coffee.png") as picture:
            height = round((options.megapixels * 1e6 / 1.5) ** 0.5)
            size = (round(1.5 * height), height)
            picture.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(path)
        server = subprocess.Popen(
            [sys.executable, "-m", "kmcodec", "studio", str(path), "--no-browser"],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        address = re.search(r"http\S+", server.stdout.readline())
        assert address is not None
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
                heads = ("drawn", "in full", "PSNR", "SSIM (rough)")
                print(" " * 22 + "".join(f"{head:>14}" for head in heads) + "   median (worst), ms")
                for settings in (
                    {},
                    {"space": "oklab"},
                    {"dither": "diffusion"},
                    {"dither": "ordered"},
                    {"coding": "context"},
                ):
                    # Of its own, since settings last over a reload.
                    page = browser.new_page()
                    page.goto(address[0])
                    measure(page, settings, options.moves)
                    page.close()
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(10)


def measure(page: Page, settings: dict[str, str], moves: int) -> None:
    """Print a row."""
    page.wait_for_selector("[data-stage=full]")
    page.evaluate(WATCH)
    for name, value in settings.items():
        page.check(f"input[name={name}][value={value}]", force=True)
    page.wait_for_timeout(3000)
    page.focus("#k")
    rows = []
    for i in range(moves):
        # Up to about 90 colours and down again.
        page.keyboard.press("PageUp" if i < 3 else "ArrowRight" if i % 2 else "ArrowLeft")
        names = ("drawn", "full", "psnr", "ssim")
        page.wait_for_function("(names) => names.every((name) => name in window.times)", arg=names)
        rows.append([page.evaluate("window.times")[name] for name in names])
        page.wait_for_timeout(400)
    print(f"{' '.join(settings.values()) or 'as it comes':<22}" + "".join(map(show, zip(*rows, strict=True))))


def show(values: Sequence[Any]) -> str:
    """Return a cell."""
    return f"{statistics.median(values):.0f} ({max(values):.0f})".rjust(14)


if __name__ == "__main__":
    main()
