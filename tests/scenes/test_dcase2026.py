"""Scenes of 2026: read from their own metadata, and rendered as the challenge renders them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sedsep.scenes.layout import Layout
from sedsep.scenes.metadata import load_index, write_index
from sedsep.scenes.rendering import Renderer


def snr_db(golden: np.ndarray, ours: np.ndarray) -> float:
    golden, difference = golden.astype(float), golden - ours
    return float(10 * np.log10(np.square(golden).sum() / np.square(difference).sum()))


@pytest.mark.parametrize("number", range(8))
def test_scenes_are_those_of_the_challenge(golden: Path, number: int) -> None:
    folder = golden / "dcase2026" / "scenes"
    layout, digest = Layout(folder / "dev_set", 32000, 4), np.load(folder / "digest.npz")
    spec = load_index(layout.root / "metadata" / "valid.json", layout)[number]
    scene = Renderer(layout).render(spec)
    assert list(scene.labels) == json.loads((folder / "scenes.json").read_text())[number]["labels"]
    assert snr_db(digest[f"mixture_{number}"], scene.mixture[:, ::37]) > 120
    for dry, target in zip(digest.get(f"dry_{number}", []), scene.targets, strict=False):
        assert snr_db(dry, target[::37]) > 120
    power = np.square(scene.mixture.astype(float)).mean(axis=1)
    np.testing.assert_allclose(np.sqrt(power), digest[f"rms_mix_{number}"], rtol=1e-6)
    np.testing.assert_allclose(scene.mixture.sum(axis=1, dtype=float), digest[f"sum_mix_{number}"], atol=2e-5)


def test_scenes_are_written_as_they_were_read(golden: Path, tmp_path: Path) -> None:
    layout = Layout(golden / "dcase2026" / "scenes" / "dev_set", 32000, 4)
    specs = load_index(layout.root / "metadata" / "valid.json", layout)
    write_index(specs, tmp_path / "valid.json")
    assert load_index(tmp_path / "valid.json", layout) == specs
