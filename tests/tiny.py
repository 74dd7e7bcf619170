"""A data set of seconds, for tests that run whole jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sedsep.datasets.synthetic import ensure_synthetic

LABELS = ("Doorbell", "Speech", "Typing")
TINY = (
    "data=folder",
    "trainer=debug",
    "data.workers=0",
    "sample_rate=16000",
    "duration=2.0",
    "scale.tagger.training.duration=1.5",
    "scale.baseline.training.duration=1.5",
    "scale.tracks.training.duration=1.5",
    "scale.separator.training.duration=1.5",
    "scale.sed.unit_frames=101",
    "scale.sed.f_max=8000",
    "scale.baseline.sample_rate=16000",
    "scale.baseline.f_max=8000",
    "scale.separator.widths=[4,8,8]",
    "scale.label_sources=[baseline,tagger,oracle]",
    "task.examples=1",
)
"""A job on such a set that takes seconds."""


def write_tiny_set(root: Path, seconds: float = 2.0, **changes: Any) -> Path:
    """Three classes, a file or two each, scenes of some seconds at 16 kHz."""
    recipe: dict[str, Any] = {
        "sample_rate": 16000,
        "scenes_per_split": {"valid": 2, "test": 3},
        "files_per_class": {"train": 2, "valid": 1, "test": 1},
        "rooms": {"train": 1, "valid": 1, "test": 1},
        "positions": 3,
        "noises_per_room": 1,
        "scene_seconds": seconds,
        "noise_seconds": seconds + 1.0,
        "event_seconds": (0.5, 0.5 * seconds + 0.1),
        "response_seconds": 0.1,
    }
    return ensure_synthetic(root.parent, LABELS, **(recipe | changes)).rename(root)
