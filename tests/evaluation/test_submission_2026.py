"""A submission of 2026 says what was scored, passes its check, and is refused whatever was done to it."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from minis import LABELS, LENGTH, RATE, make_batch, noise
from whole_systems import SED, make, separator_config

from sedsep.checkpoints import Checkpoint, Description
from sedsep.evaluation.accounts import DevResults, dev_results, meta, parameters, system_config
from sedsep.evaluation.checking import Rules, check
from sedsep.evaluation.estimates import Estimates
from sedsep.evaluation.evaluator import Evaluator, FileEvaluator
from sedsep.evaluation.results import Evaluation
from sedsep.evaluation.submission import About, System, pack_2026
from sedsep.files import parsed_json
from sedsep.labels import LabelRule, named_classes, named_sources
from sedsep.types import SedOutput

FOLDER = "Doe_Uni_task4_1"
TRACKS = {**SED, "head": "tracks", "track_width": 8, "track_hidden": 8}
LOUD = make_batch([[0, 2, 2], [1, None, None], [None, None, None], [3, 4, 0]])
BATCH = replace(LOUD, mixture=0.01 * LOUD.mixture, targets=0.01 * LOUD.targets)  # estimates stay below full scale
RULES = Rules(dict.fromkeys(BATCH.names, LENGTH), LABELS, RATE, "2026", 3, frozenset(BATCH.names))


class Answers(torch.nn.Module):
    """A tagger that names Dog twice, nothing, a Bell and then Speech, and all three of Rain."""

    input_rate = RATE
    said = ((2, 5, 2), (5, 5, 5), (0, 5, 4), (3, 3, 3))

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(7))

    def forward(self, mixture: torch.Tensor) -> SedOutput:
        """Logits [B, 3, 6]: the first track is the surest."""
        tracks = torch.nn.functional.one_hot(torch.tensor(self.said), 6) * torch.tensor([[4.0], [3.0], [2.0]])
        return SedOutput(1 - (1 - tracks.softmax(-1)[..., :-1]).prod(1), tracks=tracks)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that nothing is the matter with, but that people have to fill in a description."""
    path = tmp_path_factory.mktemp("made")
    separator, tagger = (
        Checkpoint(network, Description(kind, "mini", config, LABELS.names), path / kind)
        for kind, network, config in (
            ("separator", make(separator_config(outputs=3)), separator_config(outputs=3)),
            ("sed", Answers(), TRACKS),
        )
    )
    for one in (separator, tagger):
        one.path.write_text(one.description.kind)
    networks = {"separator": separator.network, "taggers": {"baseline": tagger.network}}
    scored = Evaluator(LABELS, rate=RATE, oracle=False, **networks)(BATCH)
    evaluation = Evaluation("test", LABELS.names, scored, passes=1)
    dev = json.dumps(dev_results(evaluation, [separator], [tagger], "fp32"))
    results, nparams = parsed_json(dev, DevResults), parameters([separator, tagger])
    description = meta("Doe", "Uni", 1, RATE, nparams, results)
    about = About(nparams, system_config([separator], [tagger], 0.5, "fp32"), dev, description)
    answers = System(separator.network, tagger.network, LABELS, LabelRule(0.5, at_most=3)).answers(BATCH.mixture)
    pack_2026(path / f"{FOLDER}_out.zip", zip(BATCH.names, answers, strict=True), RATE, FOLDER, about)
    with zipfile.ZipFile(path / f"{FOLDER}_out.zip") as archive:
        archive.extractall(path)
    return path


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / FOLDER, tmp_path / FOLDER))


def zipped(folder: Path, name: str = f"{FOLDER}.zip", top: str = f"{FOLDER}/") -> Path:
    path = folder.parent / name
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            archive.write(file, f"{top}{file.relative_to(folder)}")
    return path


def kinds(path: Path) -> set[str]:
    return {problem.kind for problem in check(path, RULES).errors}


# What is made.


