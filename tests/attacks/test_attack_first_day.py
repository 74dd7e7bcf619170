"""A first day with the suite: what a run says of its taggers, sets for scoring alone, and every form of `ckpt`."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from harness import assert_accepted, assert_refused, assert_refuses, command
from minis import LABELS, RATE, noise
from tiny import TINY
from whole_systems import GUIDED, SED, make, saved

import sedsep
from sedsep import checkpoints
from sedsep.checkpoints import Description
from sedsep.fingerprint import fingerprint
from sedsep.inference import Request

pytestmark = pytest.mark.slow

Names = Callable[[Any], None]


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    saved(folder, **GUIDED)
    return folder


@pytest.fixture
def run(networks: Path, tmp_path: Path) -> Path:
    """A run that was scored, with its tagger beside it."""
    folder = tmp_path / "run" / "checkpoints" / "separator"
    folder.mkdir(parents=True)
    shutil.copy(networks / "separator.ckpt", folder / "last.ckpt")
    tagger = Path(shutil.copy(networks / "tagger.ckpt", tmp_path / "tagger.ckpt"))
    (folder / "recipe.json").write_text('{"model.training.keep": "last", "model.kind": "separator"}')
    say(tmp_path / "run", threshold=0.4, taggers={"tagger": {"checkpoint": str(tagger), "digest": fingerprint(tagger)}})
    return tmp_path / "run"


def say(run: Path, **content: Any) -> None:
    (run / "evaluation.json").write_text(json.dumps(content))


def listen(run: Path, labels: tuple[str, ...] | None = None) -> sedsep.inference.SceneSeparator:
    """A system that may be asked for what it hears, or for some sounds."""
    system = sedsep.load(run, device="cpu")
    system.check(Request(labels))
    return system


def test_a_run_names_its_tagger_and_threshold(run: Path) -> None:
    system = listen(run)
    assert (system.threshold, system.named_by) == (0.4, "the tagger")
    heard = system.separate(noise(2, RATE), RATE)
    expected = sedsep.load(run / "checkpoints/separator/last.ckpt", run.parent / "tagger.ckpt", device="cpu")
    assert heard.probabilities == expected.separate(noise(2, RATE), RATE, threshold=0.4).probabilities
    assert sedsep.load(run, device="cpu").separate(noise(2, RATE), RATE, threshold=0.0).labels
    assert listen(run / "checkpoints" / "separator" / "last.ckpt").named_by == "the tagger"


TAGGER = '{"checkpoint": "/a.ckpt", "digest": "0"}'
DAMAGED = {
    "empty": b"",
    "brace": b"{",
    "null": b"null",
    "list": b"[]",
    "text": b'"evaluation"',
    "nothing in it": b"{}",
    "no threshold": b'{"taggers": {}}',
    "nan": b'{"threshold": NaN}',
    "infinity": b'{"threshold": Infinity}',
    "huge": b'{"threshold": 1e400}',
    "long": b'{"threshold": ' + b"9" * 5000 + b"}",
    "text for a number": b'{"threshold": "0.4"}',
    "true": b'{"threshold": true}',
    "null threshold": b'{"threshold": null}',
    "negative": b'{"threshold": -0.1}',
    "above one": b'{"threshold": 1.1}',
    "list for a number": b'{"threshold": [0.4]}',
    "list of taggers": b'{"threshold": 0.4, "taggers": []}',
    "null taggers": b'{"threshold": 0.4, "taggers": null}',
    "path alone": b'{"threshold": 0.4, "taggers": {"tagger": "/a.ckpt"}}',
    "no path": b'{"threshold": 0.4, "taggers": {"tagger": {"digest": "0"}}}',
    "no digest": b'{"threshold": 0.4, "taggers": {"tagger": {"checkpoint": "/a.ckpt"}}}',
    "number for a path": b'{"threshold": 0.4, "taggers": {"tagger": {"checkpoint": 1, "digest": "0"}}}',
    "list for a digest": b'{"threshold": 0.4, "taggers": {"tagger": {"checkpoint": "/a.ckpt", "digest": ["0"]}}}',
    "broken other tagger": f'{{"threshold": 0.4, "taggers": {{"tagger": {TAGGER}, "baseline": 3}}}}'.encode(),
    "deep": b"[" * 100_000,
    "utf-16": '{"threshold": 0.4}'.encode("utf-16"),
    "binary": random.Random(0).randbytes(3000),
    "surrogate": b'{"threshold": 0.4, "taggers": {"\xed\xa0\x80": 1}}',
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_account_is_named(run: Path, name: str) -> None:
    (run / "evaluation.json").write_bytes(DAMAGED[name])
    assert_refuses(lambda: listen(run), "evaluation.json", "tagger.ckpt=PATH", "task.threshold=NUMBER")


@pytest.mark.parametrize("place", [0.02, 0.2, 0.4, 0.6, 0.8, 0.99])
def test_a_cut_off_account_is_named(run: Path, place: float) -> None:
    content = (run / "evaluation.json").read_bytes()
    (run / "evaluation.json").write_bytes(content[: int(place * len(content))])
    assert_refuses(lambda: listen(run), "evaluation.json")


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_an_account_that_is_no_file_is_named(run: Path, kind: str) -> None:
    (run / "evaluation.json").unlink()
    (Path.mkdir if kind == "folder" else os.mkfifo)(run / "evaluation.json")
    assert_refuses(lambda: listen(run), "evaluation.json is no file")


PATHS = {
    "gone": ("/absent/tagger.ckpt", "is not there any more"),
    "password file": ("/etc/passwd", "is no path of a checkpoint"),
    "device": ("/dev/zero", "is no path of a checkpoint"),
    "memory": ("/proc/self/mem", "is no path of a checkpoint"),
    "relative": ("../../tagger.ckpt", "is no path of a checkpoint"),
    "home": ("~/tagger.ckpt", "is no path of a checkpoint"),
    "address": ("https://example.org/tagger.ckpt", "is no path of a checkpoint"),
    "published": ("m2d_tagging", "is no path of a checkpoint"),
    "empty": ("", "is no path of a checkpoint"),
    "zero": ("/a\0b.ckpt", "is not there any more"),
    "lines": ("/a\nError: b\x1b[31m.ckpt", "is not there any more"),
    "long": ("/" + "a" * 100_000 + ".ckpt", "tagger"),
    "many": ("/a" * 50_000 + ".ckpt", "tagger"),
}


@pytest.mark.parametrize("name", PATHS)
def test_a_path_to_no_checkpoint_is_not_followed(run: Path, name: str) -> None:
    path, says = PATHS[name]
    say(run, threshold=0.4, taggers={"tagger": {"checkpoint": path, "digest": "0" * 64}})
    assert_refuses(lambda: listen(run), says, "give tagger.ckpt=PATH")
    assert listen(run, (LABELS.names[0],)).tagger is None  # sounds that are named need no tagger


class Code:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def another_model(path: Path, **changes: Any) -> None:
    config = {**SED, **changes}
    checkpoints.save(path, make(config), Description("sed", "mini", config, LABELS.names))


def of_other_labels(path: Path) -> None:
    names = tuple(f"{name}s" for name in LABELS.names)
    checkpoints.save(path, make(SED), Description("sed", "mini", SED, names))


def of_another_rate(path: Path) -> None:
    frontend = {**SED["backbone"]["frontend"], "input_rate": 2 * RATE}  # type: ignore[index]
    another_model(path, backbone={**SED["backbone"], "frontend": frontend})  # type: ignore[dict-item]


FILES: dict[str, tuple[Names, str]] = {
    "a text": (lambda path: path.write_text("hello"), "cannot be read as a checkpoint"),
    "nothing": (lambda path: path.write_bytes(b""), "tagger.ckpt"),
    "a separator": (lambda path: shutil.copy(path.with_name("run") / "checkpoints/separator/last.ckpt", path), "sed"),
    "code": (lambda path: torch.save(Code(path.with_name("was-run")), path), "tagger.ckpt"),
    "a link to the password file": (lambda path: (path.unlink(), path.symlink_to("/etc/passwd")), "tagger.ckpt"),
    "other labels": (of_other_labels, "other classes"),
    "another rate": (of_another_rate, f"The tagger listens at {2 * RATE} Hz"),
}


@pytest.mark.parametrize("is_vouched_for", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_another_file_in_the_tagger_s_place_is_refused(run: Path, name: str, is_vouched_for: bool) -> None:
    replace, says = FILES[name]
    tagger = run.parent / "tagger.ckpt"
    replace(tagger)
    if is_vouched_for:  # whoever made the directory says that this was the tagger
        say(run, threshold=0.4, taggers={"tagger": {"checkpoint": str(tagger), "digest": fingerprint(tagger)}})
        assert_refuses(lambda: listen(run), says)
    else:
        assert_refuses(lambda: listen(run), "is another file by now", "give tagger.ckpt=PATH")
    assert not tagger.with_name("was-run").exists()


def test_a_folder_or_another_model_in_the_tagger_s_place_is_refused(run: Path) -> None:
    tagger = run.parent / "tagger.ckpt"
    another_model(tagger)
    assert_refuses(lambda: listen(run), "is another file by now")
    tagger.unlink()
    tagger.mkdir()
    assert_refuses(lambda: listen(run), "is not there any more")


# --- commands -------------------------------------------------------------------------------------------------------


def recording(folder: Path, channels: int = 2, seconds: float = 2.0, rate: int = 16000) -> Path:
    samples = 0.05 * np.random.default_rng(0).standard_normal((int(seconds * rate), channels))
    path = folder / "in" / "x.wav"
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, samples, rate)
    return path


def test_a_separation_says_who_names_sounds_from_which_probability(run: Path, tmp_path: Path) -> None:
    audio = recording(tmp_path)
    done = command(tmp_path, "task=separate", f"audio={audio}", f"ckpt={run}")
    assert_accepted(done)
    assert f"named by the tagger ({run.parent / 'tagger.ckpt'}), from a probability of 0.4." in done.out
    done = command(tmp_path, "task=separate", f"audio={audio}", f"ckpt={run}", "task.threshold=0.25")
    assert "from a probability of 0.25." in done.out
    (tmp_path / "tagger.ckpt").unlink()
    done = command(tmp_path, "task=separate", f"audio={audio}", f"ckpt={run}")
    assert_refused(done, "tagger.ckpt", "is not there any more", "give tagger.ckpt=PATH")


def test_a_checkpoint_says_its_scale(networks: Path, tmp_path: Path) -> None:
    loaded = checkpoints.load(networks / "separator.ckpt", "separator")
    for scale, threshold in (("paper", "0.5"), ("mini", "0.4"), ("../../etc", "0.4")):
        file = tmp_path / "separator.ckpt"
        checkpoints.save(
            file, loaded.network, Description("separator", scale, loaded.description.network, LABELS.names)
        )
        done = command(tmp_path, "task=separate", f"audio={recording(tmp_path)}", f"ckpt={file}")
        assert_accepted(done)
        assert f"from a probability of {threshold} " in done.out


def begun(folder: Path, name: str, kind: str = "separator", **status: Any) -> None:
    run = folder / "outputs" / "day" / name
    (run / "checkpoints" / kind).mkdir(parents=True)
    (run / "checkpoints" / kind / "recipe.json").write_text(json.dumps({"model.kind": kind}))
    (run / ".hydra").mkdir()
    (run / ".hydra" / "overrides.yaml").write_text("[]")
    known = {"state": "finished", "task": "train", "host": "h", "pid": 1, "started": 1.0}
    (run / "status.json").write_text(json.dumps(known | status))


@pytest.mark.parametrize("task", ["separate", "submission", "evaluate", "train"])
@pytest.mark.parametrize("there", ["nothing", "others"])
def test_last_of_nothing_is_one_sentence(tmp_path: Path, task: str, there: str) -> None:
    if there == "others":
        begun(tmp_path, "scored", task="evaluate")
        begun(tmp_path, "other", state="failed" if task != "train" else "finished")
    if there == "others" and task in ("separate", "submission"):
        begun(tmp_path, "tagger", kind="sed")
    done = command(tmp_path, f"task={task}", "ckpt=last", f"audio={recording(tmp_path)}")
    assert_refused(done, "There is no", "finished training", "ckpt=DIRECTORY")


@pytest.fixture
def test_only(tiny_set: Path) -> Path:
    for group in ("sound_event", "interference", "noise", "room_ir", "metadata"):
        for split in ("train", "valid"):
            shutil.rmtree(tiny_set / group / split, ignore_errors=True)
    (tiny_set / "metadata" / "valid.json").unlink()
    return tiny_set


def test_every_task_uses_the_last_run(tiny_run: Path, test_only: Path, tmp_path: Path) -> None:
    home = tmp_path / "outputs" / "day" / "run"
    home.parent.mkdir(parents=True)
    tiny_run.rename(home)
    soundscapes = recording(tmp_path, channels=4).parent
    by = ("task.author=A", "task.affiliation=B", "sample_rate=16000")
    done = command(tmp_path, "task=separate", "audio=in", "ckpt=last")
    assert_accepted(done)
    assert "named by the tagger (" in done.out
    done = command(tmp_path, "task=submission", f"audio={soundscapes}", "ckpt=last", *by)
    assert_accepted(done)
    (account,) = tmp_path.glob("outputs/*/*/submission.json")
    assert json.loads(account.read_text())["threshold"] == 0.4
    done = command(tmp_path, "task=evaluate", "ckpt=last", f"data.root={test_only}", "hydra.run.dir=scored")
    assert_accepted(done)
    assert "training one" not in done.out
    assert not (tmp_path / "cache" / "models").exists()
    now, before = (json.loads((path / "metrics.json").read_text()) for path in (tmp_path / "scored", home))
    assert now == pytest.approx(before, abs=1e-4, nan_ok=True)


@pytest.mark.parametrize("form", ["file", "gone"])
def test_an_evaluation_never_trains(tiny_run: Path, tiny_set: Path, tmp_path: Path, form: str) -> None:
    ckpt = tiny_run
    if form == "file":
        ckpt = Path(shutil.copy(tiny_run / "checkpoints" / "separator" / "last.ckpt", tmp_path / "alone.ckpt"))
    else:
        account = json.loads((tiny_run / "evaluation.json").read_text())
        account["taggers"]["baseline"]["checkpoint"] = str(tmp_path / "absent.ckpt")
        say(tiny_run, **account)
    done = command(tmp_path, "task=evaluate", f"ckpt={ckpt}", *TINY, f"data.root={tiny_set}")
    assert_refused(done, "baseline", "give baseline.ckpt=PATH")
    assert not (tmp_path / "cache").exists()
    done = command(
        tmp_path, "task=evaluate", f"ckpt={ckpt}", *TINY, f"data.root={tiny_set}", "task.label_sources=[oracle]"
    )
    assert_accepted(done)


def test_a_set_for_scoring_is_verified_as_one(test_only: Path, tmp_path: Path) -> None:
    arguments = ("task=verify", "data=folder", f"data.root={test_only}", "sample_rate=16000")
    done = command(tmp_path, *arguments)
    assert_accepted(done)
    assert "nothing to train on: it is for scoring" in done.out
    shutil.copytree(test_only / "sound_event" / "test", test_only / "sound_event" / "valid")
    assert_refused(command(tmp_path, *arguments), "problems")  # half a training set is none
