"""Weight files that were damaged on their way, that claim more than they hold, or that want more than to be read.

Each is refused in one sentence that names it, or gives the very weights and description that were written.
"""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torchaudio
from golden.models import fakes
from harness import assert_accepted, assert_refused, assert_refuses, command
from hydra import initialize_config_dir
from safetensors.torch import load_file, save_file
from tiny import TINY
from torch import Tensor

from sedsep import checkpoints
from sedsep.checkpoints import Description
from sedsep.checkpoints.conversion import convert
from sedsep.checkpoints.files import DIGEST, named_tensors, read_weights, with_digest, write_weights
from sedsep.checkpoints.own import weights_file
from sedsep.errors import UserError
from sedsep.training.checkpointing import WholeCheckpoints
from sedsep.wiring import build

pytestmark = pytest.mark.slow

LABELS = ("Bell", "Cough", "Dog")
FRONTEND = {"input_rate": 8000, "sample_rate": 4000, "n_fft": 128, "hop": 32, "n_mels": 8, "f_min": 50, "f_max": 2000}
BACKBONE = {"unit_frames": 33, "patch": [4, 4], "width": 8, "depth": 1, "heads": 2}
NETWORK: dict[str, Any] = {
    "_target_": "sedsep.models.SedModel",
    "classes": len(LABELS),
    "frame_s": 0.02,
    "backbone": {
        "_target_": "sedsep.models.M2d",
        "frontend": {"_target_": "sedsep.models.LogMel", **FRONTEND, "mean": -7.0, "std": 4.0},
        **BACKBONE,
    },
}
SEPARATOR: dict[str, Any] = {
    "_target_": "sedsep.models.GuidedSeparator",
    "separator": {
        "_target_": "sedsep.models.Separator",
        "_partial_": True,
        **{"input_rate": 8000, "sample_rate": 8000, "microphones": 4, "classes": 3, "n_fft": 64, "hop": 32},
        **{"widths": [4, 6], "condition_width": 8},
    },
}
DESCRIPTION = Description("sed", "mini", NETWORK, LABELS)
REFERENCE = {"model.base.bn0.weight": torch.arange(9.0), "model.base.pre_conv.weight": torch.randn(4, 4, 1, 1)}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Whole files by kind: ours in both formats, ours as Lightning has it, and somebody else's state dict."""
    folder = tmp_path_factory.mktemp("written")
    torch.manual_seed(0)
    network = build(NETWORK)
    for name in ("own.ckpt", "own.safetensors"):
        checkpoints.save(folder / name, network, DESCRIPTION)
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    optimizer = {"state": {0: {"exp_avg": torch.randn(400)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}
    WholeCheckpoints().save_checkpoint(
        {"state_dict": state, "sedsep": DESCRIPTION.entry(), "optimizer_states": [optimizer], "global_step": 7},
        folder / "lightning.ckpt",
    )
    torch.save({"state_dict": REFERENCE}, folder / "reference.ckpt")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def content_of(name: str, path: Path) -> Any:
    """All that a reader of such a file gets."""
    if name == "lightning.ckpt":
        return WholeCheckpoints().load_checkpoint(path)
    content = read_weights(path)
    if name == "reference.ckpt":
        return named_tensors(content, path)
    loaded = checkpoints.load(path, "sed")
    return {"state_dict": loaded.network.state_dict(), "description": loaded.description}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def answer(name: str, data: bytes, whole: bytes, folder: Path) -> str:
    """`refused` or `same`; another content, or another error, fails."""
    path = folder / name
    path.write_bytes(whole)
    expected = content_of(name, path)
    path.write_bytes(data)
    try:
        found = content_of(name, path)
    except UserError:
        assert_refuses(lambda: content_of(name, path), str(path))
        return "refused"
    assert same(expected, found), "other weights or another description were loaded"
    return "same"


# Damage on the way.

WITH_CHECKSUMS = ("own.ckpt", "own.safetensors", "lightning.ckpt", "reference.ckpt")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", WITH_CHECKSUMS)
def test_flipped_bits_change_nothing_or_are_noticed(
    written: dict[str, bytes], tmp_path: Path, name: str, seed: int
) -> None:
    """Three single flips a case, each spread over the whole file: 60 of each kind."""
    draw = random.Random(f"{name} {seed}")
    whole = written[name]
    for part in range(3):
        place = int(len(whole) * (3 * seed + part + draw.random()) / 60)
        damaged = bytearray(whole)
        damaged[place] ^= 1 << draw.randrange(8)
        answer(name, bytes(damaged), whole, tmp_path)


@pytest.mark.parametrize("name", ["own.ckpt", "lightning.ckpt", "reference.ckpt"])
def test_any_flip_in_a_record_is_noticed(written: dict[str, bytes], tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(io.BytesIO(written[name])) as archive:
        records = [record for record in archive.infolist() if record.file_size]
    for record in records:
        place = record.header_offset + 26
        name_bytes, extra = struct.unpack("<HH", written[name][place : place + 4])
        damaged = bytearray(written[name])
        damaged[record.header_offset + 30 + name_bytes + extra + record.file_size // 2] ^= 16
        assert answer(name, bytes(damaged), written[name], tmp_path) == "refused", record.filename


@pytest.mark.parametrize("kept", [0, 1, 3, 4, 30, 0.1, 0.5, 0.9, 0.999, -1])
@pytest.mark.parametrize("name", WITH_CHECKSUMS)
def test_a_file_cut_off_is_refused(written: dict[str, bytes], tmp_path: Path, name: str, kept: float) -> None:
    whole = written[name]
    cut = whole[: int(kept * len(whole)) if isinstance(kept, float) else kept]
    assert answer(name, cut, whole, tmp_path) == "refused"


@pytest.mark.parametrize("more", [b"\0", b"\0" * 100, b"PK\x05\x06" + bytes(18), b"itself"])
@pytest.mark.parametrize("name", WITH_CHECKSUMS)
def test_a_file_with_something_appended_is_refused(
    written: dict[str, bytes], tmp_path: Path, name: str, more: bytes
) -> None:
    whole = written[name]
    assert answer(name, whole + (whole if more == b"itself" else more), whole, tmp_path) == "refused"
    assert answer(name, more + whole, whole, tmp_path) == "refused"


# Other formats.


def tar_of(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for member in ("storages", "tensors", "pickle"):
            archive.addfile(tarfile.TarInfo(member), io.BytesIO())


def page(path: Path) -> None:
    path.write_text("<html>Not found</html>\n")


def legacy(path: Path) -> None:
    torch.save({"state_dict": REFERENCE}, path, _use_new_zipfile_serialization=False)


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": {}}))


def plain_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "nothing here")


def random_bytes(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(5000))


def fifo(path: Path) -> None:
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.mkdir()


def script(path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
@pytest.mark.parametrize(
    "make",
    [tar_of, page, legacy, pickled, plain_zip, random_bytes, fifo, directory, script],
    ids=lambda make: make.__name__,
)
def test_other_formats_are_refused(tmp_path: Path, make: Callable[[Path], None], suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    make(path)
    assert_refuses(lambda: checkpoints.load(path, "sed"), str(path))


@pytest.mark.parametrize("name", ["own.ckpt", "own.safetensors"])
def test_a_format_under_the_others_name_is_refused(written: dict[str, bytes], tmp_path: Path, name: str) -> None:
    path = tmp_path / f"x.{'safetensors' if name.endswith('ckpt') else 'ckpt'}"
    path.write_bytes(written[name])
    assert_refuses(lambda: checkpoints.load(path, "sed"), str(path), "cannot be read as a checkpoint")


# Code.


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


CALLS: dict[str, Callable[[Path], Call]] = {
    "os.system": lambda canary: Call(os.system, f"touch '{canary}'"),
    "eval": lambda canary: Call(eval, f"open({str(canary)!r}, 'w')"),
    "open": lambda canary: Call(open, str(canary), "w"),
    "getattr": lambda canary: Call(getattr, canary, "touch"),
    "torch.load": lambda canary: Call(torch.load, str(canary)),
    "torch.hub": lambda canary: Call(torch.hub.download_url_to_file, "http://localhost:9/x", str(canary)),
    "bytearray": lambda canary: Call(bytearray, 10**13),
    "sparse": lambda canary: Call(torch._utils._rebuild_meta_tensor_no_storage, torch.float32, (3,), (1,), False),
}


@pytest.mark.parametrize("place", ["extra", "state_dict", "sedsep"])
@pytest.mark.parametrize("call", CALLS)
def test_code_is_named_and_not_run(tmp_path: Path, call: str, place: str) -> None:
    canary, path = tmp_path / "canary", tmp_path / "x.ckpt"
    content = {"state_dict": dict(REFERENCE), "sedsep": DESCRIPTION.entry(), "extra": {}}
    content[place]["trap"] = CALLS[call](canary)
    torch.save(content, path)
    assert_refuses(lambda: checkpoints.load(path, "sed"), str(path), "wants to run code")
    assert not canary.exists()


# Archives that torch would not write.


def rezipped(source: bytes, path: Path, change: Callable[[str, bytes], tuple[str, bytes]], **options: Any) -> None:
    with zipfile.ZipFile(io.BytesIO(source)) as old, zipfile.ZipFile(path, "w", **options) as new:
        for record in old.infolist():
            new.writestr(*change(record.filename, old.read(record)))


def zipped_anew(whole: bytes, path: Path) -> None:
    rezipped(whole, path, lambda name, data: (name, data))


def compressed(whole: bytes, path: Path) -> None:
    rezipped(whole, path, lambda name, data: (name, data), compression=zipfile.ZIP_DEFLATED)


def bzipped(whole: bytes, path: Path) -> None:
    rezipped(whole, path, lambda name, data: (name, data), compression=zipfile.ZIP_BZIP2)


def bomb(whole: bytes, path: Path) -> None:
    blow = lambda name, data: (name, bytes(2**28) if name.endswith("data/0") else data)  # noqa: E731
    rezipped(whole, path, blow, compression=zipfile.ZIP_DEFLATED)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def doubled(whole: bytes, path: Path) -> None:
    zipped_anew(whole, path)
    with zipfile.ZipFile(path, "a") as archive:
        name = next(name for name in archive.namelist() if name.endswith("data/0"))
        archive.writestr(name, bytes(archive.getinfo(name).file_size))


def outside(whole: bytes, path: Path) -> None:
    zipped_anew(whole, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("own/../../outside", b"x")


def absolute(whole: bytes, path: Path) -> None:
    zipped_anew(whole, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("/outside", b"x")


def commented(whole: bytes, path: Path) -> None:
    zipped_anew(whole, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"a comment"


def overlapping(whole: bytes, path: Path) -> None:
    """Hundreds of names of one large record."""
    zipped_anew(whole, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("own/data/large", bytes(2**20))
        large = archive.getinfo("own/data/large")
        for number in range(500):
            record = copy.copy(large)
            record.filename = f"own/data/{number:05}"
            archive.filelist.append(record)


def two_lists(whole: bytes, path: Path) -> None:
    zipped_anew(whole, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data.pkl", b"}.")


def no_list(whole: bytes, path: Path) -> None:
    rezipped(whole, path, lambda name, data: (name.replace("data.pkl", "data.txt"), data))


def endless_list(whole: bytes, path: Path) -> None:
    rezipped(whole, path, lambda name, data: (name, b"]" * 2**25 if name.endswith("data.pkl") else data))


def short_tensor(whole: bytes, path: Path) -> None:
    rezipped(whole, path, lambda name, data: (name, data[:-4] if name.endswith("data/1") else data))


def long_tensor(whole: bytes, path: Path) -> None:
    rezipped(whole, path, lambda name, data: (name, data + bytes(4) if name.endswith("data/1") else data))


def swapped_tensors(whole: bytes, path: Path) -> None:
    swap = {"data/2": "data/3", "data/3": "data/2"}
    with zipfile.ZipFile(io.BytesIO(whole)) as old:
        sizes = {name: old.getinfo(name).file_size for name in old.namelist() if "/data/" in name}
    names = sorted(sizes, key=lambda name: int(name.rpartition("/")[2]))
    one, other = next((a, b) for a in names for b in names if a < b and sizes[a] == sizes[b] and sizes[a] > 64)
    swap = {one: other, other: one}
    rezipped(whole, path, lambda name, data: (swap.get(name, name), data))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "damage",
    [
        *(compressed, bzipped, bomb, doubled, outside, absolute, commented, overlapping, two_lists, no_list),
        *(endless_list, short_tensor, long_tensor, swapped_tensors),
    ],
    ids=lambda damage: damage.__name__,
)
def test_an_archive_that_torch_would_not_write_is_refused(
    written: dict[str, bytes], tmp_path: Path, damage: Callable[[bytes, Path], None]
) -> None:
    path = tmp_path / "x.ckpt"
    damage(written["own.ckpt"], path)
    assert_refuses(lambda: checkpoints.load(path, "sed"), str(path))
    assert sorted(tmp_path.iterdir()) == [path]


def test_an_archive_packed_anew_without_compression_is_what_it_was(written: dict[str, bytes], tmp_path: Path) -> None:
    zipped_anew(written["own.ckpt"], tmp_path / "anew.ckpt")
    anew = (tmp_path / "anew.ckpt").read_bytes()
    assert answer("own.ckpt", anew, written["own.ckpt"], tmp_path) == "same"


# Weights.


def own_content(written: dict[str, bytes]) -> dict[str, Any]:
    return torch.load(io.BytesIO(written["own.ckpt"]), weights_only=True)


WEIGHTS: dict[str, Callable[[dict[str, Tensor], str], Any]] = {
    "NaN": lambda state, name: state[name].view(-1)[-1:].fill_(float("nan")),
    "infinite": lambda state, name: state[name].view(-1)[:1].fill_(float("inf")),
    "minus infinite": lambda state, name: state[name].fill_(float("-inf")),
    "changed": lambda state, name: state[name].view(-1)[:1].add_(1e-6),
    "doubled": lambda state, name: state[name].mul_(2),
    "zeroed": lambda state, name: state[name].zero_(),
    "halved": lambda state, name: state.update({name: state[name].half()}),
    "reshaped": lambda state, name: state.update({name: state[name][None]}),
    "missing": lambda state, name: state.pop(name),
    "renamed": lambda state, name: state.update({f"{name}2": state.pop(name)}),
    "one more": lambda state, name: state.update({f"{name}2": state[name].clone()}),
    "a list": lambda state, name: state.update({name: state[name].tolist()}),
    "a number as name": lambda state, name: state.update({5: state.pop(name)}),  # type: ignore[dict-item]
    "on no device": lambda state, name: state.update({name: state[name].to("meta")}),
    "sparse": lambda state, name: state.update({name: state[name].to_sparse()}),
    "endless": lambda state, name: state.update({name: torch.zeros(1).expand(10**13)}),
    "endless in all": lambda state, name: state.update({f"{name}{n}": torch.zeros(1).expand(10**8) for n in range(99)}),
    "too many": lambda state, name: state.update({f"x{n}": torch.zeros(()) for n in range(10_001)}),
}


@pytest.mark.parametrize("described", [True, False], ids=["digest", "no digest"])
@pytest.mark.parametrize("change", WEIGHTS)
def test_weights_that_were_not_written_so_are_refused(
    written: dict[str, bytes], tmp_path: Path, change: str, described: bool
) -> None:
    """With a digest any change is noticed; without, as older versions wrote them, those that no network survives."""
    content, path = own_content(written), tmp_path / "x.ckpt"
    WEIGHTS[change](content["state_dict"], "network.backbone.pos_embed")
    if not described:
        del content[DIGEST]
    torch.save(content, path)
    if not described and change in ("changed", "doubled", "zeroed", "halved"):
        loaded = checkpoints.load(path, "sed").network.state_dict()["backbone.pos_embed"]
        assert torch.equal(loaded, content["state_dict"]["network.backbone.pos_embed"].float())
    else:
        assert_refuses(lambda: checkpoints.load(path, "sed"), str(path))


@pytest.mark.parametrize("change", ["NaN", "infinite", "changed", "zeroed", "missing", "one more"])
def test_weights_in_safetensors_are_watched_alike(written: dict[str, bytes], tmp_path: Path, change: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(written["own.safetensors"])
    state, content = load_file(path), read_weights(path)
    WEIGHTS[change](state, "network.backbone.pos_embed")
    save_file(state, path, {name: json.dumps(content[name]) for name in ("sedsep", DIGEST)})
    assert_refuses(lambda: checkpoints.load(path, "sed"), str(path))


def header(changes: Mapping[str, Any], data: bytes = bytes(16)) -> bytes:
    text = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, **changes}).encode()
    return struct.pack("<Q", len(text)) + text + data


HEADERS = {
    "claims gigabytes": header({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}),
    "claims a size": header({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 16]}}),
    "overflows": header({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 16]}}),
    "negative": header({"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}),
    "overlaps": header({"b": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}),
    "leaves a hole": header({"b": {"dtype": "F32", "shape": [1], "data_offsets": [20, 24]}}, bytes(24)),
    "unknown type": header({"a": {"dtype": "F33", "shape": [4], "data_offsets": [0, 16]}}),
    "longer than the file": struct.pack("<Q", 10**6) + b"{}",
    "endless": struct.pack("<Q", 2**63) + b"{}",
    "no JSON": struct.pack("<Q", 8) + b"{{{{{{{{",
    "a deep one": struct.pack("<Q", 2 * 10**5) + b"[" * 10**5 + b"]" * 10**5,
    "a deep description": header({"__metadata__": {"sedsep": "[" * 10**5 + "]" * 10**5}}),
    "a long description": header({"__metadata__": {"sedsep": json.dumps(list(range(10**5)))}}),
    "no tensors": header({"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}, b""),
}


@pytest.mark.parametrize("case", HEADERS)
def test_headers_that_lie_are_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(HEADERS[case])
    assert_refuses(lambda: checkpoints.load(path, "sed"), str(path))


# Weights of another make.


def drop(state: dict[str, Tensor], start: str) -> None:
    for name in [name for name in state if name.startswith(start)]:
        del state[name]


def swap(state: dict[str, Tensor], one: str, other: str) -> None:
    for leaf in ("weight", "bias"):
        first, second = f"{one}.{leaf}", f"{other}.{leaf}"
        state[first], state[second] = state[second], state[first]


def exchange_head(state: dict[str, Tensor]) -> None:
    other = "tagger_1c" if "model.m2d.backbone.cls_token" in state else "tagger_4c"
    state.update({name: value for name, value in hollow(other).items() if name.startswith("model.head.")})


def cut(state: dict[str, Tensor], layer: str, rows: int) -> None:
    for leaf in ("weight", "bias"):
        state[f"{layer}.{leaf}"] = state[f"{layer}.{leaf}"][:rows]


def hollow(name: str) -> dict[str, Tensor]:
    """Tensors of one of the challenge's taggers in which one zero stands for all, but for statistics and filters."""
    basis = torchaudio.functional.melscale_fbanks(401, 50, 16000, 80, 32000, "slaney", "slaney").T
    special = {"norm_stats": torch.tensor([-7.1, 4.2]), "mel_basis": basis}
    return {
        key: special.get(key.rpartition(".")[2], torch.zeros((), dtype=value.dtype).expand(value.shape))
        for key, value in fakes.outline(name).items()
    }


TRACK = "model.head.tracks.1"
OTHERS: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "nothing changed": (lambda state: None, ""),
    "a track is missing": (lambda state: drop(state, TRACK), "missing: tracks.tracks.1.0.weight"),
    "all tracks are missing": (lambda state: drop(state, "model.head.tracks."), "lacks the tensor that becomes our"),
    "a fourth track": (
        lambda state: state.update({"model.head.tracks.3.0.weight": state[f"{TRACK}.0.weight"]}),
        "left over: tracks.tracks.3.0.weight",
    ),
    "a norm is missing": (lambda state: drop(state, "model.head.m2d_out_norm"), "missing: head_norm.running_mean"),
    "the head of 2025": (
        lambda state: state.update({"model.head.weight": torch.zeros(18, 3840)}),
        "no variant we know has (model.head.weight)",
    ),
    "the head of the other tagger": (exchange_head, "head_norm.running_mean has shape"),
    "backbones of both taggers": (
        lambda state: state.update(dict.fromkeys(("model.backbone.a", "model.m2d.backbone.a"), torch.zeros(1))),
        "no variant we know has (model.",
    ),
    "swapped layers of a track": (lambda state: swap(state, f"{TRACK}.0", f"{TRACK}.3"), "1.0.weight has shape"),
    "a track without silence": (lambda state: cut(state, f"{TRACK}.3", 18), "tracks.tracks.1.3.weight has shape [18,"),
    "a narrower track": (lambda state: cut(state, f"{TRACK}.0", 511), "tracks.tracks.1.0.weight has shape [511,"),
    "a head that is a number": (
        lambda state: state.update({"model.head.linear.0.weight": torch.zeros(())}),
        "lacks the tensor that becomes our tracks.linear.0.weight",
    ),
}


@pytest.mark.parametrize("name", ["tagger_1c", "tagger_4c"])
@pytest.mark.parametrize("case", OTHERS)
def test_a_tagger_that_does_not_fit_together_is_not_converted(tmp_path: Path, name: str, case: str) -> None:
    state, source, (change, says) = hollow(name), tmp_path / "x.ckpt", OTHERS[case]
    change(state)
    torch.save({"state_dict": state}, source)
    with initialize_config_dir(str(Path(__file__).parents[2] / "conf"), version_base="1.3"):
        if not says:
            convert(source).target.unlink()  # it is large
        else:
            assert_refuses(lambda: convert(source), str(source), says)
            assert [*tmp_path.iterdir()] == [source]


# Descriptions.


def with_network(**changes: Any) -> dict[str, Any]:
    network = copy.deepcopy(NETWORK)
    for name, value in changes.items():
        node = network
        *path, last = name.split("__")
        for key in path:
            node = node[key]
        node[last] = value
    return {"network": network}


def nested(levels: int, width: int = 1) -> Any:
    node: Any = 1
    for _ in range(levels):
        node = [node] * width
    return node


DESCRIPTIONS: dict[str, Mapping[str, Any]] = {
    "more labels": {"labels": [*LABELS, "Rain"]},
    "fewer labels": {"labels": list(LABELS[:2])},
    "no labels": {"labels": []},
    "a label twice": {"labels": ["Bell", "Bell", "Dog"]},
    "silence": {"labels": ["Bell", "silence", "Dog"]},
    "labels that are numbers": {"labels": [1, 2, 3]},
    "labels that are one word": {"labels": "Bell"},
    "labels by name": {"labels": {"Bell": 1}},
    "a million labels": {"labels": [str(n) for n in range(10**6)]},
    "an endless label": {"labels": ["B" * 10**6, "Cough", "Dog"]},
    "unknown kind": {"kind": "vocoder"},
    "another kind": {"kind": "separator"},
    "kind that is a list": {"kind": ["sed"]},
    "later format": {"format": 2},
    "format that is text": {"format": "one"},
    "scale that is a number": {"scale": 1},
    "no network": {"network": None},
    "network that is text": {"network": "sedsep.models.SedModel"},
    "network of nothing": {"network": {}},
    "300 levels": {"network": {**NETWORK, "head": nested(300)}},
    "ten to the thirtieth": {"network": {**NETWORK, "head": nested(30, 10)}},
    "a million elements": {"network": {**NETWORK, "head": list(range(10**6))}},
    "a set": {"network": {**NETWORK, "head": {1, 2}}},
    "bytes": {"network": {**NETWORK, "head": b"attention"}},
    "a tensor": {"network": {**NETWORK, "head": torch.zeros(3)}},
    "10^12 weights": with_network(backbone__width=10**6),
    "10^9 layers": with_network(backbone__depth=10**9),
    "10^9 classes": with_network(classes=10**9),
    "10^18 frames": with_network(backbone__unit_frames=10**18),
    "a window of 10^9": with_network(backbone__frontend__n_fft=10**9),
    "10^9 bands": with_network(backbone__frontend__n_mels=10**9),
    "negative width": with_network(backbone__width=-8),
    "no heads": with_network(backbone__heads=0),
    "half a layer": with_network(backbone__depth=0.5),
    "text for a size": with_network(backbone__width="8"),
    "an unknown argument": with_network(colour="blue"),
    "os.system": with_network(head={"_target_": "os.system", "command": "true"}),
    "a resolver": with_network(head="${oc.env:HOME}"),
    "a separator": {"network": SEPARATOR},
}


@pytest.mark.parametrize("case", DESCRIPTIONS)
def test_descriptions_that_cannot_be_are_refused(written: dict[str, bytes], tmp_path: Path, case: str) -> None:
    """Made by somebody who knows the digest, where it can be made at all."""
    content, path = own_content(written), tmp_path / "x.ckpt"
    content["sedsep"] = {**content["sedsep"], **DESCRIPTIONS[case]}
    del content[DIGEST]
    if case not in ("ten to the thirtieth", "a set", "bytes", "a tensor"):
        content = with_digest(content)
    torch.save(content, path)
    assert_refuses(lambda: checkpoints.load(path, "sed"), str(path))


@pytest.mark.parametrize("missing", ["kind", "scale", "network", "labels"])
def test_half_a_description_is_refused(written: dict[str, bytes], tmp_path: Path, missing: str) -> None:
    content, path = own_content(written), tmp_path / "x.ckpt"
    del content["sedsep"][missing], content[DIGEST]
    torch.save(content, path)
    assert_refuses(lambda: checkpoints.load(path, "sed"), str(path))


@pytest.mark.parametrize("name", ["kind", "scale", "labels", "version"])
def test_a_description_changed_beside_its_digest_is_refused(
    written: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    content, path = own_content(written), tmp_path / "x.ckpt"
    content["sedsep"][name] = ["Dog", "Cough", "Bell"] if name == "labels" else "separator"
    torch.save(content, path)
    assert_refuses(lambda: checkpoints.load(path, "sed"), str(path), DIGEST)


@pytest.mark.parametrize("width", [10**4, 10**6])
def test_a_separator_of_endless_weights_is_refused(tmp_path: Path, width: int) -> None:
    network, path = copy.deepcopy(SEPARATOR), tmp_path / "x.ckpt"
    torch.manual_seed(0)
    state = build(network).state_dict()
    network["separator"]["widths"] = [width, width]
    entry = Description("separator", "mini", network, LABELS).entry()
    write_weights(path, {f"network.{name}": value for name, value in state.items()}, entry)
    assert_refuses(lambda: checkpoints.load(path, "separator"), str(path), "another scale")


# Whole runs.


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"model.training.keep": ["best"]}', "\x00\xff", "{" * 10**5])
def test_a_damaged_recipe_is_named_or_means_the_last_weights(
    written: dict[str, bytes], tmp_path: Path, text: str
) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(text, encoding="latin-1")
    (tmp_path / "last.ckpt").write_bytes(written["own.ckpt"])
    if text.startswith('{"'):
        assert weights_file(tmp_path) == tmp_path / "last.ckpt"
    else:
        assert_refuses(lambda: weights_file(tmp_path), str(recipe), "give the checkpoint itself")


def test_a_recipe_leads_nowhere_else(written: dict[str, bytes], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for path in (tmp_path / "secret.ckpt", run / "last.ckpt"):
        path.write_bytes(written["own.ckpt"])
    (run / "recipe.json").write_text('{"model.training.keep": "../secret"}')
    assert weights_file(run) == run / "last.ckpt"


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.999])
def test_another_checkpoint_is_named_where_one_lies_beside(
    written: dict[str, bytes], tmp_path: Path, kept: float
) -> None:
    whole = written["lightning.ckpt"]
    (tmp_path / "best.ckpt").write_bytes(whole)
    (tmp_path / ".next.ckpt").write_bytes(whole)
    last = tmp_path / "last.ckpt"
    last.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    assert_refuses(lambda: WholeCheckpoints().load_checkpoint(last), str(last), "give best.ckpt beside it")


def flipped(path: Path, part: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(part * len(data))] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("part", [0.2, 0.8])
def test_a_run_whose_checkpoint_was_damaged_says_so(
    tiny_run: Path, tiny_set: Path, tmp_path: Path, part: float
) -> None:
    for file in tiny_run.glob("checkpoints/separator/*.ckpt"):
        flipped(file, part)
    done = command(tmp_path, *TINY, "task=evaluate", f"data.root={tiny_set}", f"ckpt={tiny_run}")
    assert_refused(done, ".ckpt cannot be read as a checkpoint", "damaged")


def test_a_training_does_not_go_on_from_damage(tiny_run: Path, tiny_set: Path, tmp_path: Path) -> None:
    last = tiny_run / "checkpoints" / "separator" / "last.ckpt"
    flipped(last, 0.5)
    done = command(tmp_path, f"ckpt={tiny_run}", "trainer.max_epochs=2", f"data.root={tiny_set}")
    assert_refused(done, "last.ckpt")


def test_a_damaged_source_is_not_converted(written: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_bytes(written["own.ckpt"])
    assert_accepted(command(tmp_path, "task=convert", "task.source=x.ckpt", "task.target=whole.safetensors"))
    (tmp_path / "x.ckpt").write_bytes(written["own.ckpt"][:-100])
    done = command(tmp_path, "task=convert", "task.source=x.ckpt", "task.target=new.ckpt")
    assert_refused(done, "x.ckpt", "cut off", "again")
    assert not (tmp_path / "new.ckpt").exists()
