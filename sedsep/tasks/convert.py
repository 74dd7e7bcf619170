"""task=convert: make somebody else's checkpoint one of ours, or change the format of one of ours, or of scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from torch import nn

from sedsep import checkpoints
from sedsep.checkpoints import Description
from sedsep.checkpoints.files import named_tensors, read_weights
from sedsep.checkpoints.names import MEL_BASIS
from sedsep.checkpoints.own import build_fitting
from sedsep.checkpoints.published import locate
from sedsep.checkpoints.reference import Variant, check_mel_basis, recognise
from sedsep.composition.parts import complete
from sedsep.datasets.conversion import convert_scenes
from sedsep.errors import UserError
from sedsep.runs.command_line.arguments import CONFIG


@dataclass(frozen=True)
class Conversion:
    """A conversion that was done.

    Attributes:
        target: the file written.
        account: what the source was and what became of it, a line each.
        use: the commands that take the file.
    """

    target: Path
    account: tuple[str, ...]
    use: tuple[str, ...]


def run(config: DictConfig) -> None:
    """Convert `config.task.source` and say what it was and how to use the result.

    Raises:
        UserError: the source cannot be had or is no checkpoint that we know, nor scenes, or the target cannot be
            written.
    """
    task = config.task
    target = None if task.target is None else Path(str(task.target))
    if (given := Path(str(task.source))).is_dir() or given.suffix == ".json":
        if task.edition is None:
            raise UserError(f"{given} holds scenes: give the year whose format is wanted as task.edition=2025 or 2026.")
        for scenes in convert_scenes(given, task.edition, config.microphones, target):
            print(*scenes.account(), sep="\n")
        return
    source = locate(str(task.source), Path(config.paths.cache))
    done = convert(source, target, task.iters, HydraConfig.get().overrides.task)
    print(*done.account, f"Written to {done.target}", *(f"Use it: {command}" for command in done.use), sep="\n")


def convert(
    source: Path, target: Path | None = None, iters: int | None = None, given: Sequence[str] = ()
) -> Conversion:
    """Write a checkpoint of ours from one of theirs, or from one of ours.

    Args:
        source: the file.
        target: by default beside it.
        iters: refinement passes, where the file name does not say.
        given: overrides of the command line, for what weights do not show.

    Raises:
        UserError: as `run`.
    """
    target = target or source.with_name(f"{source.stem}.sedsep.ckpt")
    if target.resolve() == source.resolve():
        raise UserError(f"task.target={target} would overwrite the source: give another name.")
    content = read_weights(source)
    if checkpoints.ENTRY in content:
        if iters is not None:
            raise UserError(f"{source} is of this suite and says itself how often it refines: leave task.iters out.")
        own = checkpoints.rebuild(content, source)
        network, description = own.network, own.description
        account = [f"{source} is a {description.kind} model of this suite, scale {description.scale}"]
    else:
        state = named_tensors(content, source)
        variant = recognise(state, source)
        network, description = _build(variant, source, iters, given)
        left_out = sum(variant.unused.values())
        account = [f"{source} holds {variant.title}", f"{len(state)} tensors: {len(state) - left_out} used"]
        account += [f"    {count} left out: {reason}" for reason, count in variant.unused.items()]
    checkpoints.save(target, network, description)
    evaluate = f"python run.py task=evaluate scale={description.scale}"
    use = [f"{evaluate} ckpt={target}"]
    if description.kind == "sed":
        head = str(description.network.get("head"))
        model, labels = {
            "linear": ("model=baseline_tagger", "baseline.ckpt"),
            "tracks": ("edition=dcase2026 model=dcase2026_tagger", "edition=dcase2026 baseline.ckpt"),
        }.get(head, ("model=tagger", "tagger.ckpt"))
        use = [f"{evaluate} {model} ckpt={target}", f"{labels}={target} beside any task that wants labels"]
    return Conversion(target, tuple(account), tuple(use))


def _build(variant: Variant, source: Path, iters: int | None, given: Sequence[str]) -> tuple[nn.Module, Description]:
    """The network of a variant, with its weights. The command line has the last word on what does not concern the task.

    Raises:
        UserError: the variant does not fit the configuration.
    """
    texts = ["scale=paper", *variant.overrides, *variant.passes(source, iters)]
    texts += [text for text in given if not text.lstrip("+~").startswith(("task=", "task.", "hydra"))]
    overrides = zip(OverridesParser.create().parse_overrides(texts), texts, strict=True)
    config = compose(CONFIG, overrides=list({override.key_or_group: text for override, text in overrides}.values()))
    complete(config)
    labels = tuple(config.labels.names)
    if len(labels) != variant.classes:
        raise UserError(
            f"{source} knows {variant.classes} classes, the configured labels are {len(labels)}: give the names it was "
            "trained with as labels.names=[...]."
        )
    plain = OmegaConf.to_container(config.model.network, resolve=True)
    assert isinstance(plain, dict)
    network = build_fitting(plain, variant.state, source)
    for name, buffer in network.named_buffers():
        if name.endswith(MEL_BASIS) and variant.mel_basis is not None:
            check_mel_basis(variant.mel_basis, buffer, source)
    checkpoints.load_state(network, variant.state, source)
    return network, Description(variant.kind, config.scale.name, {str(k): v for k, v in plain.items()}, labels)
