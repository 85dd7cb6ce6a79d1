"""What kmq says of itself, and to those who use it wrongly."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from PIL import Image
from support import ROOT, photo, run, succeed
from test_architecture import run_python

import kmcodec
from kmcodec.cli.arguments import MAIN_COMMANDS, build_parser
from kmcodec.cli.manpage import make_man_page

COMMANDS = build_parser().commands
EXAMPLES = [example for command in COMMANDS.values() for example, _ in command.examples]


def test_help_fits_a_screen(tmp_path: Path) -> None:
    """Help fits 24 lines of 80 columns; five commands have an example each, all others are named."""
    text = succeed(tmp_path, "--help").decode()
    lines = text.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert ("encode", "decode", "info", "verify", "report") == MAIN_COMMANDS
    for name, command in COMMANDS.items():
        if name in MAIN_COMMANDS:
            assert [True] == [line.endswith(command.examples[0][0]) for line in lines if f"  {name} " in line]
        else:
            assert re.search(rf"Also: .*\b{name}\b", text, re.DOTALL)


def test_help_of_nothing(tmp_path: Path) -> None:
    """Without any word, the help comes as an error."""
    process = run(tmp_path)
    assert (2, b"") == (process.returncode, process.stdout)
    assert succeed(tmp_path, "--help") == process.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command's help fits 80 columns, names all that the command takes, and ends with examples."""
    with pytest.raises(SystemExit, match="0"):
        build_parser().parse_args([name, "--help"])
    text = capsys.readouterr().out
    assert text.startswith(f"usage: kmq {name} ")
    assert max(map(len, text.splitlines())) <= 80
    assert all(flag in text for flag in COMMANDS[name].flags())
    assert 2 <= len(COMMANDS[name].examples) <= 4
    assert all(f"\n  {example}" in text for example, _ in COMMANDS[name].examples)


