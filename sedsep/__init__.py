"""sedsep: spatial semantic segmentation of sound scenes.

`sedsep.load(checkpoint).separate(waveform, sample_rate)` takes any recording apart, and
`sedsep.stream(checkpoint, blocks, sample_rate)` sound that is still coming.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sedsep.inference import load, stream

__version__ = "0.1.0"
__all__ = ["__version__", "load", "stream"]


def __getattr__(name: str) -> Any:
    """`load` and `stream`, imported when they are asked for: they bring torch along."""
    if name in ("load", "stream"):
        from sedsep import inference

        return getattr(inference, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
