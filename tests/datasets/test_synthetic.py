"""The synthetic data set: whole or absent, the same twice, made once however many ask for it."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import threading
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sedsep.datasets import synthetic
from sedsep.datasets.synthesis import INTERFERENCE
from sedsep.errors import UserError
from sedsep.scenes.layout import Layout
from sedsep.scenes.metadata import load_index
from sedsep.scenes.rendering import Renderer

LABELS = ("Speech", "Doorbell")
RATE = 8000
SMALL: dict[str, Any] = {
    "seed": 3,
    "sample_rate": RATE,
    "scenes_per_split": {"valid": 3, "test": 2},
    "files_per_class": {"train": 2, "valid": 1, "test": 1},
    "rooms": {"train": 1, "valid": 1, "test": 1},
    "positions": 3,
    "noises_per_room": 1,
    "scene_seconds": 2.0,
    "noise_seconds": 3.0,
    "event_seconds": (0.5, 1.0),
    "response_seconds": 0.1,
}


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.ensure_synthetic(tmp_path_factory.mktemp("made"), LABELS, **SMALL)


def test_the_layout_is_the_challenges(made: Path) -> None:
    layout = Layout(made, RATE, channels=4)
    assert sorted(layout.split_names) == ["test", "train", "valid"]
    assert layout.labels().names == LABELS
    for name, files in SMALL["files_per_class"].items():
        split = layout.split(name)
        assert {label: len(paths) for label, paths in split.events.items()} == dict.fromkeys(LABELS, files)
        assert {label: len(paths) for label, paths in split.interference.items()} == dict.fromkeys(INTERFERENCE, files)
        assert len(split.rooms) == len(split.noise) == 1
        with wave.open(str(split.noise[0])) as noise:  # refuses anything but plain PCM
            assert (noise.getnchannels(), noise.getsampwidth(), noise.getnframes()) == (4, 2, 3 * RATE)
        for paths in split.events.values():
            assert all(0.5 <= split.duration(path) <= 1.0 for path in paths)


def test_its_scenes_render(made: Path) -> None:
    layout = Layout(made, RATE, channels=4)
    for split, count in SMALL["scenes_per_split"].items():
        specs = load_index(made / "metadata" / f"{split}.json", layout)
        assert [spec.name for spec in specs] == [f"{split}_{index:03d}" for index in range(count)]
        for spec in specs:
            scene = Renderer(layout).render(spec)
            assert scene.mixture.shape == (4, 2 * RATE)
            assert np.isfinite(scene.mixture).all()
            heard = np.abs(scene.targets).max(axis=1) > 0
            assert heard.tolist() == [label != "silence" for label in scene.labels]


def test_it_is_the_same_twice_and_another_with_another_seed(made: Path, tmp_path: Path) -> None:
    first = contents(made)
    assert contents(synthetic.ensure_synthetic(tmp_path, LABELS, **SMALL)) == first
    other = contents(synthetic.ensure_synthetic(tmp_path, LABELS, **{**SMALL, "seed": 4}))
    assert other.keys() == first.keys()
    audio = [name for name in first if name.endswith((".wav", ".sofa"))]
    assert not [name for name in audio if other[name] == first[name]]
    assert len({first[name] for name in audio}) == len(audio)


def test_a_file_does_not_depend_on_how_many_there_are(made: Path, tmp_path: Path) -> None:
    more = {**SMALL, "files_per_class": {"train": 3, "valid": 1, "test": 1}, "scenes_per_split": {}}
    larger = contents(synthetic.ensure_synthetic(tmp_path, LABELS, **more))
    for name, content in contents(made).items():
        if name.endswith((".wav", ".sofa")):
            assert larger[name] == content


def test_a_complete_set_is_left_alone(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "_write", lambda *_: pytest.fail("it was written again"))
    assert synthetic.ensure_synthetic(made.parent, LABELS, **SMALL) == made


@pytest.mark.parametrize("change", [{"seed": 4}, {"positions": 4}, {"rooms": {"train": 2, "valid": 1, "test": 1}}])
def test_the_cache_tells_parameters_and_generators_apart(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = synthetic.Recipe(LABELS, **SMALL).digest
    assert synthetic.Recipe(LABELS, **{**SMALL, **change}).digest != digest
    assert synthetic.Recipe(LABELS[::-1], **SMALL).digest != digest
    monkeypatch.setattr(synthetic, "GENERATOR_VERSION", synthetic.GENERATOR_VERSION + 1)
    assert synthetic.Recipe(LABELS, **SMALL).digest != digest


def test_an_interrupted_set_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "_write_scenes", fail)
    with pytest.raises(KeyboardInterrupt):
        synthetic.ensure_synthetic(tmp_path, LABELS, **SMALL)
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


def test_what_a_killed_process_left_is_cleared(made: Path, tmp_path: Path) -> None:
    name = f"synthetic-v{synthetic.GENERATOR_VERSION}-{synthetic.Recipe(LABELS, **SMALL).digest}"
    leftover = tmp_path / f".{name}.partial-00000000"
    shutil.copytree(made, leftover)
    (leftover / synthetic.MANIFEST).unlink()
    root = synthetic.ensure_synthetic(tmp_path, LABELS, **SMALL)
    assert root.name == name
    assert not leftover.exists()
    assert contents(root) == contents(made)


def test_a_set_with_other_content_of_the_same_size_is_made_again(made: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(made, tmp_path / made.name))
    sound = root / "sound_event/train/Speech/Speech_000.wav"
    content = bytearray(sound.read_bytes())
    content[-1] ^= 1
    sound.write_bytes(content)
    assert synthetic.ensure_synthetic(tmp_path, LABELS, **SMALL) == root
    assert contents(root) == contents(made)


@pytest.mark.parametrize("victim", [synthetic.MANIFEST, "labels.json", "sound_event/train/Speech/Speech_000.wav"])
def test_a_damaged_set_is_made_again(made: Path, tmp_path: Path, victim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / f"synthetic-v{synthetic.GENERATOR_VERSION}-{synthetic.Recipe(LABELS, **SMALL).digest}"
    shutil.copytree(made, root)
    (root / victim).unlink()
    written = []
    monkeypatch.setattr(synthetic, "_write", lambda root, recipe: written.append(root))
    assert synthetic.ensure_synthetic(tmp_path, LABELS, **SMALL) == root
    assert written == [root]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        synthetic.ensure_synthetic(tmp_path / "file" / "cache", LABELS, **SMALL)


def _ask(cache: Path, queue: Any) -> None:
    queue.put(str(synthetic.ensure_synthetic(cache, LABELS, **SMALL)))


def _write_and_count(root: Path, recipe: synthetic.Recipe) -> None:
    with (root.parent / "written.log").open("a") as file:
        file.write("once\n")
    _WRITE(root, recipe)


_WRITE = synthetic._write


def test_processes_that_start_together_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "_write", _write_and_count)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_ask, args=(tmp_path, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    roots = {queue.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(timeout=60)
    assert len(roots) == 1
    assert (tmp_path / "written.log").read_text() == "once\n"
    assert synthetic._is_whole(Path(roots.pop()), synthetic.Recipe(LABELS, **SMALL))


def test_it_is_never_seen_half_made(tmp_path: Path) -> None:
    """Whenever the folder exists, its manifest does and names only files that are there."""
    root = tmp_path / f"synthetic-v{synthetic.GENERATOR_VERSION}-{synthetic.Recipe(LABELS, **SMALL).digest}"
    seen, stop = [], threading.Event()

    def watch() -> None:
        while not stop.is_set():
            if root.exists():
                files = json.loads((root / synthetic.MANIFEST).read_text())["files"]
                seen.append(all((root / name).is_file() for name in files))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert synthetic.ensure_synthetic(tmp_path, LABELS, **SMALL) == root
    finally:
        stop.set()
        watcher.join()
    assert all(seen)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labels": ("Speech", "Yodel")}, "Yodel cannot be synthesised"),
        ({"labels": ()}, "label set is empty"),
        ({"files_per_class": {"train": 1, "valid": 1}}, "files_per_class"),
        ({"rooms": {"train": 1, "valid": 0, "test": 1}}, "rooms"),
        ({"scenes_per_split": {"train": 3}}, "scenes_per_split"),
        ({"positions": 0}, "positions"),
        ({"sample_rate": 4000}, "sample_rate"),
        ({"event_seconds": (2.0, 1.0)}, "event_seconds"),
        ({"scene_seconds": 20.0}, "scene_seconds"),
        ({"response_seconds": 3.0}, "response_seconds"),
        ({"seed": -1}, "seed"),
    ],
)
def test_unusable_parameters_are_named(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        synthetic.Recipe(**{"labels": LABELS, **SMALL, **change})