def test_a_track_names_a_class_with_its_largest_probability_and_silence_names_none() -> None:
    output = Answers()(BATCH.mixture)
    assert named_classes(output, LabelRule()) == [[2, 2], [], [0, 4], [3, 3, 3]]
    sure = [float(torch.tensor([height, 0, 0, 0, 0, 0]).softmax(0)[0]) for height in (4.0, 3.0, 2.0)]
    (_, first), (_, second) = named_sources(output, LabelRule())[0]
    assert (first, second) == pytest.approx((sure[0], sure[2]))


def test_a_tagger_of_classes_names_them_with_those_of_the_clip() -> None:
    output = SedOutput(torch.tensor([[0.1, 0.9, 0.6, 0.2, 0.7]]))
    assert dict(named_sources(output, LabelRule(at_most=2))[0]) == pytest.approx({1: 0.9, 4: 0.7})


def test_what_we_make_is_taken_under_both_names_and_says_what_was_scored(made: Path) -> None:
    for path in (made / FOLDER, made / f"{FOLDER}_out.zip", zipped(made / FOLDER), zipped(made / FOLDER, top="")):
        verdict = check(path, RULES)
        assert [(problem.kind, problem.item.split("/")[-1]) for problem in verdict.problems] == [("meta", "meta.yaml")]
        assert verdict.estimates == 7
    assert sorted(file.name for file in (made / FOLDER / "eval_out").iterdir()) == [
        "scene_0_0_Dog.wav", "scene_0_1_Dog.wav", "scene_2_0_Bell.wav", "scene_2_1_Speech.wav",
        "scene_3_0_Rain.wav", "scene_3_1_Rain.wav", "scene_3_2_Rain.wav",
    ]  # fmt: skip
    told = json.loads((made / FOLDER / "eval_results.json").read_text())
    assert [len(one["estimate"]) for one in told["probabilities"]] == [2, 0, 2, 3]
    dev = json.loads((made / FOLDER / "dev_set_test_results.json").read_text())
    assert [detail["soundscape"] for detail in dev["details"]] == list(BATCH.names)
    assert dev["label_metrics"] == {"accuracy_mix": 0, "accuracy_src": pytest.approx(3 / 11)}
    assert (dev["config"], dev["nparams"]) == (told["config"], told["nparams"])
    for answer, detail in zip(told["probabilities"], dev["details"], strict=True):
        assert [one["probability"] for one in answer["estimate"]] == detail["probabilities"]
    estimates = Estimates(made / FOLDER / "eval_out", BATCH.names, LABELS, RATE)
    again = Evaluation("test", LABELS.names, FileEvaluator(LABELS, RATE, estimates.of)(BATCH))
    assert dev["CAPI-SDRi"]["mean"] == pytest.approx(again.metrics["test/capi_sdri/files"].value, abs=1e-6)


# What is checked.


def put(folder: Path, name: str, **changes: Any) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    given = {"data": 0.1 * noise(LENGTH).numpy(), "samplerate": RATE, "subtype": "FLOAT"} | changes
    soundfile.write(folder / name, **given)


def edit(folder: Path, name: str, change: Callable[[Any], object]) -> None:
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))


def first(content: Any) -> Any:
    return content["probabilities"][0]["estimate"][0]


def in_eval(change: Callable[[Any], object]) -> Callable[[Path], object]:
    return lambda folder: edit(folder, "eval_results.json", change)


def in_dev(change: Callable[[Any], object]) -> Callable[[Path], object]:
    return lambda folder: edit(folder, "dev_set_test_results.json", change)


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


