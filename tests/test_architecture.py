"""The house: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

PACKAGE = ROOT / "kmcodec"

# Each part with all that it may import of kmcodec (itself aside). Only downward.
ALLOWED = {
    "errors": set(),
    "checks": set(),
    "threads": {"checks"},
    "files": set(),
    "kernels": set(),
    "image": set(),
    "pictures": {"errors", "image", "metadata", "rows", "threads"},
    "metrics": {"errors", "threads"},
    "quantize": {"checks", "errors", "image", "kernels", "metrics", "threads"},
    "metadata": {"checks", "image"},
    "version": set(),
    "recipe": {"checks", "image", "quantize", "version"},
    "budget": {"checks", "container", "errors", "image"},
    "coding": {"errors", "image", "kernels"},
    "container": {"checks", "coding", "errors", "files", "image", "metadata", "threads"},
    "rows": {"errors"},
    "lossy": {"budget", "checks", "coding", "container", "image", "quantize", "threads"},
    "streaming": {"budget", "checks", "container", "lossy", "metadata", "quantize", "recipe", "threads"},
    "codec": {
        "budget",
        "checks",
        "container",
        "files",
        "lossy",
        "metadata",
        "quantize",
        "recipe",
        "streaming",
        "threads",
    },
    "palettes": {"checks", "container", "errors", "files", "image", "pictures"},
    "thumbnails": {"container"},
    "report": {
        "checks",
        "container",
        "errors",
        "image",
        "metadata",
        "metrics",
        "palettes",
        "pictures",
        "quantize",
        "recipe",
        "threads",
    },
    "studio": {
        "checks",
        "container",
        "errors",
        "image",
        "lossy",
        "metadata",
        "metrics",
        "palettes",
        "pictures",
        "quantize",
        "report",
        "threads",
    },
    "plugins": {
        "checks",
        "codec",
        "container",
        "errors",
        "image",
        "metadata",
        "pictures",
        "recipe",
    },
    # The command line may use all.
    "cli": {path.stem for path in PACKAGE.iterdir() if path.stem != "__main__"},
    "__main__": {"cli"},
    # The public names come from everywhere.
    "": {
        "version",
        "codec",
        "container",
        "errors",
        "image",
        "kernels",
        "metadata",
        "palettes",
        "plugins",
        "quantize",
        "report",
    },
}


HOUSE = {path.stem for path in PACKAGE.iterdir()}


def part_of(module: str) -> str:
    """Return the part of the house to which a module of kmcodec belongs."""
    return module.split(".")[1] if "." in module else ""


def imports_of(path: Path) -> set[str]:
    """Return the modules that a source file imports, anywhere in it."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            if node.module == "kmcodec":
                modules |= {
                    f"kmcodec.{alias.name}" if alias.name in HOUSE else node.module for alias in node.names
                }
            else:
                modules.add(node.module)
    return modules


SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downward(path: Path) -> None:
    """A part imports only what lies below it."""
    relative = path.relative_to(PACKAGE)
    part = relative.parts[0].removesuffix(".py")
    part = "" if part == "__init__" else part
    used = {part_of(module) for module in imports_of(path) if module.split(".")[0] == "kmcodec"}
    assert used - {part} - ALLOWED[part] == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_pictures_and_the_plugin_import_pillow(path: Path) -> None:
    """Pillow and its plugins are imported by pictures.py, and by kmcodec's plugin for Pillow."""
    uses_pillow = any(module.split(".")[0] in ("PIL", "pillow_jxl") for module in imports_of(path))
    assert uses_pillow == (path.relative_to(PACKAGE).as_posix() in ("pictures.py", "plugins/pillow.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_studio_imports_a_web_server(path: Path) -> None:
    """NiceGUI and what it stands on are imported by the studio."""
    used = {module.split(".")[0] for module in imports_of(path)}
    assert used.isdisjoint({"nicegui", "fastapi", "starlette", "uvicorn"}) or path.parent.name == "studio"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_prints(path: Path) -> None:
    """Cli is the sole user of print."""
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not calls or path.parent.name == "cli"


def run_python(code: str) -> str:
    """Return what a fresh interpreter prints; from a folder without sources, so for the installed package."""
    folder = Path(sys.executable).parent
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    return run.stdout


def test_import_is_light() -> None:
    """Importing kmcodec loads neither Pillow nor NumPy nor any optional package."""
    loaded = set(run_python("import sys, kmcodec; print(*sys.modules)").split())
    assert "kmcodec" in loaded
    assert loaded & {"numpy", "PIL", "bitarray", "skimage", "matplotlib", "hypothesis"} == set()


@pytest.mark.parametrize("module", ["container.reader", "plugins.pillow"])
def test_decoding_does_not_load_the_quantizer(module: str) -> None:
    """The decoder never reaches quantize, nor does opening a file in another program."""
    loaded = set(run_python(f"import sys, kmcodec.{module}; print(*sys.modules)").split())
    assert "kmcodec.coding.packed" in loaded
    assert "kmcodec.quantize" not in loaded


def test_functions_are_not_hidden_by_packages() -> None:
    """kmcodec.quantize and kmcodec.report are the functions, whatever was imported before."""
    code = (
        "import kmcodec.quantize.lloyd, kmcodec.report.measure, kmcodec as k;"
        "print(callable(k.quantize), callable(k.report), sorted(k.__all__) == sorted(k._HOMES))"
    )
    assert ["True", "True", "True"] == run_python(code).split()


def test_every_public_name_is_there() -> None:
    """Each name in __all__ can be had."""
    import kmcodec

    assert [name for name in kmcodec.__all__ if not hasattr(kmcodec, name)] == []
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(kmcodec, "no_such_name")  # noqa: B009  # mypy knows that it is missing
