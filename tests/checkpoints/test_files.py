from __future__ import annotations

import argparse
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from minis import refused
from safetensors.torch import save_file

from sedsep.checkpoints.files import named_tensors, read_weights, write_weights

FORMATS = ("ckpt", "safetensors")
NOTE = {"kind": "sed", "patch": [16, 8], "mean": -7.1, "sequence": None}


def state() -> dict[str, torch.Tensor]:
    values = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    return {"conv.weight": values.to(memory_format=torch.channels_last), "steps": torch.tensor(7)}


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_written_is_read_to_the_last_bit(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"x.{suffix}"
    write_weights(path, state(), NOTE)
    content = read_weights(path)
    assert content["sedsep"] == NOTE
    assert all(torch.equal(content["state_dict"][name], value) for name, value in state().items())
    assert [path] == list(path.parent.iterdir())


def test_metadata_of_others_is_kept_as_it_is(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors", {"format": "pt"})
    assert read_weights(tmp_path / "x.safetensors")["format"] == "pt"


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    write_weights(path, state(), NOTE)
    before = path.read_bytes()
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        write_weights(path, {}, {"call": lambda: None})
    assert path.read_bytes() == before
    assert [path] == list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with refused(r"file/x\.ckpt cannot be written"):
        write_weights(tmp_path / "file" / "x.ckpt", state(), NOTE)
    with refused("cannot be written"):
        write_weights(tmp_path, state(), NOTE)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_missing_file_is_named(tmp_path: Path, suffix: str) -> None:
    with refused(r"no checkpoint at .*absent"):
        read_weights(tmp_path / f"absent.{suffix}")
    with refused("no checkpoint at"):
        read_weights(tmp_path)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.3, 0.95])
def test_a_file_cut_off_is_refused(tmp_path: Path, kept: float, suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    write_weights(path, state(), NOTE)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with refused(r"cut\.\w+ cannot be read as a checkpoint"):
        read_weights(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_text_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"page.{suffix}"
    path.write_text("<html>Not found</html>\n")
    with refused("cannot be read as a checkpoint"):
        read_weights(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_flipped_bit_of_a_weight_is_noticed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    write_weights(path, state(), NOTE)
    data = bytearray(path.read_bytes())
    values = state()["conv.weight"]
    stored = values.permute(0, 2, 3, 1) if suffix == "ckpt" else values  # as it lies in memory
    data[data.index(stored.contiguous().numpy().tobytes()[:16]) + 2] ^= 1
    path.write_bytes(data)
    with refused(rf"x\.{suffix} cannot be read as a checkpoint"):
        read_weights(path)


def test_weights_that_are_not_finite_are_refused() -> None:
    with refused("conv.weight is not finite"):
        named_tensors(state() | {"conv.weight": torch.tensor([1.0, float("nan")])}, "x.ckpt")


def test_a_packed_file_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    write_weights(tmp_path / "x.ckpt", state(), NOTE)
    with (
        zipfile.ZipFile(tmp_path / "x.ckpt") as plain,
        zipfile.ZipFile(tmp_path / "y.ckpt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with refused("compressed"):
        read_weights(tmp_path / "y.ckpt")


class Trap:
    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.sprung,)


def save_zipped(content: Any, path: Path) -> None:
    torch.save(content, path)


def save_legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_pickled(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize("save", [save_zipped, save_legacy, save_pickled])
def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, save: Any) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / "trap.ckpt"
    save({"state_dict": {}, "extra": Trap(sprung)}, path)
    with refused(r"wants to run code \(getattr\)" if save is save_zipped else "not in the zip format"):
        read_weights(path)
    assert not sprung.exists()
    pickle.loads(path.read_bytes()) if save is save_pickled else torch.load(path, weights_only=False)
    assert sprung.exists(), "the trap would not have sprung"


def test_settings_that_are_no_plain_data_are_named(tmp_path: Path) -> None:
    torch.save({"state_dict": state(), "hyper_parameters": argparse.Namespace(lr=1)}, tmp_path / "x.ckpt")
    with refused(r"argparse\.Namespace"):
        read_weights(tmp_path / "x.ckpt")


@pytest.mark.parametrize("content", [torch.zeros(3), [torch.zeros(3)], 5])
def test_something_else_than_weights_by_name_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "x.pt")
    with refused("where weights by name are needed"):
        read_weights(tmp_path / "x.pt")


@pytest.mark.parametrize("content", [{"state_dict": {"a": 1}}, {"state_dict": None}, {1: torch.ones(1)}, {}])
def test_a_state_dict_holds_tensors_by_name(content: Any) -> None:
    with refused("other things than weights by name"):
        named_tensors(content, "x.ckpt")


def test_a_state_dict_may_be_the_whole_file() -> None:
    assert named_tensors(state(), "x.pt").keys() == named_tensors({"state_dict": state()}, "x.pt").keys()
