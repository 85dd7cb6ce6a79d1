"""What the README says is true."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shutil
from pathlib import Path

import pytest
from support import ROOT, SAMPLES

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_savings() -> None:
    """The table of what was saved is what the benchmark prints."""
    spec = importlib.util.spec_from_file_location("savings", ROOT / "benchmarks" / "savings.py")
    assert spec is not None
    assert spec.loader is not None
    savings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(savings)
    names = ["chart.png", "chelsea.png", "coffee.png", "icon.png", "rocket.jpg", "sprite.png"]
    # JPEG decoders differ in the last bit from one another.
    expected = [
        line
        for line in savings.tabulate([SAMPLES / name for name in names], [16, 64])
        if "rocket" not in line
    ]
    table = README.partition("<!-- savings -->\n")[2].partition("\n\n")[0].splitlines()
    assert expected == [line for line in table if "rocket" not in line]


def test_python_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example in Python runs."""
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shutil.copytree(SAMPLES, tmp_path / "samples")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(example, names)
    assert "451 300" in output.getvalue()
    assert (48, 64, 3) == names["eye"].shape  # type: ignore[attr-defined]


def test_links_lead_somewhere() -> None:
    """Every file that the README names is there."""
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
