"""Whether a weight file is what its maker wrote, and no larger than it looks: asked before anything is made of it."""

from __future__ import annotations

import os
import pickletools
import re
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import torch
from torch import Tensor

from sedsep.errors import printable
from sedsep.files import leads_outside
from sedsep.fingerprint import fingerprint

LARGEST_PICKLE = 2**22
"""Bytes that may say which tensors there are; a thousand tensors and their optimiser take half a million."""
MOST_TENSORS = 10_000
SPARE_BYTES = 2**30
"""What tensors may claim beyond twice the bytes that are stored of them; one value may stand for many."""
MOST_NODES, DEEPEST, LONGEST_TEXT = 10_000, 20, 1000
"""What a description may have: values, levels, letters of a text."""

ZIP, ZIP_END = b"PK\x03\x04", b"PK\x05\x06"
ZIP_END_BYTES = 22  # without a comment, which torch never writes
PLAIN = re.compile(
    r"collections\.OrderedDict|_codecs\.encode|(__builtin__|builtins)\.(set|complex)|torch\.(Size|device)"
    r"|torch\.(storage\.)?\w+Storage|torch\.(bool|u?int\d+|b?float\d+\w*|complex\d+)"
    r"|torch\._utils\._rebuild_(tensor|parameter)\w*|torch\.nn\.parameter\.Parameter"
)
"""What a pickle of plain values and dense tensors asks for; torch allows more, some of which takes endless memory."""


class Unfit(ValueError):
    """What is wrong with a file, for the middle of a sentence."""


class Code(Unfit):
    """The first function or class that a file asks for and weights do not need."""


def check_archive(file: IO[bytes]) -> None:
    """Look through a torch file, which torch itself reads without looking.

    Args:
        file: open at its beginning.

    Raises:
        Code: it asks for more than plain values and tensors.
        Unfit: not torch's zip format, cut off, extended, packed, or a record is damaged.
    """
    if file.read(len(ZIP)) != ZIP:
        raise Unfit("not in the zip format that torch.save writes since PyTorch 1.6")
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - ZIP_END_BYTES))
    end = file.read()
    if not end.startswith(ZIP_END) or not end.endswith(b"\0\0"):
        raise Unfit("cut off, or something is appended to it")
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        names = {record.filename for record in records}
        if len(names) < len(records) or any(leads_outside(name) for name in names):
            raise Unfit("its records are named as PyTorch names none")
        if any(record.compress_type or record.compress_size != record.file_size for record in records):
            raise Unfit("its records are compressed, as PyTorch compresses none")
        if sum(record.file_size for record in records) > size:
            raise Unfit("its records overlap")
        if not records or min(record.header_offset for record in records):
            raise Unfit("something stands before its records")
        pickles = [record for record in records if record.filename.endswith("/data.pkl")]
        if len(pickles) != 1 or pickles[0].file_size > LARGEST_PICKLE:
            raise Unfit("no list of tensors, several, or an endless one")
        if (damaged := archive.testzip()) is not None:
            raise Unfit(f"its record {printable(damaged)} is damaged")
        for operation, argument, _ in pickletools.genops(archive.read(pickles[0])):
            if operation.name == "GLOBAL" and not PLAIN.fullmatch(asked := str(argument).replace(" ", ".")):
                raise Code(printable(re.sub(r"^(__builtin__|builtins)\.", "", asked)))


def check_tensors(state: Mapping[str, Tensor]) -> None:
    """Ask of tensors what their file's structure does not say.

    Raises:
        Unfit: too many, larger than what is stored of them, or not finite.
    """
    if len(state) > MOST_TENSORS:
        raise Unfit(f"{len(state)} tensors, more than any network has")
    claimed = sum(value.numel() * value.itemsize for value in state.values())
    storages = {storage.data_ptr(): storage.nbytes() for storage in (v.untyped_storage() for v in state.values())}
    if claimed > 2 * (stored := sum(storages.values())) + SPARE_BYTES:
        raise Unfit(f"{claimed} bytes of weights are claimed and {stored} are stored")
    for name, value in state.items():
        if value.is_floating_point() and value.numel():
            extremes = (value if value.itemsize > 1 else value.float()).aminmax()  # NaN where any value is
            if not torch.stack(extremes).isfinite().all():
                raise Unfit(f"{printable(name)} is not finite")


def check_plain(node: Any) -> None:
    """Ask of a description that it is plain data, of a size that a person could read.

    Raises:
        Unfit: it is not.
    """
    left, nodes = [(node, 0)], 0
    while left:
        node, depth = left.pop()
        nodes += 1
        if nodes > MOST_NODES or depth > DEEPEST:
            raise Unfit("its description has no end")
        if isinstance(node, Mapping):
            left += [(child, depth + 1) for pair in node.items() for child in pair]
        elif isinstance(node, list | tuple):
            left += [(child, depth + 1) for child in node]
        elif not isinstance(node, str | int | float | None) or (isinstance(node, str) and len(node) > LONGEST_TEXT):
            raise Unfit("its description holds other things than words and numbers")


def digest(state: Mapping[str, Tensor], description: Any) -> str:
    """What is written with weights, to tell later whether they and their description are the same.

    Args:
        state: tensors by name; names, types, shapes and bytes count, order and layout in memory do not.
        description: plain data.
    """
    rows = []
    for name in sorted(state):
        value = state[name].detach().cpu()
        content = fingerprint(value.contiguous().flatten().view(torch.uint8).numpy().data)
        rows.append([name, str(value.dtype), list(value.shape), content])
    return fingerprint(description, rows)
