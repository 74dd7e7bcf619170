"""One way to tell whether things are the same: a digest of their content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def fingerprint(*parts: object) -> str:
    """64 hexadecimal digits that change with any of the parts, or their order, and with nothing else.

    Args:
        parts: a `Path` stands for the content of its file, bytes (or a view of some) for themselves, anything else for
            its JSON.
    """
    digest = hashlib.sha256()
    content: bytes | memoryview
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
        else:
            content = part if isinstance(part, bytes | memoryview) else json.dumps(part, sort_keys=True).encode()
        digest.update(f"{len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()
