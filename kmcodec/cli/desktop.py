"""kmq desktop: what makes .kmq files known to a freedesktop system, put into its folders, or removed."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from importlib.resources import files

from kmcodec.cli.arguments import SHELLS
from kmcodec.cli.completion import make_script
from kmcodec.cli.failures import CommandError, naming
from kmcodec.cli.outputs import write

#: What is installed below the folder of shared data: a file of kmcodec/desktop or the completion for a shell,
#: and what it is for.
FILES = {
    "mime/packages/kmq.xml": ("kmq.xml", "the media type image/x-kmq"),
    "thumbnailers/kmq.thumbnailer": ("kmq.thumbnailer", "thumbnails in file managers"),
    "bash-completion/completions/kmq": ("bash", "completion for bash"),
    "zsh/site-functions/_kmq": ("zsh", "completion for zsh; the folder has to be in its fpath"),
    "fish/vendor_completions.d/kmq.fish": ("fish", "completion for fish"),
    "man/man1/kmq.1": ("kmq.1", "this page"),
    "kmcodec/kmq.magic": ("kmq.magic", "magic for file(1), to be appended to ~/.magic"),
}

# One of these is in each of them.
_MARKS = (b"image/x-kmq", b'made by "kmq completion ', b"kmcodec.cli.manpage")


def run(options: argparse.Namespace) -> int:
    """Install or remove the files, and name each."""
    folder = _find_share(options.prefix)
    paths = {os.path.join(folder, *name.split("/")): source for name, (source, _) in FILES.items()}
    if options.action == "install":
        for path in filter(_is_foreign, paths):
            raise CommandError(f"{path}: exists already, and was not made by kmcodec; move it away")
        for path, source in paths.items():
            _install(path, _make(source))
            print(f"installed {path}")
        _print_hints(folder)
    else:
        for path in paths:
            if _is_foreign(path):
                print(f"left {path}, which was not made by kmcodec")
            elif _remove(path):
                print(f"removed {path}")
    _update(folder)
    return 0


def _find_share(prefix: str | None) -> str:
    """Return the folder of what programs share."""
    if prefix is not None:
        return os.path.join(os.path.abspath(prefix), "share")
    # The standard says of a relative path that it is to be ignored.
    home = os.environ.get("XDG_DATA_HOME", "")
    return home if os.path.isabs(home) else os.path.expanduser(os.path.join("~", ".local", "share"))


def _make(source: str) -> str:
    """Return the contents of a file."""
    if source in SHELLS:
        return make_script(source)
    return _write_thumbnailer() if source == "kmq.thumbnailer" else _read(source)


def _read(name: str) -> str:
    return files("kmcodec").joinpath("desktop", name).read_text(encoding="utf-8")


def _write_thumbnailer() -> str:
    """Return the entry with this kmq, which need not be in the PATH of the desktop."""
    name = os.path.abspath(sys.argv[0])
    is_kmq = os.path.basename(name).startswith("kmq") and os.access(name, os.X_OK)
    words = [name] if is_kmq else [sys.executable, "-m", "kmcodec"]
    # A percent sign has a meaning there.
    command = shlex.join(words).replace("%", "%%")
    return (
        _read("kmq.thumbnailer").replace("Exec=kmq ", f"Exec={command} ").replace("=kmq\n", f"={words[0]}\n")
    )


def _is_foreign(path: str) -> bool:
    """Return whether there is something that this command has not made, in whatever version."""
    if not os.path.lexists(path):
        return False
    with naming(path):
        if not os.path.isfile(path):
            return True
        with open(path, "rb") as file:
            data = file.read()
    return not any(mark in data for mark in _MARKS)


def _install(path: str, text: str) -> None:
    with naming(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    write(path, text.encode(), force=True)


def _remove(path: str) -> bool:
    """Remove a file if it is there, and say whether it was."""
    with naming(path):
        try:
            os.unlink(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


def _update(folder: str) -> None:
    """Let the database of media types know."""
    mime = os.path.join(folder, "mime")
    program = shutil.which("update-mime-database")
    if program is None or not os.path.isdir(os.path.join(mime, "packages")):
        return
    result = subprocess.run([program, mime], capture_output=True, text=True, check=False)
    if result.returncode:
        raise CommandError(f"update-mime-database {mime}: {' '.join(result.stderr.split())}")


def _print_hints(folder: str) -> None:
    """Say what has no folder in which it would be found."""
    functions = shlex.quote(os.path.join(folder, "zsh", "site-functions"))
    magic = shlex.quote(os.path.join(folder, "kmcodec", "kmq.magic"))
    print(f"for zsh, unless it is there: fpath=({functions} $fpath) in ~/.zshrc, before compinit")
    print(f"for file(1): cat {magic} >> ~/.magic")
