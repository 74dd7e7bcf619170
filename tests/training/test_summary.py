from __future__ import annotations

from functools import partial

from minis import make_guided, make_sed
from torch import nn

from sedsep.conditioning import Soundbeam, TimeFilm
from sedsep.modules.dprnn import Dprnn
from sedsep.training import SedRates, SeparatorRates
from sedsep.training.groups import sed_groups, separator_groups
from sedsep.training.summary import WIDTH, Part, Rate, parts, rates, render

RATES = SeparatorRates(pretrained=0.2, new=1.0, dprnn=0.5, sed=SedRates(heads=0.0, backbone=0.4, decay=0.5))


def size(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def test_every_parameter_is_in_one_part_and_counted_as_learning_where_a_group_holds_it() -> None:
    network = make_guided(make_sed(), time_film=TimeFilm, injection=partial(Soundbeam), dprnn=partial(Dprnn, hidden=4))
    groups = separator_groups(network, RATES, 0.0)
    found = parts(network, groups)
    assert sum(part.parameters for part in found) == size(network)
    assert sum(part.learning for part in found) == sum(p.numel() for group in groups for p in group["params"])
    by_name = {part.name: part for part in found}
    assert list(by_name) == [
        "U-Net",
        "pre, after, out convolution",
        "input norm",
        "label FiLM",
        "Time-FiLM",
        "injection",
        "DPRNN",
        "Stage 2 SED backbone",
        "Stage 2 SED heads",
    ]
    assert network.sed is not None
    assert by_name["U-Net"].parameters == by_name["U-Net"].learning == size(network.separator.unet)
    heads = size(network.sed) - size(network.sed.backbone)
    assert by_name["Stage 2 SED heads"] == Part("Stage 2 SED heads", heads, 0)


def test_a_network_without_guidance_has_fewer_parts() -> None:
    network = make_guided(iters=2)
    found = parts(network, separator_groups(network, RATES, 0.0))
    assert [part.name for part in found] == ["U-Net", "pre, after, out convolution", "input norm", "label FiLM"]
    assert sum(part.parameters for part in found) == size(network)


def test_a_sed_model_has_backbone_recurrence_and_heads() -> None:
    model = make_sed(sequence="bigru")
    found = parts(model, sed_groups(model, RATES.sed, 0.0))
    assert [(part.name, part.learning > 0) for part in found] == [
        ("backbone", True),
        ("recurrence", False),
        ("heads", False),
    ]
    assert sum(part.parameters for part in found) == size(model)


def test_the_groups_of_a_stack_are_told_as_one() -> None:
    model = make_sed()
    every = SedRates(heads=1.0, backbone=0.4, decay=0.5)
    blocks = size(model.backbone)
    heads = size(model) - blocks
    assert rates(sed_groups(model, every, 0.0, "sed/")) == [
        Rate("sed/blocks 0 to 1", blocks, 0.1, 0.2),
        Rate("sed/heads", heads, 1.0, 1.0),
    ]
    with_decay = rates(sed_groups(model, every, 0.01))
    assert [rate.name for rate in with_decay] == [
        "blocks 0 to 1",
        "blocks 0 to 1/no_decay",
        "heads",
        "heads/no_decay",
    ]
    assert sum(rate.parameters for rate in with_decay) == size(model)
    last = rates(sed_groups(model, SedRates(heads=0.0, backbone=0.4, trained_blocks=1), 0.0))
    assert [rate.name for rate in last] == ["block1"]


def test_the_table_says_what_does_not_learn_and_fits_a_terminal() -> None:
    text = render(
        [Part("U-Net", 123456789, 123456789), Part("Stage 2 SED backbone", 86000000, 0)],
        [Rate("sed/blocks 0 to 11/no_decay", 85000000, 0.4e-3 * 0.9**12, 0.36e-3), Rate("new", 1000, 1e-3, 1e-3)],
    )
    lines = text.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert any(line.split()[-3:] == ["backbone", "86,000,000", "no"] for line in lines)
    assert any(line.split() == ["all", "209,456,789", "123,456,789"] for line in lines)
    assert any(line.endswith("0.000113 to 0.00036") for line in lines)
    assert any(line.split() == ["new", "1,000", "0.001"] for line in lines)
