"""task=compare: two systems or more on the same mixtures."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from sedsep.checkpoints.finding import find
from sedsep.composition import common
from sedsep.composition.conclusion import score
from sedsep.errors import UserError
from sedsep.evaluation.comparison import Comparison, Contrast, System, check_same
from sedsep.evaluation.differences import main_scores, show_comparison, write_changes
from sedsep.evaluation.estimates import holds_estimates
from sedsep.evaluation.evaluator import AnyEvaluator
from sedsep.evaluation.reading import has_scores, read_scores
from sedsep.evaluation.report.comparison import write_comparison
from sedsep.evaluation.report.examples import Example, taken_apart
from sedsep.evaluation.results import Evaluation
from sedsep.evaluation.scored import scored_with
from sedsep.evaluation.writing import write_scores
from sedsep.labels import LabelSet
from sedsep.metrics.bootstrap import Bootstrap
from sedsep.runs import provenance
from sedsep.runs.command_line import inherited
from sedsep.runs.command_line.arguments import CONFIG, quoted
from sedsep.runs.command_line.starting import newest
from sedsep.runs.run import DESCRIPTION, Run
from sedsep.scenes.dataset import GeneratedScenes, IndexedScenes, collate
from sedsep.scenes.recorded import RecordedScenes
from sedsep.tasks import evaluate
from sedsep.tasks.entry import at_its_scale

log = logging.getLogger(__name__)


SCORED = ("ckpt=", "task.estimates=")
"""Overrides that say what is scored."""
PAGE = "comparison.html"


@dataclass(frozen=True)
class Source:
    """What a person calls a system by.

    Attributes:
        letter: A, B, ...
        name: as given, a run's directory for `last`.
        begun: overrides by which `task=evaluate` scores it; of a run those that it was begun with.
        is_run: whether it is one.
    """

    letter: str
    name: str
    begun: list[str]
    is_run: bool

    @classmethod
    def of(cls, letter: str, name: str) -> Source:
        """A run's directory, or last; wav files; or else what `ckpt` takes."""
        path = newest(Path("outputs"), finished=True) if name == "last" else Path(name)
        if (path / inherited.OVERRIDES).is_file():
            begun = inherited.begun_with(path)
            taken, left_out = inherited.values(begun, path, GlobalHydra.instance().config_loader())
            if left_out:
                log.warning("%s", inherited.warning(left_out, path))
            scores = "task=evaluate" in taken  # it says of what
            taken = [text for text in taken if not text.startswith("task=" if scores else ("task=", "ckpt="))]
            return cls(letter, str(path), [*taken, *([] if scores else [f"ckpt={quoted(str(path))}"])], is_run=True)
        option = "task.estimates" if holds_estimates(path) else "ckpt"
        return cls(letter, name, [f"{option}={quoted(name)}"], is_run=False)

    @property
    def scores(self) -> Path | None:
        """The folder of its scores; `None` where there are none yet."""
        return Path(self.name) if has_scores(Path(self.name)) else None


@dataclass(frozen=True)
class Prepared:
    """What gives the sounds of a system, and its scores.

    Attributes:
        run: with the config that scores it.
        labels: its classes.
        scenes: to score.
        evaluator: scores them.
    """

    run: Run
    labels: LabelSet
    scenes: GeneratedScenes | IndexedScenes | RecordedScenes
    evaluator: AnyEvaluator


def run(config: DictConfig) -> None:
    """Compare `config.b`, one system or several, with `config.a`.

    Raises:
        UserError: there is none, or they cannot be scored, or were scored on other mixtures.
    """
    others = list(config.b) if OmegaConf.is_list(config.b) else [config.b]
    names = [config.a, *others]
    if not all(names) or not 2 <= len(names) <= len(ascii_uppercase):
        raise UserError(
            "task=compare needs two systems or more: add a=PATH b=PATH, or b=[PATH,PATH], each a run's directory or "
            "last, whatever ckpt takes, or a folder or zip of wav files."
        )
    sources = [Source.of(letter, str(name)) for letter, name in zip(ascii_uppercase, names, strict=False)]
    typed = [text for text in HydraConfig.get().overrides.task if not text.startswith(("task=", "a=", "b="))]
    base = next((source for source in sources if source.is_run), None)
    data = [] if base is None else [text for text in base.begun if not text.startswith(SCORED)]
    known = {source.name: read_scores(source.scores) for source in sources if source.scores}
    check_same([System(source.letter, source.name, *known[source.name]) for source in sources if source.scores])
    job = Run.open(_composed([*data, *typed, "task=compare", *_given(sources)]))
    prepared: dict[str, Prepared] = {}
    for source in {source.name: source for source in sources}.values():  # the same thing is scored once
        if source.name not in known:
            prepared[source.name] = _prepared(job, source, base, typed)
            _check_names(source, prepared[source.name], {name: evaluation for name, (evaluation, _) in known.items()})
    for name, system in prepared.items():
        evaluation = score(system.run, system.labels, system.scenes, system.evaluator)
        write_scores(system.run.directory, evaluation, {"facts": {"System": name}, "taggers": {}})
        known[name] = read_scores(system.run.directory)
    systems = [System(source.letter, source.name, *known[source.name]) for source in sources]
    comparison = Comparison(systems, Bootstrap(config.task.resamples))
    with job.tracker() as tracker:
        examples, notes = _take_apart(job, comparison, sources, base, typed, prepared)
        files = [*write_changes(job.directory, comparison), job.directory / PAGE]
        write_comparison(
            files[-1],
            comparison,
            title=" and ".join(system.letter for system in systems) + f" on {job.data_name}",
            subtitle=f"{len(systems[0].evaluation.mixtures)} mixtures, {date.today()}",
            facts=[(system.letter, system.source) for system in systems] + _facts(job),
            notes=notes,
            examples=examples,
        )
        tracker.metrics(_numbers(comparison))
        tracker.tags({f"sedsep.system.{system.letter}": system.source for system in systems})
        tracker.tags({DESCRIPTION: f"{main_scores(comparison)}\n\n{files[-1]}\n\n`{provenance.command()}`"})
        for file in (*files, job.directory / "config.yaml"):
            tracker.artifact(file)
    show_comparison(comparison)
    print(f"Comparison: {files[-1]}")


