"""Headers of audio files: what one promises of its file, and the one of what we write.

libsndfile takes a file that ends before its samples do for a whole one. Of MP3 files without a count of frames nobody
can tell whether their end is there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from struct import Struct, pack
from typing import BinaryIO


@dataclass(frozen=True)
class Chunks:
    """How a format lays out what it holds.

    Attributes:
        start: bytes before the first chunk.
        head: of each: its name and its size.
        samples: name of the one that holds the samples.
        align: chunks start at multiples of it.
        counts_head: whether a size counts the head, too.
    """

    start: int
    head: Struct
    samples: bytes
    align: int = 2
    counts_head: bool = False


WAV = Chunks(12, Struct("<4sI"), b"data")
FORMATS = {
    b"RIFF": WAV,
    b"RF64": WAV,
    b"RIFX": Chunks(12, Struct(">4sI"), b"data"),
    b"FORM": Chunks(12, Struct(">4sI"), b"SSND"),
    b"caff": Chunks(8, Struct(">4sQ"), b"data", 1),
    b"riff": Chunks(40, Struct("<16sQ"), b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a", 8, True),  # W64
}
AU = {b".snd": "big", b"dns.": "little"}
IN_DS64 = 0xFFFFFFFF
"""Stands in RF64 for a size that is in its chunk ds64."""
PIPED_UNREAD = {b"caff", b"RF64"}
"""Formats that libsndfile does not read without a size."""
UNSAID = "does not say how long it is, as if it had been written into a pipe"
LARGEST_WAV = (1 << 32) - (1 << 16)
"""Bytes of samples beyond which a file is RF64."""
MOST_CHUNKS = 1000
OGG_PAGE, OGG_HEAD, OGG_LAST = 27 + 255 + 255 * 255, 27, 4
"""Bytes that an Ogg page fits in, bytes before its list of segments, and the mark of the last page."""


def float_wav_header(frames: int, rate: int) -> bytes:
    """What stands before 32-bit float samples of one channel.

    libsndfile would write the time into it, and two files of the same samples would differ.

    Args:
        frames: that follow.
        rate: Hz.
    """
    size = 4 * frames
    form = pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, rate, 4 * rate, 4, 32)
    fact = pack("<4sII", b"fact", 4, min(frames, 0xFFFFFFFF))
    whole = 4 + len(form) + len(fact) + 8 + size
    if size < LARGEST_WAV:
        return pack("<4sI4s", b"RIFF", whole, b"WAVE") + form + fact + pack("<4sI", b"data", size)
    sizes = pack("<4sIQQQI", b"ds64", 28, whole + 36, size, frames, 0)
    return pack("<4sI4s", b"RF64", IN_DS64, b"WAVE") + sizes + form + fact + pack("<4sI", b"data", IN_DS64)


def check_whole(file: BinaryIO) -> bool:
    """Find out whether a file holds the samples that its header promises.

    Args:
        file: open for reading, of any format.

    Returns:
        Whether the header says how many there are: one that was written into a pipe may not.

    Raises:
        ValueError: it does not hold them; the text goes on after the file's name.
    """
    length = file.seek(0, 2)
    file.seek(0)
    head = file.read(32)
    if head[:4] == b"OggS":
        _check_last_page(file, length)
        return True
    if head[:4] in AU:
        order = AU[head[:4]]
        start, size = (int.from_bytes(head[at : at + 4], order) for at in (4, 8))  # type: ignore[arg-type]
    elif head[:4] in FORMATS:
        start, size = _samples(file, FORMATS[head[:4]], head)
    else:
        return head[:4] == b"fLaC" or _counts_mp3_frames(file)
    if _is_unknown(size) and start < length:
        if head[:4] in PIPED_UNREAD:
            raise ValueError(UNSAID)
        return False
    if (missing := min(size, start + size - length)) > 0:
        raise ValueError(f"is cut off: its header promises {size} bytes of samples, the last {missing} are missing")
    return True


def _samples(file: BinaryIO, chunks: Chunks, head: bytes) -> tuple[int, int]:
    """Where a file's samples start and how many bytes they have; an unknown number where no chunk is theirs."""
    # RF64 begins with the chunk of its sizes.
    in_ds64 = int.from_bytes(head[28:32] + file.read(4), "little") if head[12:16] == b"ds64" else 0
    position = chunks.start
    for _ in range(MOST_CHUNKS):
        file.seek(position)
        if len(found := file.read(chunks.head.size)) < chunks.head.size:
            return position, 0
        name, size = chunks.head.unpack(found)
        if name == chunks.samples:
            if size == IN_DS64 and head[:4] == b"RF64":
                size = in_ds64
            if chunks.counts_head and not _is_unknown(size):
                size -= chunks.head.size
            return position + chunks.head.size, size
        step = max(size, chunks.head.size) if chunks.counts_head else chunks.head.size + size
        position += -(-step // chunks.align) * chunks.align
    raise ValueError(f"has more than {MOST_CHUNKS} chunks before its samples")


def _is_unknown(size: int) -> bool:
    """Whether a size stands for none: programs that write into pipes give 0 or the largest number, or one near it."""
    return size <= 0 or 0x7FFFF000 <= size <= 0x80000000 or 0xFFFFF000 <= size <= 0xFFFFFFFF or size >= 1 << 62


def _check_last_page(file: BinaryIO, length: int) -> None:
    file.seek(max(0, length - OGG_PAGE))
    rest = file.read()
    page = rest[max(0, rest.rfind(b"OggS")) :]
    if len(page) <= OGG_HEAD or not page[5] & OGG_LAST:
        raise ValueError("is cut off: its last page is missing, and how much before it cannot be known")
    missing = OGG_HEAD + page[26] + sum(page[OGG_HEAD : OGG_HEAD + page[26]]) - len(page)
    if missing > 0:
        raise ValueError(f"is cut off: the last {missing} bytes of its last page are missing")


def _counts_mp3_frames(file: BinaryIO) -> bool:
    """Whether an MP3 file says how many frames it has; libsndfile guesses otherwise."""
    start = 0
    file.seek(0)
    while (head := file.read(10))[:3] == b"ID3" and len(head) == 10:
        size = sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        start += len(head) + size + (10 if head[5] & 16 else 0)
        file.seek(start)
    file.seek(start)
    return bool((tag := re.search(rb"(?:Xing|Info)...(.)", file.read(4096), re.DOTALL)) and tag[1][0] & 1)
