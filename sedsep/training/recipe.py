"""How a model is made and trained, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sedsep.errors import PROGRAM, UserError

RECIPE_VERSION = 1
"""Of the code that networks, losses, optimisers and scenes are made by. Raise it whenever that code gives other numbers
(tests/training/test_recipe.py notices): SED models that an older one trained on the spot are then trained anew."""


@dataclass(frozen=True)
class Plan:
    """On what, and for how long.

    Attributes:
        epochs: of training.
        epoch_size: mixtures of an epoch, over all devices.
        batch_size: mixtures that a device trains on at once.
        eval_batch_size: mixtures that a device validates or scores at once.
        duration: of a training scene, seconds.
        validate_every: epochs between two validations.
        keep: which weights, `best` by validation loss or `last`.
        events: fewest and most targets of a training scene; `None` as the scenes are drawn anyway.
        pool: mixtures that training goes round, kept in memory; `None` for new ones without end.
        channels: the first ones of a mixture, which are all that training needs; `None` for all, and the targets.
        augment: what `build` makes of how training scenes are changed, by name.
    """

    epochs: int
    epoch_size: int
    batch_size: int
    eval_batch_size: int
    duration: float
    validate_every: int
    keep: str
    events: list[int] | None = None
    pool: int | None = None
    channels: int | None = None
    augment: dict[str, Any] = field(default_factory=dict)

    def scenes(self) -> dict[str, Any]:
        """What a `SceneDataModule` takes of it as it is."""
        names = ("epoch_size", "batch_size", "eval_batch_size", "duration", "events", "pool", "channels")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Recipe:
    """A model node of the config (`model`, `tagger` or `baseline`).

    Attributes:
        name: of the model.
        kind: `sed` or `separator`.
        network: what `build` makes the network of.
        system: the same for its loss and learning rates.
        optimizer: the same for the optimiser.
        schedule: the same for the schedule.
        weight_decay: of tensors with two or more dimensions.
        plan: on what, and for how long.
        ckpt: one of our checkpoints to use or to start from; `None` for none.
        start: published weights, or somebody's file, to start from; `None` for none. `ckpt` wins over it.
        published: name of the published checkpoint of this model; `None` for none.
    """

    name: str
    kind: str
    network: dict[str, Any]
    system: dict[str, Any]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    weight_decay: float
    plan: Plan
    ckpt: str | None = None
    start: str | None = None
    published: str | None = None

    @classmethod
    def of(
        cls,
        node: Mapping[str, Any],
        scale: Mapping[str, Any],
        iters: int,
        augment: Mapping[str, dict[str, Any]] | None = None,
    ) -> Recipe:
        """The recipe in a model node.

        Args:
            node: as the config has it, resolved to plain values; what is `None` in its `training` is the scale's.
            scale: the sizes, with a plan for each `part`.
            iters: refinement passes, which large batches leave no memory for.
            augment: as the config has it; `None` for nothing.

        Raises:
            UserError: spectrograms are to be augmented, and the model is no SED model.
        """
        own = {name: value for name, value in node["training"].items() if value is not None}
        plan = {**scale[node["part"]]["training"], **own}
        if isinstance(by_passes := plan["batch_size"], list):
            plan["batch_size"] = by_passes[min(iters, len(by_passes) - 1)]
        if node["kind"] == "sed":
            network = node["network"]
            plan["channels"] = max(network["reference_channel"] + 1, network["microphones"])
        system, augment = node["system"], augment or {}
        plan["augment"] = augment.get("scenes", {})
        if spectrogram := augment.get("spectrogram"):
            if node["kind"] != "sed":
                raise UserError(
                    f"augment={','.join(spectrogram)} is for SED models, not for {node['name']}: leave it out, or "
                    f"train one ({PROGRAM} model=tagger)."
                )
            system = {**system, "augment": spectrogram}
        optim = node["optim"]
        return cls(
            name=node["name"],
            kind=node["kind"],
            network=node["network"],
            system=system,
            optimizer=optim["optimizer"],
            schedule=optim["schedule"],
            weight_decay=optim["weight_decay"],
            plan=Plan(**plan),
            ckpt=node.get("ckpt"),
            start=node.get("start"),
            published=node.get("published"),
        )

    @property
    def is_guided(self) -> bool:
        """Whether it is a separator that a SED model guides."""
        separator = self.network.get("separator", {})
        parts = (separator.get(name) for name in ("time_film", "injection", "conditions"))
        return self.network.get("sed") is not None and any(parts)

    @property
    def is_unlabelled(self) -> bool:
        """Whether it is a separator that is told no labels."""
        return str(self.network.get("_target_")).endswith(".UnlabelledSeparator")

    def fixed(self) -> dict[str, Any]:
        """What cannot change once a training has begun, as the options are called; on what machine it runs, can."""
        optimizer = {name: value for name, value in self.optimizer.items() if name != "fused"}
        return {
            **{name: getattr(self, name) for name in ("name", "kind", "network", "system", "ckpt", "start")},
            "optim": {"optimizer": optimizer, "schedule": self.schedule, "weight_decay": self.weight_decay},
            # Without augmentation it is the recipe that it was before there was any.
            "training": {name: value for name, value in asdict(self.plan).items() if value != {}},
        }
