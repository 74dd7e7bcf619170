"""Two processes train a refining separator together; each writes down how many passes its steps took."""

import json
import sys
from pathlib import Path

import lightning
import torch
from minis import LABELS, make_batch, make_guided, make_sed
from torch.utils.data import DataLoader

from sedsep.checkpoints import Description
from sedsep.conditioning import Soundbeam, TimeFilm
from sedsep.training import SedRates, SeparatorRates, SeparatorSystem, warmup_cosine


class Watched(SeparatorSystem):
    def draw_passes(self) -> int | None:
        passes = super().draw_passes()
        self.passes = [*getattr(self, "passes", []), passes]
        return passes

    def on_train_end(self) -> None:
        weights = torch.cat([p.detach().flatten() for p in self.network.parameters()])
        found = {"passes": self.passes, "weights": weights.double().sum().item()}
        Path(sys.argv[1], f"{self.global_rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    system = Watched(
        make_guided(time_film=TimeFilm, injection=Soundbeam, iters=4, sed=make_sed()),
        labels=LABELS,
        rates=SeparatorRates(1e-3, 1e-3, 1e-3, SedRates(heads=0.0, backbone=1e-3)),
        description=Description("separator", "mini", {}, ()),
        optimizer=torch.optim.AdamW,
        schedule=lambda optimizer, total_steps: warmup_cosine(optimizer, total_steps, 1),
    )
    batches = [make_batch([[1, None, 4]], seed=index) for index in range(12)]
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", devices=2, strategy="ddp_fork", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(system, DataLoader(batches, batch_size=None))
