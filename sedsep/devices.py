"""Where networks run when no trainer decides."""

from __future__ import annotations

import os

import torch


def evaluation_device(accelerator: str = "auto") -> torch.device:
    """The device that this process evaluates networks on.

    Args:
        accelerator: Lightning's word for it; `cpu` keeps off the GPUs.
    """
    if accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