def _given(sources: Sequence[Source]) -> list[str]:
    """The systems as they are given to a job."""
    first, *others = (quoted(source.name) for source in sources)
    return [f"a={first}", f"b=[{','.join(others)}]"]


def _facts(job: Run) -> list[tuple[str, str]]:
    """What a reader wants to know of the making; where the data lie is known where they are named."""
    data = str(job.config.audio or job.config.data.root or job.data_name)
    return [(name, data if name == "Data" else value) for name, value in job.facts(Path())]


def _composed(overrides: list[str]) -> DictConfig:
    """The config of a job, complete and resolved."""
    config = at_its_scale(compose(CONFIG, overrides), overrides)
    common.complete(config)
    OmegaConf.resolve(config)
    return config


def _prepared(job: Run, source: Source, base: Source | None, typed: Sequence[str]) -> Prepared:
    """What `task=evaluate` scores a system with: a run's as it was begun, others on the data, and with the taggers, of
    the first run among them, but for what the command names.

    Raises:
        UserError: as of `task=evaluate`.
    """
    own = ["task=evaluate", "logger=none", "trainer.devices=1", "++trainer.num_nodes=1"]
    own.append(f"paths.run={quoted(str(job.directory / source.letter))}")
    if source.is_run or base is None:
        config = _composed([*source.begun, *typed, *own])
    else:
        begun = [text for text in base.begun if not text.startswith(SCORED)]
        config = _composed([*begun, *_taggers(job, source, base), *typed, *source.begun, *own])

    def keep(
        run: Run, tracker: object, data: Path, labels: LabelSet, scenes: Any, evaluator: AnyEvaluator, *_: object
    ) -> Prepared:
        return Prepared(run, labels, scenes, evaluator)

    return evaluate.run(config, keep)


def _taggers(job: Run, source: Source, base: Source) -> list[str]:
    """The taggers of a run for a checkpoint that does not say with which it was scored."""
    separators = [text.split("=", 1)[1].strip("'") for text in (*source.begun, *base.begun) if text.startswith("ckpt=")]
    if len(separators) < 2 or scored_with(find(separators[0], job.cache)):
        return []
    scored = scored_with(find(separators[1], job.cache))
    files = {option: scored.tagger(option) for option in scored.taggers} if scored else {}
    return [f"{option}.ckpt={quoted(str(file))}" for option, file in files.items()]


def _check_names(source: Source, system: Prepared, known: Mapping[str, Evaluation]) -> None:
    """Refuse to score other mixtures than those that others were scored on: minutes for nothing.

    Raises:
        UserError: they are others.
    """
    names = set(system.scenes.names)
    for other, evaluation in known.items():
        theirs = {mixture.name for mixture in evaluation.mixtures}
        if names != theirs:
            raise UserError(
                f"{other} was scored on {len(theirs)} mixtures, and {source.name} would be on {len(names)}, of which "
                f"{len(names & theirs)} are the same: name the data of the former (data.root=PATH, audio=FOLDER)."
            )


def _take_apart(
    job: Run,
    comparison: Comparison,
    sources: Sequence[Source],
    base: Source | None,
    typed: Sequence[str],
    prepared: Mapping[str, Prepared],
) -> tuple[list[Example], list[str]]:
    """The mixtures that differ most with the sounds of each system, and of which systems there are none."""
    chosen = [contrast for contrast in comparison.contrasts if contrast.spread > 0][: job.config.task.examples]
    examples: dict[str, Example] = {}
    notes = []
    for source, system in zip(sources, comparison.systems, strict=True):
        if not chosen or not comparison.separated:
            break
        try:
            made_by = prepared.get(source.name) or _prepared(job, source, base, typed)
        except UserError as error:
            notes.append(f"There are no sounds of {source.letter}: {error}")
            log.warning("There are no sounds of %s: %s", source.letter, error)
            continue
        evaluator, places = made_by.evaluator.to(job.device), {name: i for i, name in enumerate(made_by.scenes.names)}
        for contrast in chosen:
            name = contrast.rows[0].name
            batch = collate([made_by.scenes[places[name]]], evaluator.labels).to(job.device)
            one = taken_apart(
                batch, evaluator, system.evaluation, job.config.sample_rate, _caption(comparison, contrast)
            )
            before = examples.get(name, replace(one, estimates={}, sed_probabilities=None))
            stems = one.estimates.get(system.evaluation.main_source, [])
            examples[name] = replace(before, estimates={**before.estimates, source.letter: stems})
    return list(examples.values()), notes


def _caption(comparison: Comparison, contrast: Contrast) -> str:
    metric = comparison.ranked_by
    values = zip(comparison.systems, contrast.values, strict=True)
    return f"{metric.title} " + ", ".join(f"{s.letter} {value:.1f} {metric.unit}" for s, value in values)


def _numbers(comparison: Comparison) -> dict[str, float]:
    """What tracking keeps: differences by system, metric and label source, and how probable it is that it is better."""
    numbers: dict[str, float] = {}
    for change in comparison.changes:
        if change.table == "all":
            name = f"{change.system}/{replace(change.score, source=change.labels)}"
            numbers |= {f"difference/{name}": change.difference.value, f"better/{name}": change.better}
    return numbers
