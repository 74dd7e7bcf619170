"""An hour without targets, for task=alarms: a data set's background, and its interfering sounds now and then.

python experiments/labelling/ambience.py DATA_SET OUT [SPLIT]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from sedsep.scenes import audio

FILES, SECONDS = 12, 300
EVERY_S = 20.0
"""Between two interfering sounds, on average."""
LEVELS_DB = (0.0, 15.0)
"""Of an interfering sound, over the background."""


def ambience(rng: np.random.Generator, backgrounds: list[Path], sounds: list[Path], rate: int) -> np.ndarray:
    """W of a file [F], backgrounds one after the other."""
    pieces, length = [], 0
    while length < SECONDS * rate:
        pieces.append(audio.read(backgrounds[rng.integers(len(backgrounds))])[0][:, 0])
        length += len(pieces[-1])
    samples = np.concatenate(pieces)[: SECONDS * rate].copy()
    level = np.sqrt(np.mean(samples**2))
    for _ in range(rng.poisson(SECONDS / EVERY_S)):
        sound = audio.read(sounds[rng.integers(len(sounds))])[0][:, 0]
        start = rng.integers(max(1, len(samples) - len(sound)))
        gain = level / max(1e-9, np.sqrt(np.mean(sound**2))) * 10 ** (rng.uniform(*LEVELS_DB) / 20)
        samples[start : start + len(sound)] += gain * sound[: len(samples) - start]
    return samples.astype(np.float32)


def main(root: str, out: str, split: str = "test") -> None:
    backgrounds, sounds = (sorted(Path(root, kind, split).rglob("*.wav")) for kind in ("noise", "interference"))
    rate = audio.info(backgrounds[0]).rate
    Path(out).mkdir(parents=True, exist_ok=True)
    for number in range(FILES):
        samples = ambience(np.random.default_rng(number), backgrounds, sounds, rate)
        audio.write(Path(out, f"ambience_{number:02d}.wav"), samples[:, None], rate)


if __name__ == "__main__":
    main(*sys.argv[1:])
