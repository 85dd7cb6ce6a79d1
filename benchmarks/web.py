"""Compare the decoder for browsers with the browser's own PNG decoder, and with the compiled kernel.

    python benchmarks/web.py PICTURE... [-k 16 64 256] [--repeats 9]

In a headless Chromium, in turn, on one thread: packed decoding to pixels on a canvas (decode, putImageData),
and createImageBitmap of a palette PNG of the same pixels, drawn on a canvas; after both one pixel is read, so
that nothing is put off. Beside them context decoding to indices, in the browser, and by kmcodec.decode with
one thread. Times are the least of the repeats, for machines are noisy; ratios are above 1 where web/ is
faster.
"""

from __future__ import annotations

import argparse
import base64
import functools
import http.server
import shutil
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import kmcodec
from kmcodec.container.writer import write_image
from kmcodec.pictures import encode_picture, load_picture

ROOT = Path(__file__).resolve().parent.parent

PAGE = """<!doctype html><meta charset=utf-8><script type=module>
import { decode } from "/web/kmq.js";
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
window.measure = async (png, packed, context, repeats) => {
    const files = [png, packed, context].map(bytesOf);
    const blob = new Blob([files[0]], { type: "image/png" });
    const canvas = document.createElement("canvas");
    const { width, height } = decode(files[1]);
    Object.assign(canvas, { width, height });
    const drawing = canvas.getContext("2d", { willReadFrequently: true });
    drawing.globalCompositeOperation = "copy";
    // The clock of a browser is coarse.
    const timesEach = Math.ceil(2 ** 16 / (width * height));
    const runs = {
        png: async () => {
            const bitmap = await createImageBitmap(blob);
            drawing.drawImage(bitmap, 0, 0);
            bitmap.close();
            return drawing.getImageData(width - 1, height - 1, 1, 1).data.join();
        },
        packed: async () => {
            drawing.putImageData(new ImageData(decode(files[1]).rgba, width, height), 0, 0);
            return drawing.getImageData(width - 1, height - 1, 1, 1).data.join();
        },
        context: async () => decode(files[2]).indices.length,
    };
    const times = { png: [], packed: [], context: [] };
    const pixels = {};
    for (let repeat = 0; repeat < repeats; repeat++) {
        for (const [name, run] of Object.entries(runs)) {
            const start = performance.now();
            for (let i = 0; i < timesEach; i++) pixels[name] = await run();
            times[name].push((performance.now() - start) / timesEach);
        }
    }
    if (pixels.png !== pixels.packed) throw new Error(`${pixels.png} is not ${pixels.packed}`);
    return Object.fromEntries(Object.entries(times).map(([name, all]) => [name, Math.min(...all)]));
};
</script>"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serve the checkout and the page."""

    def do_GET(self) -> None:  # named by http.server
        """Send the page, or a module."""
        if self.path != "/":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.encode())
        return None

    def log_message(self, *arguments: object) -> None:
        """Stay silent."""


def main() -> None:
    """Print a row for each picture and K, and the ratios of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pictures", metavar="PICTURE", nargs="+")
    parser.add_argument("-k", type=int, nargs="+", default=[16, 64, 256], metavar="K")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    if not kmcodec.COMPILED:
        raise SystemExit("the kernels are not compiled: there is nothing to measure")
    from playwright.sync_api import sync_playwright

    handler = functools.partial(Handler, directory=str(ROOT))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as driver:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        page.wait_for_function("window.measure !== undefined")
        print("| picture | K | PNG, ms | packed, ms | ratio | context, ms | kernel, ms | ratio |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|")
        ratios = [compare(page, path, k, options.repeats) for path in options.pictures for k in options.k]
        browser.close()
        server.shutdown()
    for name, column in zip(("packed to PNG", "context to kernel"), zip(*ratios, strict=True), strict=True):
        print(f"\n{name}: least {min(column):.2f}, median {statistics.median(column):.2f}, of {len(column)}")


def compare(page: Any, path: str, k: int, repeats: int) -> tuple[float, float]:
    """Print the row of a picture and K; return its ratios."""
    image = kmcodec.quantize(load_picture(path), k)
    packed, context = write_image(image), write_image(image, coding="context")
    files = [base64.b64encode(data).decode() for data in (encode_picture(image), packed, context)]
    # Before and after, for the machine may be busier at one time than at the other.
    kernel = [seconds(context) for _ in range(repeats // 2)]
    times = page.evaluate("(given) => measure(...given)", [*files, repeats])
    kernel += [seconds(context) for _ in range(repeats - repeats // 2)]
    kernel_ms = 1000 * min(kernel)
    ratios = times["png"] / times["packed"], kernel_ms / times["context"]
    columns = [times["png"], times["packed"], ratios[0], times["context"], kernel_ms, ratios[1]]
    print(f"| {Path(path).name} | {k} | {' | '.join(f'{value:.2f}' for value in columns)} |", flush=True)
    return ratios


def seconds(data: bytes) -> float:
    """Return how long the compiled kernel takes for a file."""
    start = time.perf_counter()
    kmcodec.decode(data, threads=1)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
