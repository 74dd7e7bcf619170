import pytest
import torch
from torch import nn

from sedsep.modules.recurrence import recur


@pytest.mark.parametrize("cell", [nn.GRU, nn.LSTM, nn.RNN])
@pytest.mark.parametrize("asked", [torch.float32, torch.float64])
def test_every_recurrence_computes_on_every_processor_whatever_the_precision_around_it(cell, asked):
    rnn = cell(6, 3, batch_first=True, bidirectional=True).to(asked)
    sequences = torch.randn(2, 5, 6).to(asked)
    with torch.inference_mode():
        expected = rnn(sequences)[0]
        with torch.autocast("cpu", torch.bfloat16):
            found = recur(rnn, sequences)
            rounded = recur(rnn, sequences.bfloat16())
    assert torch.equal(found, expected)
    torch.testing.assert_close(rounded, expected, rtol=0, atol=2e-2)
