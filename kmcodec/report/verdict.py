"""Say in plain words which of several files is the smallest, and by how much.

Knows nothing of how the files were made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from kmcodec.report.rival import Rival

# From this ratio on sizes are compared as "times", below in percent.
_LEAST_TIMES = 1.1


def write_verdict(kmq: Rival, others: Sequence[Rival], source: Rival | None = None) -> str:
    """Return which file is the smallest at the quality of a .kmq file, in one to three sentences.

    Parameters
    ----------
    kmq : Rival
        The .kmq file.
    others : sequence of Rival
        Files of the same pixels or, where lossy, of the same PSNR; those without a size do not count.
    source : Rival, optional
        The original file. It is exact, so that it is mentioned, and first, only where it is no larger.
    """
    rivals = [rival for rival in others if rival.file_bytes is not None]
    sentences, start = [], "Smallest"
    if source is not None and _size(source) <= _size(kmq):
        sentences.append(_describe_source(kmq, source))
        start = "Of the others, the smallest"
    if not rivals:
        return " ".join([*sentences, "No other format could be compared with this .kmq file."])
    if all(not rival.is_lossless for rival in _find_smallest([kmq, *rivals])):
        sentences.append(_describe_smallest(f"{start} at the same PSNR", kmq, rivals))
        # Who needs palettes or sharp edges is not served by a lossy file.
        if lossless := [rival for rival in rivals if rival.is_lossless]:
            sentences.append(_describe_smallest("Smallest with the same pixels", kmq, lossless))
    else:
        sentences.append(_describe_smallest(f"{start} at this quality", kmq, rivals))
    # Once is enough.
    first, *more = sentences
    return " ".join([first, *(sentence.replace(" than this .kmq file", "") for sentence in more)])


def _describe_source(kmq: Rival, source: Rival) -> str:
    # An exact .kmq file has the same quality; any other has lost something.
    quality = "is of the same quality" if kmq.psnr_db == math.inf else "is exact"
    if _size(source) == _size(kmq):
        return f"The original file {quality}, and no larger: {_size(source):,} bytes."
    return (
        f"The original file {quality}, and smaller: {_size(source):,} bytes,"
        f" {_say_smaller(_size(source), _size(kmq))} than this .kmq file."
    )


def _describe_smallest(start: str, kmq: Rival, rivals: Sequence[Rival]) -> str:
    winners = _find_smallest([kmq, *rivals])
    names = " and ".join(_label(rival, kmq, start) for rival in winners)
    each = " each" if len(winners) > 1 else ""
    sentence = f"{start}: {names}, {_size(winners[0]):,} bytes{each}"
    if winners == [kmq]:
        next_best = _find_smallest(rivals)[0]
        larger = _say_larger(_size(next_best), _size(kmq))
        sentence += f"; next is {_label(next_best, kmq, start)}, {_size(next_best):,} bytes, {larger}"
    elif kmq not in winners:
        sentence += f", {_say_smaller(_size(winners[0]), _size(kmq))} than this .kmq file"
    return sentence + "."


def _label(rival: Rival, kmq: Rival, start: str) -> str:
    if rival is kmq:
        return "this .kmq file"
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
