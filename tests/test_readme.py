"""What the README says is true."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, SAMPLES, succeed

import kmcodec
from kmcodec.pictures import load_picture

README = (ROOT / "README.md").read_text(encoding="utf-8")


def load_benchmark(name: str) -> Any:
    """Return a benchmark as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with pytest.MonkeyPatch.context() as patch:
        # Benchmarks import one another.
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        spec.loader.exec_module(module)
    return module


def test_savings() -> None:
    """The table of what was saved is what the benchmark prints."""
    savings = load_benchmark("savings")
    names = ["chart.png", "chelsea.png", "coffee.png", "icon.png", "rocket.jpg", "sprite.png"]
    # JPEG decoders differ in the last bit from one another.
    expected = [
        line
        for line in savings.tabulate([SAMPLES / name for name in names], [16, 64])
        if "rocket" not in line
    ]
    table = README.partition("<!-- savings -->\n")[2].partition("\n\n")[0].splitlines()
    assert expected == [line for line in table if "rocket" not in line]


def test_lossy() -> None:
    """The last line but one of the table of lossy coding is what the benchmark measures."""
    lossy = load_benchmark("lossy")
    line = next(line for line in README.partition("<!-- lossy -->\n")[2].splitlines() if "icon.png" in line)
    pixels = load_picture(SAMPLES / "icon.png")
    lower, curve = lossy.trace(pixels, 256)
    ratios = [lossy.compare(point, curve) for point in lower[:-1]]
    assert "| icon.png | " + " | ".join(f"{ratio:.3f}" for ratio in ratios) + " |" == line


def test_palettes() -> None:
    """The errors of kmcodec in the table of palettes are those that the benchmark measures."""
    benchmark = load_benchmark("quantize")
    pictures = [load_picture(SAMPLES / name) for name in ("chart.png", "chelsea.png", "coffee.png")]
    table = README.partition("<!-- palettes -->\n")[2].partition("\n\n")[0].splitlines()

    def measure(k: int, **options: Any) -> list[float]:
        return [benchmark.measure_error(p, kmcodec.quantize(p, k, **options).to_rgb()) for p in pictures]

    ratios: dict[str, list[str]] = {"kmcodec fast": [], "kmcodec best": [], "kmcodec oklab": []}
    for k in (16, 64, 256):
        base = measure(k)
        for method, cells in ratios.items():
            name = method.split()[1]
            errors = measure(k, space=name) if name == "oklab" else measure(k, effort=name)
            mean = benchmark.geometric_mean([a / b for a, b in zip(errors, base, strict=True)])
            cells.append(f"{mean:.3f}")
    for method, cells in ratios.items():
        assert [line for line in table if line.startswith(f"| {method} | {' | '.join(cells)} |")]


#: Blocks of Python that run here; what needs a server does not (test_reading.py has one).
PYTHON_EXAMPLES = [
    block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "example.org" not in block
]

#: Blocks of commands that run here: those under a marker of their own.
SHELL_EXAMPLES = re.findall(r"<!-- example -->\n```sh\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", PYTHON_EXAMPLES, ids=lambda text: text.strip().splitlines()[0])
def test_python_examples(example: str, tmp_path: Path) -> None:
    """The examples in Python run, each by itself, where the samples are."""
    shutil.copytree(SAMPLES, tmp_path / "samples")
    names = set(re.findall(r"^(?:import|from) (\w+)", example, re.MULTILINE))
    if missing := sorted(name for name in names if importlib.util.find_spec(name) is None):
        pytest.skip(f"needs {', '.join(missing)}")
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], cwd=tmp_path, capture_output=True, timeout=300
    )
    assert (0, b"") == (result.returncode, result.stderr)


@pytest.mark.skipif(os.name == "nt", reason="a shell of its own")
@pytest.mark.parametrize("example", SHELL_EXAMPLES, ids=lambda text: text.strip().splitlines()[0])
def test_shell_examples(example: str, tmp_path: Path) -> None:
    """The examples that are marked run in a shell, where the samples are."""
    shutil.copytree(SAMPLES, tmp_path / "samples")
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        ["sh", "-e", "-c", example],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        timeout=300,
    )
    assert (0, b"") == (result.returncode, result.stderr)


def test_number_of_vectors() -> None:
    """The README says how many files there are to test a decoder with."""
    number = len(list((ROOT / "spec" / "vectors").glob("*/*.kmq")))
    assert f"decoder on {number} files" in " ".join(README.split())


def test_report(tmp_path: Path) -> None:
    """The report is what the command prints."""
    pytest.importorskip("skimage")
    shutil.copytree(SAMPLES, tmp_path / "samples")
    succeed(tmp_path, "encode", "samples/chelsea.png", "-k", "16", "-o", "chelsea.kmq")
    block = README.partition("<!-- report -->\n```\n")[2].partition("```")[0]
    assert block == succeed(tmp_path, "report", "samples/chelsea.png", "chelsea.kmq").decode()


def test_links_lead_somewhere() -> None:
    """Every file and every section that the README names is there."""
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
    headings = re.findall(r"^#+ (.*)", README, re.MULTILINE)
    # As GitHub makes them.
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= anchors
