"""Where what a config or a checkpoint names is made: classes and functions of one list, and nothing else is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from sedsep.errors import UserError

TARGET, PARTIAL = "_target_", "_partial_"

NETWORKS = ("sedsep.conditioning", "sedsep.models", "sedsep.modules")
"""Packages whose classes a checkpoint may name, too: they hold parts of networks alone."""

PACKAGES = (*NETWORKS, "torch.optim")
"""Packages of which every class may be named."""

_OURS = {
    "datasets.challenge": "Assembly Cleaning Curated Licence Speech ZenodoArchive prepared",
    "datasets.synthetic": "ensure_synthetic",
    "evaluation.fitting": "fit_expected fit_per_class",
    "runs.tracking": "Csv Logging Mlflow",
    "scenes.augment": "Equaliser Joining Rotation",
    "scenes.datamodule": "SceneDataModule",
    "scenes.sampling": "Repeats SceneSampler",
    "training": "EpochAverage FilterAugment FrequencyWarp LastCheckpoint Mixup MovingAverage SedRates SedSystem "
    "SeparatorRates SeparatorSystem SpecAugment Speed UnlabelledSystem warmup_constant warmup_cosine warmup_linear",
    "training.meters": "Meters",
}
_LIGHTNING = {
    "lightning": "Trainer",
    "lightning.pytorch.callbacks": "LearningRateMonitor ModelCheckpoint",
    "lightning.pytorch.profilers": "PyTorchProfiler SimpleProfiler",
    "lightning.pytorch.strategies": "DDPStrategy",
}
NAMES = frozenset(
    f"{module}.{name}"
    for module, names in [*((f"sedsep.{room}", names) for room, names in _OURS.items()), *_LIGHTNING.items()]
    for name in names.split()
)
"""What else may be named, as the configs do."""

LARGEST = 200
"""Mappings and lists in a node: networks have a tenth of it. One that holds itself, or many times over, has no end."""


def build(
    node: Any, /, *, source: Path | str | None = None, packages: tuple[str, ...] | None = None, **parts: Any
) -> Any:
    """What a node describes: `_target_` called with the other entries, those inside made first.

    Args:
        node: plain values; `_partial_: true` gives what makes the thing, not the thing.
        source: the file that it comes from; `None` for the config.
        packages: of which alone classes may be named; `None` for all that a config may name.
        parts: made already, for the outermost call.

    Raises:
        UserError: the node names, or holds, what it may not; nothing has been called then.
    """
    for number, inner in enumerate(_nodes(node)):
        if number == LARGEST:
            raise UserError(f"{source or 'The config'} describes something that has no end: do not use it.")
        _check(inner, source, packages)
    return _made(node, packages, parts)


def _nodes(node: Any) -> Iterator[Any]:
    """The node and every mapping and list inside."""
    waiting = [node]
    while waiting:
        inner = waiting.pop()
        yield inner
        children = inner.values() if isinstance(inner, Mapping) else inner if isinstance(inner, list | tuple) else ()
        waiting.extend(child for child in children if isinstance(child, Mapping | list | tuple))


def _check(node: Any, source: Path | str | None, packages: tuple[str, ...] | None) -> None:
    """Refuse one mapping or list that asks for anything but a call of what may be named, with values as they stand."""
    entries = dict(node) if isinstance(node, Mapping) else {}
    strange: list[object] = [name for name in entries if str(name).startswith("_") and name not in (TARGET, PARTIAL)]
    if TARGET in entries and _find(entries[TARGET], packages) is None:
        strange.append(entries[TARGET])
    if not isinstance(entries.get(PARTIAL, False), bool):
        strange.append(f"{PARTIAL}={entries[PARTIAL]}")
    values = entries.values() if entries else node if isinstance(node, list | tuple) else [node]
    strange += [value for value in values if isinstance(value, str) and "${" in value]
    if strange:
        what = " ".join(str(strange[0]).split())[:100]
        instead = "name what the files of conf/ name" if source is None else "do not use this file"
        raise UserError(f"{source or 'The config'} asks for {what}, which is not part of sedsep: {instead}.")


def _find(target: Any, packages: tuple[str, ...] | None) -> Any:
    """The class or function of a name; `None` for what may not be named, of which nothing is imported.

    Attributes of our modules lead on to any module that these import: what was found says itself where it is from.
    """
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")):
        return None
    listed = packages is None and target in NAMES
    packages = tuple(f"{package}." for package in packages or PACKAGES)
    if not listed and not target.startswith(packages):
        return None
    module, _, name = target.rpartition(".")
    try:
        found = getattr(import_module(module), name, None)
    except ImportError:
        return None
    return found if listed or (isinstance(found, type) and f"{found.__module__}.".startswith(packages)) else None


def _made(node: Any, packages: tuple[str, ...] | None, parts: dict[str, Any]) -> Any:
    if isinstance(node, list | tuple):
        return [_made(child, packages, {}) for child in node]
    if not isinstance(node, Mapping):
        return node
    entries = {name: _made(child, packages, {}) for name, child in node.items()} | parts
    if TARGET not in entries:
        return entries
    make = _find(entries.pop(TARGET), packages)
    return partial(make, **entries) if entries.pop(PARTIAL, False) else make(**entries)
