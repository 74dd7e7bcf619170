"""Where networks run when no trainer decides, in which precision, and on how many threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sedsep.errors import choice

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def evaluation_device(accelerator: str = "auto") -> torch.device:
    """The device that this process evaluates networks on.

    Args:
        accelerator: Lightning's word for it; `cpu` keeps off the GPUs.
    """
    if accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes on one thread: a core for itself, or bits that do not depend on the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def computing(device: torch.device, precision: str) -> torch.autocast:
    """A context in which evaluated networks compute.

    Args:
        device: where they are.
        precision: `fp32`, or `bf16` for convolutions and matrix products in bfloat16; spectra, masks and probabilities
            stay float32.

    Raises:
        UserError: an unknown precision.
    """
    dtype = PRECISIONS[choice(precision, tuple(PRECISIONS), "precision")]
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