DAMAGES: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "an estimate is gone": (lambda f: (f / "eval_out" / "scene_0_1_Dog.wav").unlink(), {"absent"}),
    "one is not listed": (lambda f: put(f, "eval_out/scene_1_0_Bell.wav"), {"unlisted"}),
    "one lies elsewhere": (
        lambda f: (f / "eval_out" / "scene_0_1_Dog.wav").rename(f / "scene_0_1_Dog.wav"),
        {"place", "absent"},
    ),
    "of no mixture": (lambda f: put(f, "eval_out/scene_9_0_Dog.wav"), {"stray", "unlisted"}),
    "of no class": (lambda f: put(f, "eval_out/scene_1_0_Cat.wav"), {"label", "unlisted"}),
    "without a number": (lambda f: put(f, "eval_out/scene_1_Dog.wav"), {"form", "unlisted"}),
    "more sources than slots": (lambda f: put(f, "eval_out/scene_3_3_Rain.wav"), {"sources", "unlisted"}),
    "of another rate": (lambda f: put(f, "eval_out/scene_0_0_Dog.wav", samplerate=16000), {"rate"}),
    "cut": (lambda f: put(f, "eval_out/scene_0_0_Dog.wav", data=noise(LENGTH - 1).numpy() / 9), {"length"}),
    "no account of estimates": (lambda f: (f / "eval_results.json").unlink(), {"account"}),
    "no account of scores": (lambda f: (f / "dev_set_test_results.json").unlink(), {"account"}),
    "not JSON": (write("eval_results.json", "{"), {"account"}),
    "another kind of JSON": (write("dev_set_test_results.json", "[]"), {"account"}),
    "nested without end": (write("eval_results.json", "[" * 100_000), {"account"}),
    "too large": (write("eval_results.json", " " * (2**24 + 1)), {"account"}),
    "not a number": (in_eval(lambda c: first(c).update(probability=float("nan"))), {"account"}),
    "surer than sure": (in_eval(lambda c: first(c).update(probability=1.5)), {"number"}),
    "called otherwise": (in_eval(lambda c: first(c).update(label="Bell")), {"disagrees"}),
    "under another mixture": (in_eval(lambda c: c["probabilities"][0].update(soundscape="scene_1")),
                              {"mixture", "disagrees"}),
    "listed twice": (in_eval(lambda c: c["probabilities"][0]["estimate"].append(first(c))), {"repeated"}),
    "a mixture twice": (in_eval(lambda c: c["probabilities"].append(c["probabilities"][1])), {"mixture"}),
    "a scored mixture twice": (in_dev(lambda c: c["details"].append(c["details"][3])), {"mixture", "disagrees"}),
    "a scored mixture is gone": (in_dev(lambda c: c["details"].pop(2)), {"mixture", "disagrees"}),
    "a scored class is none": (in_dev(lambda c: c["details"][0].update(ref_labels=["Dog", "Cat", "Dog"])), {"label"}),
    "probabilities of others": (in_dev(lambda c: c["details"][0]["probabilities"].pop()), {"disagrees"}),
    "a better accuracy": (in_dev(lambda c: c["label_metrics"].update(accuracy_mix=0.9)), {"disagrees"}),
    "a better score": (in_dev(lambda c: c["CAPI-SDRi"].update(mean=20)), {"disagrees"}),
    "no score": (in_dev(lambda c: c.pop("CAPI-SDRi")), {"account"}),
    "a description that is none": (write("meta.yaml", "- [a"), {"account"}),
    "what a system left": (write(".DS_Store", "x"), {"hidden"}),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("keep", [lambda folder: folder, zipped], ids=["folder", "zip"])
def test_what_is_damaged_is_refused(folder: Path, damage: str, keep: Callable[[Path], Path]) -> None:
    change, expected = DAMAGES[damage]
    change(folder)
    assert kinds(keep(folder)) == expected


def test_all_that_is_wrong_is_found_at_once(folder: Path) -> None:
    chosen = (
        "an estimate is gone", "of no mixture", "of no class", "more sources than slots", "of another rate",
        "surer than sure", "a mixture twice", "a scored mixture is gone", "a scored class is none",
        "a description that is none", "what a system left",
    )  # fmt: skip
    for damage in chosen:
        DAMAGES[damage][0](folder)
    assert kinds(zipped(folder, "Doe_task4_1.zip")) == {
        "name",
        *set().union(*(DAMAGES[damage][1] for damage in chosen)),
    }


def test_a_zip_and_its_folder_have_one_name(folder: Path) -> None:
    assert kinds(zipped(folder, "Doe_Uni_task4_2.zip")) == {"name"}
    assert kinds(zipped(folder, "Doe_Uni_task4_2_out.zip", "")) == set()


def test_mixtures_that_nothing_tells_of_are_a_warning(folder: Path) -> None:
    edit(folder, "eval_results.json", lambda content: content["probabilities"].pop(1))
    verdict = check(folder, RULES)
    assert [problem.item for problem in verdict.problems if problem.kind == "missing"] == ["scene_1"]
    assert verdict.errors == []
