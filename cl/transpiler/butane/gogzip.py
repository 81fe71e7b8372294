"""How long Go's gzip of a content is: zlib's differs by some bytes, and by those butane may choose another encoding.

Follows Go 1.26, compress/flate at level 9 (deflate.go, huffman_bit_writer.go, huffman_code.go). Only lengths are
computed; what is written into a config is zlib's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

LIMIT = 1 << 18
"""Contents that are longer take too long to look at: a third of a second for one that is as long as this."""

_WINDOW = 1 << 15
_TOKENS = 1 << 14  # in one block
_LONGEST_STORED = 65535
_TRIES = 4096
_MIN_MATCH, _MAX_MATCH = 4, 258
_LOOK_AHEAD = _MIN_MATCH + _MAX_MATCH
_FAR = 4096  # a match of four bytes from further away doesn't pay
_END = 256
_LITERALS, _OFFSETS = 286, 30
_LENGTH_BASE = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192,
                224, 255)  # fmt: skip
_LENGTH_EXTRA = (0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0)
_OFFSET_EXTRA = (0, 0, *(bits for bits in range(14) for _ in range(2)))
_OFFSET_BASE = (0, *(sum(1 << bits for bits in _OFFSET_EXTRA[:code]) for code in range(1, _OFFSETS)))
_FIXED = (*[8] * 144, *[9] * 112, *[7] * 24, *[8] * 6)
_CODE_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
_HUGE = 2**31 - 1


@lru_cache(maxsize=32)  # a fleet's machines share contents
def gzip_length(data: bytes) -> int:
    """Bytes of Go's gzip, at its best level, of contents that are not empty.

    Head and tail of gzip take 18 bytes. The blocks are followed by the head of an empty one, 3 bits and, from the
    next byte on, 4 bytes.
    """
    bits = 0
    for block in _blocks(data):
        needed, written = block.coded_bits()
        if 0 <= block.length <= _LONGEST_STORED and 8 * (block.length + 5) < needed:  # it is stored as it is
            bits += 3
            bits += -bits % 8 + 8 * (4 + block.length)
        else:
            bits += written
    return 18 + (bits + 3 + 7) // 8 + 4


@dataclass(slots=True)
class _Block:
    """How often each literal or length, and each offset, stands in a block; the extra bits of all of them."""

    literals: list[int] = field(default_factory=lambda: [0] * _LITERALS)
    offsets: list[int] = field(default_factory=lambda: [0] * _OFFSETS)
    extra: int = 0
    tokens: int = 0
    length: int = 0
    """Bytes of the contents that the block stands for; -1 when they have left Go's window and can't be stored."""

    def match(self, length: int, offset: int) -> None:
        code, far = bisect_right(_LENGTH_BASE, length - 3) - 1, bisect_right(_OFFSET_BASE, offset - 1) - 1
        self.literals[_END + 1 + code] += 1
        self.offsets[far] += 1
        self.extra += _LENGTH_EXTRA[code] + _OFFSET_EXTRA[far]

    def coded_bits(self) -> tuple[int, int]:
        """Bits of the smaller one of the two codes: those that Go reckons with, and those that it writes."""
        literals, offsets = [*self.literals], [*self.offsets]
        literals[_END] += 1
        no_matches = not any(offsets)
        if no_matches:
            offsets[0] = 1  # Go counts one, and doesn't write it
        fixed = 3 + sum(map(int.__mul__, literals, _FIXED)) + 5 * sum(offsets) + self.extra
        sizes, offset_sizes = _code_sizes(literals, 15), _code_sizes(offsets, 15)
        header = _header_bits(_trimmed(sizes) + _trimmed(offset_sizes))
        body = sum(map(int.__mul__, literals, sizes)) + sum(map(int.__mul__, offsets, offset_sizes))
        dynamic = header + body + self.extra
        if dynamic < fixed:
            return dynamic, dynamic - no_matches
        return fixed, fixed - 5 * no_matches


# --- matches -------------------------------------------------------------------------------------------------


def _blocks(data: bytes) -> Iterator[_Block]:
    """The blocks that Go makes of the contents."""
    size, block, start = len(data), _Block(), 0
    heads: dict[bytes, int] = {}  # where four bytes were last
    before: list[int] = [-1] * size  # and where before that
    at, length, offset, waiting = 0, _MIN_MATCH - 1, 0, False
    base, filled = 0, 2 * _WINDOW  # what Go's buffer holds of the contents

    while at < size:
        while filled < size and filled - at < _LOOK_AHEAD:
            base, filled = base + _WINDOW, filled + _WINDOW
        last = -1
        if at + _MIN_MATCH <= size:
            key = data[at : at + _MIN_MATCH]
            before[at] = last = heads.get(key, -1)
            heads[key] = at
        old_length, old_offset = length, offset
        length, offset = _MIN_MATCH - 1, 0
        first = max(base, at - _WINDOW)
        if last >= first and size - at > old_length and old_length < _MAX_MATCH:
            length, offset = _find_match(data, at, last, before, first)
        if old_length >= _MIN_MATCH and length <= old_length:  # the match at the byte before is the better one
            block.match(old_length, old_offset)
            end = at + old_length - 1
            for index in range(at + 1, min(end, size - _MIN_MATCH + 1)):
                key = data[index : index + _MIN_MATCH]
                before[index] = heads.get(key, -1)
                heads[key] = index
            at, length, waiting = end, _MIN_MATCH - 1, False
            written = end
        else:
            if not waiting:
                at, waiting = at + 1, True
                continue
            block.literals[data[at - 1]] += 1
            written = at
            at += 1
        block.tokens += 1
        if block.tokens == _TOKENS:
            block.length = written - start if start >= base else -1
            yield block
            block, start = _Block(), written
    if waiting:
        block.literals[data[size - 1]] += 1
        block.tokens += 1
    if block.tokens:
        block.length = size - start if start >= base else -1
        yield block


def _find_match(data: bytes, at: int, last: int, before: list[int], first: int) -> tuple[int, int]:
    """(length, offset) of the longest match among the places from `last` back to `first`; the nearest of equals."""
    longest = min(_MAX_MATCH, len(data) - at)
    length, offset = _MIN_MATCH - 1, 0
    for _ in range(_TRIES):
        if data[last + length] == data[at + length]:
            same = length + 1 if data[last : last + length] == data[at : at + length] else 0
            while 0 < same < longest and data[last + same] == data[at + same]:
                same += 1
            if same > length and (same > _MIN_MATCH or at - last <= _FAR):
                length, offset = same, at - last
                if length >= longest:
                    break
        last = before[last]
        if last < first:
            break
    return length, offset


# --- codes ---------------------------------------------------------------------------------------------------


def _trimmed(sizes: Sequence[int]) -> list[int]:
    """Without the zeros at the end."""
    return list(sizes[: next(end for end in range(len(sizes), 0, -1) if sizes[end - 1])])


def _header_bits(sizes: list[int]) -> int:
    """Bits that describe the sizes of all codes."""
    used, extra = [0] * 19, 0
    at = 0
    while at < len(sizes):
        size, count = sizes[at], 1
        while at + count < len(sizes) and sizes[at + count] == size:
            count += 1
        at += count
        if size:
            used[size] += 1
            count -= 1
            while count >= 3:
                used[16] += 1
                extra += 2
                count -= min(6, count)
        else:
            while count >= 11:
                used[18] += 1
                extra += 7
                count -= min(138, count)
            if count >= 3:
                used[17] += 1
                extra += 3
                count = 0
        used[size] += count
    written = max((place + 1 for place, code in enumerate(_CODE_ORDER) if used[code]), default=0)
    return 3 + 5 + 5 + 4 + 3 * max(4, written) + sum(map(int.__mul__, used, _code_sizes(used, 7))) + extra


def _code_sizes(frequencies: Sequence[int], most: int) -> list[int]:
    """The size in bits of each one's code, at most `most`; 0 where the frequency is."""
    sizes = [0] * len(frequencies)
    ordered = sorted((frequency, code) for code, frequency in enumerate(frequencies) if frequency)
    if len(ordered) <= 2:
        for _, code in ordered:
            sizes[code] = 1
        return sizes
    for bits, count in enumerate(_counts([frequency for frequency, _ in ordered], most), start=1):
        for _ in range(count):
            sizes[ordered.pop()[1]] = bits
    return sizes


