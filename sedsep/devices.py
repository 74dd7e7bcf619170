"""Where networks run when no trainer decides, and on how many threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