def test_ways_to_help(tmp_path: Path) -> None:
    """Help, --help and -h are one, before and behind other words."""
    expected = succeed(tmp_path, "encode", "--help")
    for words in ("help encode", "encode -h", "encode missing.png -k 3 -h"):
        assert expected == succeed(tmp_path, *words.split())
    assert succeed(tmp_path, "--help") == succeed(tmp_path, "help") == succeed(tmp_path, "-h")
    process = run(tmp_path, "help", "encod")
    assert (2, b"kmq: no command 'encod'; did you mean encode?\n") == (process.returncode, process.stderr)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("encod photo.png", "kmq: no command 'encod'; did you mean encode?"),
        ("convert photo.png", "kmq: no command 'convert'; did you mean encode?"),
        ("re photo.png", "kmq: no command 're'; did you mean report or recode?"),
        ("sing", "kmq: no command 'sing'; \"kmq --help\" lists them"),
        ("photo.png -k 16", "kmq: 'photo.png' is no command; did you mean \"kmq encode photo.png -k 16\"?"),
        ("x.kmq", "kmq: 'x.kmq' is no command; did you mean \"kmq decode x.kmq\"?"),
        (
            "-k 16 photo.png",
            'kmq: the command comes before its options; did you mean "kmq encode -k 16 photo.png"?',
        ),
        ("--versoin", "kmq: no option --versoin; did you mean --version?"),
        ("encode a.png --colours 16", "kmq encode: no option --colours; did you mean --colors?"),
        ("encode a.png --ditter ordered", "kmq encode: no option --ditter; did you mean --dither?"),
        ("encode a.png --colours=16", "kmq encode: no option --colours; did you mean --colors?"),
        ("encode a.png --strip_rows 3", "kmq encode: no option --strip_rows; did you mean --strip-rows?"),
        ("encode a --targ 3", "kmq encode: no option --targ; did you mean --target-psnr or --target-ssim?"),
        ("encode a.png --overwrite", "kmq encode: no option --overwrite; did you mean --force?"),
        ("info a.kmq --fill red", "kmq info: no option --fill; kmq decode has one"),
        ("encode a.png --sing", 'kmq encode: no option --sing; "kmq encode --help" lists them'),
        ("recode a.kmq --codng packed", "kmq recode: no option --codng; did you mean --coding?"),
        (
            "encode a.png --coding contxt",
            "kmq encode: --coding must be packed or context, found 'contxt'; did you mean context?",
        ),
        ("encode a.png -k0", "kmq encode: -k/--colors must be an integer of 1..65536, found '0'"),
        ("encode a.png --force=1", "kmq encode: --force takes no value, found '1'"),
        ("encode a.png -k", "kmq encode: -k/--colors needs a value: N|auto"),
        ("encode a.png -k --force", "kmq encode: -k/--colors needs a value: N|auto"),
        ("encode", "kmq encode: INPUT is missing, as in: kmq encode photo.png -k 16"),
        (
            "report",
            "kmq report: ORIGINAL, IN.kmq are missing, as in: kmq report photo.png photo.kmq",
        ),
        (
            "info a.kmq b.kmq",
            "kmq info: one argument too many: 'b.kmq'; usage: kmq info IN.kmq [OPTION...]",
        ),
        (
            "desktop instal",
            "kmq desktop: ACTION must be install or uninstall, found 'instal'; did you mean install?",
        ),
    ],
)
def test_errors_suggest(line: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage ends with status 2 and one line that says what was wrong, and what may be meant."""
    with pytest.raises(SystemExit, match="2"):
        build_parser().parse_args(line.split())
    assert ("", f"{expected}\n") == capsys.readouterr()


@pytest.mark.parametrize("words", [["a\nb.png"], ["encode", "--\x1b[31m\n"], ["encode", "a", "-k", "\n"]])
def test_errors_are_one_printable_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Words that a name of a file or a script has brought do not reach the terminal as they are."""
    with pytest.raises(SystemExit):
        build_parser().parse_args(words)
    assert capsys.readouterr().err.removesuffix("\n").isprintable()


def test_a_file_like_an_option(tmp_path: Path) -> None:
    """Of a file whose name begins with a dash, it is said how to write it."""
    (tmp_path / "-x.kmq").touch()
    assert (
        b"kmq info: no option -x.kmq; a file of that name is written ./-x.kmq\n"
        == run(tmp_path, "info", "-x.kmq").stderr
    )
    assert b"kmq: -x.kmq: not a .kmq file: signature" in run(tmp_path, "info", "--", "-x.kmq").stderr


@pytest.mark.parametrize("line", ["a b -k 3", "a -k 3 b", "-k 3 a -- b", "-k3 a --force b"])
def test_options_stand_anywhere(line: str) -> None:
    """Options may stand before, between and after arguments."""
    options = build_parser().parse_args(["encode", *line.split()])
    assert (["a", "b"], 3) == (options.inputs, options.colors)
    options = build_parser().parse_args(["plot", "rgb", "a.png", "--force", "b.kmq"])
    assert ("a.png", "b.kmq") == (options.original, options.input)


def test_help_and_errors_are_light() -> None:
    """Help and errors load neither NumPy nor Pillow; help nothing of what only errors need."""
    code = (
        "import sys; from kmcodec.cli import main\n"
        "main(['--help']); main(['encode', '--help']); print('difflib' in sys.modules)\n"
        "main(['encod']); main(['encode', '--colours']); main(['encode', 'x', '-k', '0'])\n"
        "main(['completion', 'bash'])\n"
        "print(sorted({'numpy', 'PIL', 'bitarray'} & {*sys.modules}))"
    )
    output = run_python(code).splitlines()
    assert "False" in output
    assert "[]" == output[-1]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_right_usage(example: str) -> None:
    """Each example in the help is understood."""
    words = [word for word in shlex.split(re.sub(r"[<>] ?\S+", "", example)) if word != "kmq"]
    if words[0] != "help":
        assert words[0] == build_parser().parse_args(words).command


@pytest.mark.skipif(shutil.which("sh") is None, reason="no shell here")
@pytest.mark.parametrize("name", [*MAIN_COMMANDS, "recode", "thumbnail"])
def test_examples_run(name: str, tmp_path: Path) -> None:
    """The examples of the commands that need no extra run as they stand."""
    environment = {
        "PATH": f"{sysconfig.get_path('scripts')}:/usr/bin:/bin",
        "HOME": str(tmp_path),
    }
    for number, (example, _) in enumerate(COMMANDS[name].examples):
        # These want extras, and time.
        if "--compare" in example or "--html" in example:
            continue
        folder = tmp_path / str(number)
        (folder / "pictures").mkdir(parents=True)
        Image.fromarray(photo()).save(folder / "photo.png")
        for copy in ("chart.png", "pictures/a.png"):
            shutil.copy(folder / "photo.png", folder / copy)
        kmcodec.write(folder / "photo.kmq", photo(), 8)
        shutil.copy(folder / "photo.kmq", folder / "pictures" / "b.kmq")
        # What it is to make is not there yet.
        unwanted = {"encode": "photo.kmq", "decode": "photo.png"}.get(name)
        if unwanted:
            (folder / unwanted).unlink()
        result = subprocess.run(
            ["sh", "-e", "-c", example], cwd=folder, env=environment, capture_output=True, check=False
        )
        assert (0, b"") == (result.returncode, result.stderr), example


def test_man_page_is_the_help() -> None:
    """The man page is what python -m kmcodec.cli.manpage makes of the help."""
    assert make_man_page() == (ROOT / "kmcodec" / "desktop" / "kmq.1").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["man --warnings -l", "mandoc -Tlint -Wstyle"])
def test_man_page_is_clean(command: str, tmp_path: Path) -> None:
    """Neither groff nor mandoc finds anything to say of it."""
    program = command.split()[0]
    if shutil.which(program) is None or sys.platform == "darwin":
        pytest.skip(f"{program} is not installed, or another one")
    (tmp_path / "kmq.1").write_text(make_man_page())
    result = subprocess.run(
        [*command.split(), "kmq.1"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANPAGER": "cat"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (result.returncode, result.stderr)
    assert "mandoc:" not in result.stdout
