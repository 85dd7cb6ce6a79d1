"""What tests/fuzz/ does for hours, for a few seconds; and the files with which it found something."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from fuzz import damage, mutations, reader_target, roundtrip_target, soak
from support import SAMPLES

import kmcodec
from kmcodec.pictures import load_picture

VECTORS = sorted(mutations.VECTORS.glob("*/*.kmq"))
VALID = [path for path in VECTORS if path.parent.name == "valid"]
REGRESSIONS = sorted((Path(__file__).parent / "fuzz" / "regressions").glob("*"))


def make_real_files() -> dict[str, bytes]:
    """Encode small real pictures in both codings: few colours; alpha; several strips and metadata."""
    sprite, icon, chelsea = (load_picture(SAMPLES / f"{name}.png") for name in ("sprite", "icon", "chelsea"))
    metadata = kmcodec.Metadata(
        texts=(kmcodec.Text("Title", "Chelsea"),), density=kmcodec.Density(2835, 2835, True)
    )
    pixels = chelsea[100:120, 200:232]
    return {
        "sprite": kmcodec.encode(sprite, 4),
        "icon": kmcodec.encode(icon[:24, 40:64], 16),
        "chelsea": kmcodec.encode(pixels, 16, strip_rows=7, metadata=metadata),
        "context-icon": kmcodec.encode(icon[:16, 40:64], 16, strip_rows=5, coding="context"),
        "context-chelsea": kmcodec.encode(
            pixels[:12], 300, strip_rows=5, metadata=metadata, coding="context"
        ),
    }


REAL_FILES = make_real_files()


def test_real_files_are_what_they_are_said_to_be() -> None:
    """There are transparency, several strips and sections among them."""
    readers = {name: kmcodec.KmqReader(data) for name, data in REAL_FILES.items()}
    assert (4, 3) == readers["sprite"].palette.shape
    assert (16, 4) == readers["icon"].palette.shape == readers["context-icon"].palette.shape
    for name, reader in readers.items():
        assert ("context" if name.startswith("context") else "packed") == reader.header.coding
        if name.endswith("chelsea"):
            assert (3, 2) == (reader.header.strip_count, len(reader.sections))


@pytest.mark.parametrize("name", REAL_FILES)
def test_every_flip_is_noticed(name: str) -> None:
    """Decoding and verifying refuse a real file with any one bit flipped."""
    buffer = bytearray(REAL_FILES[name])
    bits = range(8 * len(buffer))
    assert [] == damage.find_missed_flips(buffer, bits, lambda bit: damage.decode(buffer))
    assert [] == damage.find_missed_flips(buffer, bits, lambda bit: kmcodec.KmqReader(buffer).verify())
    assert buffer == REAL_FILES[name]


@pytest.mark.parametrize("name", REAL_FILES)
def test_every_cut_is_noticed(name: str) -> None:
    """Decoding and verifying refuse a real file that is cut anywhere."""
    buffer = bytearray(REAL_FILES[name])
    assert [] == damage.find_missed_cuts(buffer, range(len(buffer)), damage.decode)
    assert [] == damage.find_missed_cuts(
        buffer, range(len(buffer)), lambda cut: kmcodec.KmqReader(cut).verify()
    )


@pytest.mark.parametrize("in_full", [True, False])
@pytest.mark.parametrize("name", ["chelsea", "context-chelsea"])
def test_damage_tells_what_is_missed(name: str, in_full: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of damage is one: it would report a reader that looks at nothing."""
    data = REAL_FILES[name]
    damager = damage.Damager(data, in_full=in_full)
    flips = damage.Task(is_flip=True, start=0, stop=8 * len(data))
    assert [] == damager.run(flips)
    monkeypatch.setattr(kmcodec, "decode", lambda data, **options: None)
    missed = damager.run(flips)
    strips_offset = kmcodec.KmqReader(data).header.strips_offset
    if in_full:
        assert missed == list(range(8 * len(data)))
    else:
        # And of each of three strips the first and the last bit.
        assert missed[: 8 * strips_offset] == list(range(8 * strips_offset))
        assert 8 * strips_offset + 6 == len(missed)