def _counts(frequencies: list[int], most: int) -> list[int]:
    """How many codes have 1, 2, … bits. `frequencies` are in rising order, three at least.

    Go's own way of "boundary package merge": which of several equally good answers it gives shows in the header.
    """
    number = len(frequencies)
    most = min(most, number - 1)
    leaves = [*frequencies, _HUGE]
    last = [leaves[1]] * (most + 2)
    next_leaf = [leaves[2]] * (most + 2)
    next_pair = [_HUGE, _HUGE, *[leaves[0] + leaves[1]] * most]
    needed = [0] * (most + 2)
    needed[most] = 2 * number - 4
    counts = [[2 if inner == level else 0 for inner in range(most + 1)] for level in range(most + 1)]
    level = most
    while True:
        if next_pair[level] == _HUGE and next_leaf[level] == _HUGE:
            needed[level] = 0
            next_pair[level + 1] = _HUGE
            level += 1
            continue
        previous = last[level]
        if next_leaf[level] < next_pair[level]:
            last[level] = next_leaf[level]
            counts[level][level] += 1
            next_leaf[level] = leaves[counts[level][level]]
        else:
            last[level] = next_pair[level]
            counts[level][:level] = counts[level - 1][:level]
            needed[level - 1] = 2
        needed[level] -= 1
        if needed[level] == 0:
            if level == most:
                break
            next_pair[level + 1] = previous + last[level]
            level += 1
        else:
            while needed[level - 1] > 0:
                level -= 1
    return [counts[most][at] - counts[most][at - 1] for at in range(most, 0, -1)]
