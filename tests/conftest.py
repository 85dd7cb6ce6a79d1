"""Say which package is tested; refuse to test uncompiled sources by mistake; serve files to tests."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from support import RangeHandler, serving

import kmcodec

settings.register_profile("kmcodec", deadline=None, print_blob=True)
settings.load_profile("kmcodec")

_LOCATION = Path(kmcodec.__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Stop where the checkout's sources would be tested instead of the installed package."""
    if _LOCATION.parent == config.rootpath and not kmcodec.COMPILED:
        raise pytest.UsageError(
            f"the tests would run the uncompiled sources in {_LOCATION}; install the package"
            " (pip install '.[test]') and run pytest, not python -m pytest"
        )


def pytest_report_header() -> str:
    """Name the package under test."""
    state = "compiled" if kmcodec.COMPILED else "NOT COMPILED (no C compiler at installation?)"
    return f"kmcodec {kmcodec.__version__}, kernels {state}, in {_LOCATION}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serve a folder over HTTP; return its address."""
    handler = functools.partial(RangeHandler, directory=str(tmp_path))
    with serving(handler) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start a browser, for all tests of a module. Types of playwright are not named: it need not be there."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="pages are tested in a browser through playwright, which is missing"
    )
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        pytest.skip(f"pages are tested in a browser, and there is none of {', '.join(names)}")
    with playwright.sync_playwright() as driver:
        # Without a sandbox of its own, since containers forbid it; the pages are ours.
        chromium = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()
