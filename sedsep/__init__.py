"""sedsep: spatial semantic segmentation of sound scenes.

`sedsep.load(checkpoint).separate(waveform, sample_rate)` takes any recording apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sedsep.inference import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """`load`, imported when it is asked for: it brings torch along."""
    if name == "load":
        from sedsep.inference import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
