from __future__ import annotations

import copy
import shutil
from functools import partial

import lightning
import pytest
import torch
from minis import make_batch, make_guided, make_sed, refused
from torch import Tensor, nn

from sedsep.benchmarks.training import Kept
from sedsep.checkpoints import Description
from sedsep.conditioning import Soundbeam, TimeFilm
from sedsep.modules.dprnn import Dprnn
from sedsep.training import SedRates, SeparatorRates, SeparatorSystem, Speed, warmup_constant

RATES = SeparatorRates(pretrained=1e-3, new=1e-3, dprnn=1e-3, sed=SedRates(heads=0.0, backbone=1e-3))


def make_system(network: nn.Module) -> SeparatorSystem:
    return SeparatorSystem(
        network,
        labels=None,
        rates=RATES,
        description=Description("separator", "mini", {}, ()),
        optimizer=torch.optim.AdamW,
        schedule=partial(warmup_constant, warmup_steps=1),
    )


def paper_network() -> nn.Module:
    dprnn = partial(Dprnn, hidden=4, layers=1, dropout=0.0)
    return make_guided(make_sed(), widths=[4, 6], dprnn=dprnn, time_film=TimeFilm, injection=Soundbeam)


def gradients(system: SeparatorSystem) -> tuple[Tensor, dict[str, Tensor]]:
    system.zero_grad()
    loss = system.training_step(make_batch([[0, 2, None], [1, None, None]]), 0)
    loss.backward()
    return loss, {name: p.grad for name, p in system.network.named_parameters() if p.grad is not None}


def test_precision_is_set_for_the_fit_alone_and_must_be_known() -> None:
    system, trainer = make_system(make_guided()), lightning.Trainer(accelerator="cpu", logger=False)
    before = torch.get_float32_matmul_precision()
    speed = Speed(compile=False, matmul_precision="high")
    speed.setup(trainer, system, "fit")
    assert torch.get_float32_matmul_precision() == "high"
    speed.teardown(trainer, system, "fit")
    assert torch.get_float32_matmul_precision() == before
    with refused("speed.matmul_precision=tf32 is not known"):
        Speed(compile=False, matmul_precision="tf32")
    with refused("speed.checkpoint=all is not known"):
        Speed(compile=False, matmul_precision="high", checkpoint="all")


def test_separators_lie_channels_last_before_and_after_training() -> None:
    system = make_system(paper_network())
    maps = [m for m in system.network.separator.unet.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert maps
    gradients(system)
    torch.optim.AdamW(system.network.parameters(), amsgrad=True).step()
    for conv in maps:
        assert conv.weight.is_contiguous(memory_format=torch.channels_last)
        assert conv.weight.grad.is_contiguous(memory_format=torch.channels_last)


def test_checkpoints_by_stage_keep_less_and_change_nothing() -> None:
    network = make_guided(
        make_sed(), widths=[4, 6], dprnn=partial(Dprnn, hidden=4, layers=1, dropout=0.5), time_film=TimeFilm,
        injection=Soundbeam, iters=2,
    )  # fmt: skip
    found, kept = [], []
    for checkpoint in ("none", "stages"):
        system = make_system(copy.deepcopy(network))
        Speed(False, "highest", checkpoint).setup(None, system, "fit")  # type: ignore[arg-type]
        torch.manual_seed(0)
        held = Kept(plain=False)
        held.on_train_batch_start(None, system, None, 0)  # type: ignore[arg-type]
        loss = system.network(make_batch([[0], [1]]).mixture, make_batch([[0], [1]]).query).estimates.square().mean()
        held.on_before_backward()
        loss.backward()
        grads = [p.grad for p in system.network.parameters() if p.grad is not None]
        found.append([loss.detach(), *grads, *(buffer.double() for buffer in system.network.buffers())])
        kept.append(held.gb)
    assert kept[1] < 0.9 * kept[0]
    for one, other in zip(*found, strict=True):
        assert (one - other).norm() <= 1e-5 * max(one.norm(), 1e-3)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_training_computes_the_same_and_keeps_the_names_of_weights() -> None:
    plain = make_system(paper_network())
    compiled = make_system(copy.deepcopy(plain.network))
    Speed(compile=True, matmul_precision="highest").setup(None, compiled, "fit")  # type: ignore[arg-type]
    try:
        assert list(compiled.state_dict()) == list(plain.state_dict())
        (loss, wanted), (same, got) = gradients(plain), gradients(compiled)
        assert same.item() == pytest.approx(loss.item(), abs=1e-4)
        assert got.keys() == wanted.keys()
        scale = max(value.norm() for value in wanted.values())
        for name, value in wanted.items():
            assert (got[name] - value).norm() <= 1e-4 * scale, name
        for before, after in zip(plain.network.buffers(), compiled.network.buffers(), strict=True):
            assert torch.allclose(before.float(), after.float(), atol=1e-4)
    finally:
        torch._dynamo.reset()
