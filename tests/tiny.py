"""A data set of seconds, for tests that run whole jobs."""

from __future__ import annotations

from pathlib import Path

from sedsep.data.synthetic import write_synthetic

LABELS = ("Doorbell", "Speech", "Typing")


def write_tiny_set(root: Path) -> Path:
    """Three classes, a file or two each, scenes of 2 s at 16 kHz."""
    return write_synthetic(
        root,
        LABELS,
        sample_rate=16000,
        scenes_per_split={"valid": 2, "test": 3},
        files_per_class={"train": 2, "valid": 1, "test": 1},
        rooms={"train": 1, "valid": 1, "test": 1},
        positions=3,
        noises_per_room=1,
        scene_seconds=2.0,
        noise_seconds=3.0,
        event_seconds=(0.6, 1.0),
        response_seconds=0.1,
    )
