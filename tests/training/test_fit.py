from __future__ import annotations

import pytest

from sedsep.training.fit import make_trainer


@pytest.mark.parametrize(("configured", "epochs"), [({}, 3), ({"max_epochs": 2}, 2), ({"max_epochs": None}, 3)])
def test_what_is_configured_wins_and_null_leaves_it_to_the_recipe(configured: dict[str, int], epochs: int) -> None:
    config = {"_target_": "lightning.Trainer", "_partial_": True, "accelerator": "cpu", "logger": False, **configured}
    assert make_trainer(config, max_epochs=3, enable_checkpointing=False).max_epochs == epochs
