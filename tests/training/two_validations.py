"""Two processes validate a SED model, one of them on fillers alone; each writes down the scores it has."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import lightning
import torch
from minis import RATE, make_batch, make_sed
from torch.utils.data import DataLoader

from sedsep.checkpoints import Description
from sedsep.training import SedRates, SedSystem, warmup_constant
from sedsep.types import FILLER

FOLDER = Path(sys.argv[1])
BATCHES = [make_batch([[0, 2, None], [1, None, None]], 2 * RATE), make_batch([[3, 0, None]], 3 * RATE)]
FILLERS = [replace(batch, names=[FILLER] * len(batch.names)) for batch in BATCHES]


class Shared(SedSystem):
    def on_validation_end(self) -> None:
        scores = {name: value.item() for name, value in self.trainer.callback_metrics.items()}
        name = "alone" if self.trainer.world_size == 1 else str(self.global_rank)
        (FOLDER / f"{name}.json").write_text(json.dumps(scores))

    def val_dataloader(self) -> DataLoader:
        return DataLoader(FILLERS if self.global_rank else BATCHES, batch_size=None)


def validate(**how: object) -> None:
    torch.manual_seed(0)
    system = Shared(
        make_sed(),
        rates=SedRates(heads=1e-2, backbone=1e-3),
        description=Description("sed", "mini", {}, ()),
        optimizer=torch.optim.AdamW,
        schedule=lambda optimizer, total_steps: warmup_constant(optimizer, total_steps, 2),
    )
    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, use_distributed_sampler=False, **how
    )
    trainer.validate(system, verbose=False)


if __name__ == "__main__":
    torch.set_num_threads(1)
    validate(devices=2, strategy="ddp_fork")
    validate(devices=1)
