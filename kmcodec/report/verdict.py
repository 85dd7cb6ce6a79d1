"""Say in plain words which of several files is the smallest, and by how much.

Knows nothing of how the files were made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from kmcodec.report.codings import ADJECTIVES
from kmcodec.report.rival import Recoded, Rival

# From this ratio on sizes are compared as "times", below in percent.
_LEAST_TIMES = 1.1


def write_verdict(
    kmq: Rival, others: Sequence[Rival], source: Rival | None = None, recoded: Recoded | None = None
) -> str:
    """Return which file is the smallest at the quality of a .kmq file, in one to four sentences.

    Parameters
    ----------
    kmq : Rival
        The .kmq file.
    others : sequence of Rival
        Files of the same pixels or, where lossy, of the same PSNR; those without a size do not count.
    source : Rival, optional
        The original file. It is exact, so that it is mentioned, and first, only where it is no larger.
    recoded : Recoded, optional
        The same pixels in the other coding. Where that is smaller, the first sentence says so, and the others
        compare with it: it can be had of the .kmq file without loss.
    """
    if recoded is None or recoded.file_bytes >= _size(kmq):
        return _judge(kmq._replace(name="this .kmq file"), others, source)
    word, size = ADJECTIVES[recoded.coding], recoded.file_bytes
    start = (
        f"{word.capitalize()}, the same pixels take {size:,} bytes, {_say_smaller(size, _size(kmq))} than"
        f" this .kmq file ({recoded.command})."
    )
    return f"{start} {_judge(kmq._replace(name=f'the {word} .kmq file', file_bytes=size), others, source)}"


def _judge(kmq: Rival, others: Sequence[Rival], source: Rival | None) -> str:
    """Return the verdict on a .kmq file that goes by its name."""
    rivals = [rival for rival in others if rival.file_bytes is not None]
    sentences, start = [], "Smallest"
    if source is not None and _size(source) <= _size(kmq):
        sentences.append(_describe_source(kmq, source))
        start = "Of the others, the smallest"
    if not rivals:
        return " ".join([*sentences, f"No other format could be compared with {kmq.name}."])
    if all(not rival.is_lossless for rival in _find_smallest([kmq, *rivals])):
        sentences.append(_describe_smallest(f"{start} at the same PSNR", kmq, rivals))
        # Who needs palettes or sharp edges is not served by a lossy file.
        if lossless := [rival for rival in rivals if rival.is_lossless]:
            sentences.append(_describe_smallest("Smallest with the same pixels", kmq, lossless))
    else:
        sentences.append(_describe_smallest(f"{start} at this quality", kmq, rivals))
    # Once is enough.
    first, *more = sentences
    return " ".join([first, *(sentence.replace(f" than {kmq.name}", "") for sentence in more)])


def _describe_source(kmq: Rival, source: Rival) -> str:
    # An exact .kmq file has the same quality; any other has lost something.
    quality = "is of the same quality" if kmq.psnr_db == math.inf else "is exact"
    if _size(source) == _size(kmq):
        return f"The original file {quality}, and no larger: {_size(source):,} bytes."
    return (
        f"The original file {quality}, and smaller: {_size(source):,} bytes,"
        f" {_say_smaller(_size(source), _size(kmq))} than {kmq.name}."
    )


def _describe_smallest(start: str, kmq: Rival, rivals: Sequence[Rival]) -> str:
    winners = _find_smallest([kmq, *rivals])
    names = " and ".join(_label(rival, start) for rival in winners)
    each = " each" if len(winners) > 1 else ""
    sentence = f"{start}: {names}, {_size(winners[0]):,} bytes{each}"
    if winners == [kmq]:
        next_best = _find_smallest(rivals)[0]
        larger = _say_larger(_size(next_best), _size(kmq))
        sentence += f"; next is {_label(next_best, start)}, {_size(next_best):,} bytes, {larger}"
    elif kmq not in winners:
        sentence += f", {_say_smaller(_size(winners[0]), _size(kmq))} than {kmq.name}"
    return sentence + "."


def _label(rival: Rival, start: str) -> str:
    return rival.name if rival.is_lossless or "PSNR" in start else f"{rival.name} at the same PSNR"


def _find_smallest(rivals: Sequence[Rival]) -> list[Rival]:
    least = min(_size(rival) for rival in rivals)
    return [rival for rival in rivals if _size(rival) == least]


def _size(rival: Rival) -> int:
    assert rival.file_bytes is not None
    return rival.file_bytes


def _say_smaller(small: int, large: int) -> str:
    if large / small >= _LEAST_TIMES:
        return f"{large / small:.2f} times smaller"
    return f"{_say_difference(small, large, large)} smaller"


def _say_larger(large: int, small: int) -> str:
    if large / small >= _LEAST_TIMES:
        return f"{large / small:.2f} times the size"
    return f"{_say_difference(small, large, small)} larger"


def _say_difference(small: int, large: int, whole: int) -> str:
    """Return a difference in percent of the whole, or in bytes where that would round to nothing."""
    share = f"{100 * (large - small) / whole:.1f}"
    if share != "0.0":
        return f"{share} %"
    return "1 byte" if large - small == 1 else f"{large - small:,} bytes"
