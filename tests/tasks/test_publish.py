"""Sharing a model: a folder, the hub, and what somebody else makes of it. The hub is a server on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hub_server import Hub
from minis import RATE, noise, refused
from omegaconf import DictConfig
from whole_systems import GUIDED, saved

import sedsep
from sedsep import checkpoints
from sedsep.checkpoints.finding import find
from sedsep.tasks import publish

Compose = Callable[..., DictConfig]

EVALUATION = {
    "checkpoints": {"separator": "separator.ckpt"},
    "facts": {"Data": "folder: /home/somebody/sounds", "Seed": "3", "Machine": "mine"},
    "split": "test",
    "mixtures": 24,
    "metrics": {
        "test/ca_sdri/oracle": {"value": 6.374, "low": 5.003, "high": 7.712, "count": 24},
        "test/ca_sdri@2/oracle": {"value": 9.99, "low": None, "high": None, "count": 24},
    },
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub, which the library knows as the only one."""
    constants = pytest.importorskip("huggingface_hub.constants")
    server = Hub()
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("SEDSEP_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def published(composed: Compose, folder: Path, *overrides: str) -> Path:
    """The folder of a small guided separator and its tagger."""
    separator, tagger = saved(folder, **GUIDED)
    target = folder / "mini"
    options = (f"ckpt={separator}", f"tagger.ckpt={tagger}", f"task.target={target}", "task.licence=cc-by-4.0")
    publish.run(composed("task=publish", *options, *overrides))
    return target


def test_a_folder_is_the_system_that_was_shared(composed: Compose, tmp_path: Path) -> None:
    scored = tmp_path / "scored"
    scored.mkdir()
    account = EVALUATION | {"checkpoints": {"separator": str(tmp_path / "separator.ckpt")}}
    (scored / "evaluation.json").write_text(json.dumps(account))
    folder = published(composed, tmp_path, f"task.scored={scored}", "scale.threshold=0.3")
    ours = sedsep.load(tmp_path / "separator.ckpt", tmp_path / "tagger.ckpt", "cpu", threshold=0.3)
    theirs = sedsep.load(folder.rename(tmp_path / "moved"), device="cpu")
    assert theirs.threshold == 0.3
    mixture = 0.02 * noise(4, 9000)
    expected, result = (one.separate(mixture, RATE) for one in (ours, theirs))
    assert result.labels == expected.labels
    assert all(torch.equal(stem, expected.waveforms[label]) for label, stem in result.waveforms.items())
    assert result.probabilities == expected.probabilities
    card = (tmp_path / "moved" / "README.md").read_text()
    assert 'license: "cc-by-4.0"' in card
    assert "| CA-SDRi (dB) | 6.37 [5.00, 7.71] |" in card
    assert not {"9.99", "somebody", "mine"} & set(card.split())


def test_a_card_that_was_written_on_is_kept_and_scores_of_others_are_refused(composed: Compose, tmp_path: Path) -> None:
    card = published(composed, tmp_path) / "README.md"
    card.write_text("mine")
    published(composed, tmp_path)
    assert card.read_text() == "mine"
    (tmp_path / "evaluation.json").write_text(json.dumps(EVALUATION | {"checkpoints": {"separator": "other.ckpt"}}))
    with refused("did not score"):
        published(composed, tmp_path, f"task.scored={tmp_path}")


def test_a_shared_tagger_is_the_one_beside_it_and_no_other(composed: Compose, tmp_path: Path) -> None:
    folder = published(composed, tmp_path)
    account = json.loads((folder / "config.json").read_text())
    account["taggers"]["tagger"]["checkpoint"] = str(tmp_path / "tagger.ckpt")  # a path of the reader's machine
    (folder / "config.json").write_text(json.dumps(account))
    assert sedsep.load(folder, device="cpu").tagger_files == (folder / "tagger.safetensors",)
    checkpoints.save(folder / "tagger.safetensors", *_other(tmp_path))
    with refused("is another file by now"):
        sedsep.load(folder, device="cpu").separate(noise(4, 9000), RATE)


def _other(folder: Path) -> tuple[torch.nn.Module, checkpoints.Description]:
    loaded = checkpoints.load(folder / "tagger.ckpt", "sed")
    with torch.no_grad():
        next(loaded.network.parameters()).add_(1)
    return loaded.network, loaded.description


def test_a_model_of_the_hub_is_fetched_once_and_stays_what_it_was(
    composed: Compose, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache = published(composed, tmp_path, "task.push=me/mini"), tmp_path / "cache"
    first = next(iter(hub.commits["me/mini"]))
    system = sedsep.load("me/mini", device="cpu", cache=cache)
    assert system.named_by == "the tagger"
    assert system.tagger_files == (find("hf:me/mini", cache).with_name("tagger.safetensors"),)
    second = hub.commit("me/mini", {"config.json": (folder / "config.json").read_bytes() + b"\n"})
    asked = len(hub.asked)
    assert find("hf:me/mini", cache).parent.name == first
    assert len(hub.asked) == asked
    assert find(f"hf:me/mini@{second}", cache).parent.name == second
    monkeypatch.setenv("SEDSEP_OFFLINE", "1")
    asked = len(hub.asked)
    assert find("hf:me/mini", cache).parent.name == first
    with refused("hf:me/other is not kept here and cannot be fetched now"):
        find("hf:me/other", cache)
    assert len(hub.asked) == asked


def test_what_the_hub_has_not_is_one_sentence(tmp_path: Path, hub: Hub) -> None:
    hub.commit("me/foreign", {"config.json": b'{"model_type": "bert"}'})
    hub.commit("me/damaged", {"config.json": b'{"threshold": 0.5}', "model.safetensors": b"no weights"})
    for model, says in (
        ("hf:me/absent", "is not on the hub"),
        ("hf:me/foreign@v2", "has no such revision"),
        ("hf:me/foreign", "lacks a file of the models that task=publish makes"),
        ("hf:me", "is no model of the hub: write hf:OWNER/NAME"),
        ("hf:me/foreign@../../main", "is no model of the hub"),
    ):
        with refused(says):
            find(model, tmp_path)
    with refused(r"model\.safetensors cannot be read as a checkpoint"):
        sedsep.load("me/damaged", device="cpu", cache=tmp_path)