def test_soak() -> None:
    """Of thousands of damaged files, each is decoded correctly or refused, soon and in little memory."""
    run = soak.Soak(soak.load_files(VALID) + list(REAL_FILES.values()), seed=1)
    try:
        tally = run.run(0, 3000)
    finally:
        run.close()
    assert {} == tally.examples
    assert 3000 == tally.outcomes.total()
    assert tally.outcomes["picture"] > 100


def test_soak_tells_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soak is a check: it reports other pixels, other exceptions, and damage that is not noticed."""
    data = REAL_FILES["chelsea"]
    run = soak.Soak([data], seed=0)
    intact = soak.Input(1, data, is_damaged=False)
    black = np.zeros_like(kmcodec.decode(data))

    def fail(data: bytes) -> None:
        raise IndexError(len(data))

    tally = soak.Tally()
    try:
        run.try_input(intact, tally)
        assert {} == tally.findings
        run.try_input(intact._replace(is_damaged=True), tally)
        monkeypatch.setattr(kmcodec, "decode", lambda data: black)
        run.try_input(intact, tally)
        monkeypatch.setattr(kmcodec, "decode", fail)
        run.try_input(intact, tally)
    finally:
        run.close()
    words = ("damaged, but decoded", "the minidecoder disagrees", "IndexError")
    assert len(words) == len(tally.findings)
    for word, kind in zip(words, tally.findings, strict=True):
        assert word in kind


def test_inputs_depend_on_seed_and_number_alone() -> None:
    """A finding can be made again."""
    first, second, third = (soak.Soak([REAL_FILES["icon"]], seed) for seed in (1, 1, 2))
    try:
        inputs = [[run.make_input(number) for number in range(50)] for run in (first, second, third)]
    finally:
        for run in (first, second, third):
            run.close()
    assert inputs[0] == inputs[1] != inputs[2]


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_repair_and_fit_leave_what_is_right(path: Path) -> None:
    """Right checksums and sizes come out as they were; wrong checksums, right."""
    data = path.read_bytes()
    assert data == mutations.repair(data)
    assert data == mutations.fit(data, len(data))
    layout = mutations.read_layout(data)
    if layout.strip_count <= mutations.MAX_STRIPS:
        broken = bytearray(data)
        for start in (mutations.HEADER_BYTES, len(data)):
            broken[start - mutations.CRC_BYTES : start] = b"\0\0\0\0"
        assert data == mutations.repair(bytes(broken))


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_all_ways_of_reading_agree(path: Path) -> None:
    """Each of the specification's test files is one picture, or has one error, whatever reads it."""
    reader_target.check_reader(path.read_bytes())


def test_all_ways_of_reading_agree_on_mutations() -> None:
    """So is, or has, each mutated file with right checksums."""
    rng = random.Random(0)
    files = [path.read_bytes() for path in VALID if path.stat().st_size < 4096]
    for _ in range(500):
        data = mutations.mutate(rng.choice(files), rng)
        reader_target.check_reader(mutations.repair(mutations.fit(data, 1 << 14)))


def test_roundtrips() -> None:
    """Any picture with any options is decoded as it was quantized."""
    for seed in range(200):
        rng = random.Random(seed)
        roundtrip_target.check_roundtrip(rng.randint, rng.randbytes)


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_regressions(path: Path) -> None:
    """What once was a finding is a picture, or a KmqError, in time and memory."""
    data = path.read_bytes()
    run, tally = soak.Soak([data], seed=0), soak.Tally()
    try:
        run.try_input(soak.Input(0, data, is_damaged=False), tally)
    finally:
        run.close()
    assert {} == tally.examples
    reader_target.check_reader(data)


def test_pictures_are_soaked_in_both_codings() -> None:
    """Of a picture, files of either coding are made, in several strips, of few colours and of many."""
    headers = [kmcodec.KmqReader(data).header for data in soak.encode_picture(SAMPLES / "chelsea.png")]
    context = [header for header in headers if header.coding == "context"]
    assert 0 < len(context) < len(headers)
    assert any(header.strip_count > 1 for header in context)
    assert {2, 300} <= {header.n_colors for header in context}
    for data in soak.encode_picture(SAMPLES / "chelsea.png"):
        assert len(data) <= soak.MAX_INPUT_BYTES
