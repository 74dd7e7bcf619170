from __future__ import annotations

import pytest
import torch
from minis import noise, shaken

from sedsep.modules.vit import Attention, Block


@torch.no_grad()
@pytest.mark.parametrize("heads", [1, 3])
def test_attention_weighs_values_by_the_softmax_of_scaled_products(heads: int) -> None:
    attention, x = shaken(Attention(12, heads)), noise(2, 7, 12)
    query, key, value = (part.unflatten(2, (heads, -1)) for part in attention.qkv(x).chunk(3, dim=2))
    weights = (torch.einsum("bphd,bqhd->bhpq", query, key) / (12 // heads) ** 0.5).softmax(-1)
    expected = attention.proj(torch.einsum("bhpq,bqhd->bphd", weights, value).flatten(2))
    torch.testing.assert_close(attention(x), expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_block_knows_no_order_of_tokens() -> None:
    block, x = shaken(Block(12, heads=3, mlp_ratio=4.0)), noise(2, 7, 12)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    torch.testing.assert_close(block(x[:, order]), block(x)[:, order], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_block_of_zero_projections_is_the_identity() -> None:
    block, x = shaken(Block(12, heads=3, mlp_ratio=4.0)), noise(2, 7, 12)
    for last in (block.attn.proj, block.mlp.fc2):
        last.weight.zero_()
        last.bias.zero_()
    assert torch.equal(block(x), x)
