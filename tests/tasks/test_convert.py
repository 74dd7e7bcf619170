"""Converting checkpoints. The files are full-sized outlines that hold zeros: small on disk, quick to make."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from golden.models import fakes
from hydra.utils import instantiate
from minis import LABELS, SEPARATOR, refused, shaken
from torch import Tensor

from sedsep import checkpoints
from sedsep.checkpoints import Description
from sedsep.checkpoints.conversion import convert

RunPy = Callable[..., "subprocess.CompletedProcess[str]"]

OURS = {
    "_target_": "sedsep.models.GuidedSeparator",
    "separator": {"_target_": "sedsep.models.Separator", "_partial_": True, **SEPARATOR},
}


def zeros(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros((), dtype=value.dtype).expand(value.shape) for name, value in state.items()}


def theirs(path: Path, changes: Mapping[str, tuple[int, ...]] | None = None) -> Path:
    """The challenge's ResUNet as a Lightning file, with tensors of other shapes."""
    state = fakes.outline("baseline_resunet") | {name: torch.empty(shape) for name, shape in (changes or {}).items()}
    torch.save({"state_dict": zeros(state), "epoch": 3, "hyper_parameters": {"lr": 1e-3}}, path)
    return path


def refined(path: Path) -> Path:
    """A separator that takes the label alone and is refined."""
    state = fakes.outline("baseline_resunet")
    state |= {name.replace("bn0", "bn0_fb"): value for name, value in state.items() if "bn0" in name}
    state["model.base.pre_conv.weight"] = torch.empty(32, 5, 1, 1)
    torch.save({"state_dict": zeros(state)}, path)
    return path


NARROW = ("scale.separator.n_fft=1024",)  # what `refined` makes has no scale of its own


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    path = tmp_path / "ours.ckpt"
    network = shaken(instantiate(OURS))
    checkpoints.save(path, network, Description("separator", "mini", OURS, LABELS.names))
    return path


pytestmark = pytest.mark.usefixtures("composed")


def test_a_checkpoint_of_the_reference_becomes_one_of_ours(tmp_path: Path) -> None:
    done = convert(theirs(tmp_path / "x.ckpt"))
    assert done.target == tmp_path / "x.sedsep.ckpt"
    loaded = checkpoints.load(done.target, "separator")
    assert loaded.description.scale == "paper"
    assert len(loaded.description.labels) == 18
    assert not any(value.any() for name, value in loaded.network.state_dict().items())
    assert "342 tensors: 295 used" in "\n".join(done.account)


def test_a_bare_state_dict_will_do(tmp_path: Path) -> None:
    torch.save(zeros(fakes.outline("baseline_resunet")), tmp_path / "x.pth")
    assert checkpoints.load(convert(tmp_path / "x.pth").target, "separator")


def test_ours_go_to_safetensors_and_back_to_the_last_bit(ours: Path, tmp_path: Path) -> None:
    there = convert(ours, tmp_path / "x.safetensors").target
    back = convert(there, tmp_path / "back.ckpt").target
    first, last = (checkpoints.load(path, "separator", LABELS) for path in (ours, back))
    assert last.description == first.description
    state = last.network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in first.network.state_dict().items())


def test_a_file_of_ours_says_itself_how_often_it_refines(ours: Path) -> None:
    with refused(r"leave task\.iters out"):
        convert(ours, iters=3)


def test_the_source_is_not_overwritten(ours: Path, tmp_path: Path) -> None:
    before = ours.read_bytes()
    (tmp_path / "link.ckpt").symlink_to(ours)
    for target in (ours, tmp_path / "link.ckpt"):
        with refused("would overwrite the source"):
            convert(ours, target)
    assert ours.read_bytes() == before


def test_what_weights_do_not_show_is_taken_from_the_command_line(tmp_path: Path) -> None:
    given = ["task=convert", "task.source=x", "model.network.separator.hop=320", "hydra.job.name=x", "scale=paper"]
    done = convert(theirs(tmp_path / "x.ckpt"), given=given)
    assert checkpoints.load(done.target, "separator").description.network["separator"]["hop"] == 320


def test_passes_are_given_or_read_from_the_name(tmp_path: Path) -> None:
    def passes(name: str, iters: int | None = None) -> int:
        done = convert(refined(tmp_path / name), iters=iters, given=NARROW)
        return checkpoints.load(done.target, "separator").description.network["separator"]["iters"]

    assert passes("separator_iter_4.ckpt") == 4
    assert passes("separator_iter_4.ckpt", iters=2) == 2
    for name in ("last.ckpt", "iter_12000.ckpt", "iter_0.ckpt"):
        with refused(r"add task\.iters=N"):
            passes(name)
    with refused(r"add task\.iters=N"):
        passes("last.ckpt", iters=0)
    with refused(r"baseline_resunet, which takes no refinement passes: leave task\.iters out"):
        convert(theirs(tmp_path / "x.ckpt"), iters=3)


def test_another_scale_or_other_classes_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    narrow = {"model.base.pre_conv.weight": (16, 4, 1, 1), "model.base.pre_conv.bias": (16,)}
    with refused(r"of another scale: separator\.pre_conv\.weight has shape \[16, 4, 1, 1\] where .* \[32, 4, 1, 1\]"):
        convert(theirs(tmp_path / "x.ckpt", narrow))
    with refused(r"knows 17 classes, the configured labels are 18"):
        convert(theirs(tmp_path / "x.ckpt", {"model.label_embedding.0.weight": (512, 17)}))
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]


def test_a_renamed_tensor_is_refused(tmp_path: Path) -> None:
    state = zeros(fakes.outline("baseline_resunet"))
    state["model.base.out_conv.offset"] = state.pop("model.base.out_conv.bias")
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")
    with refused(r"missing: separator\.out_conv\.bias; left over: separator\.out_conv\.offset"):
        convert(tmp_path / "x.ckpt")


def test_mel_filters_of_another_front_end_are_refused(tmp_path: Path) -> None:
    state = zeros(fakes.outline("m2d_sed"))
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")  # its filters are zeros
    with refused("hears through other mel filters"):
        convert(tmp_path / "x.ckpt")


# Through the command line.


def test_the_task_says_what_it_found_and_how_to_use_it(run_py: RunPy, tmp_path: Path) -> None:
    source = theirs(tmp_path / "epoch 3.ckpt")
    done = run_py("task=convert", f"task.source='{source}'", "task.target=new/net.safetensors")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for part in ("the challenge's baseline_resunet", "295 used", "42 left out", "task=evaluate", "new/net.safetensors"):
        assert part in done.stdout
    assert checkpoints.load(tmp_path / "new" / "net.safetensors", "separator").description.kind == "separator"
    assert not (tmp_path / "cache").exists()
    assert not list(tmp_path.glob("mlflow*"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "task.source is needed and not given"),
        (("task.source=absent.ckpt",), "no checkpoint at absent.ckpt"),
        (("task.source=x.ckpt", "task.target=x.ckpt"), "would overwrite the source"),
        (("task.source=valid.json",), "valid.json holds scenes: give the year whose format is wanted"),
    ],
)
def test_a_mistake_is_one_sentence(run_py: RunPy, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    (tmp_path / "x.ckpt").touch()
    done = run_py("task=convert", *arguments)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert says in done.stderr
