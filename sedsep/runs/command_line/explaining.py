"""From an error to a sentence."""

from __future__ import annotations

import errno

from hydra.errors import HydraException, InstantiationException
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from sedsep.errors import UserError, causes, reason

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}


def explain(error: BaseException) -> str | None:
    """The sentence for an error that the user can mend; `None` for a defect of ours."""
    chain = causes(error)
    for link in chain:
        # Lightning's own goes by its name: its import takes seconds.
        if isinstance(link, UserError) or type(link).__name__ == "MisconfigurationException":
            return str(link)
    for link in reversed(chain):  # the first: on a full disk others follow
        if sentence := _of_machine(link):
            return sentence
    if any(isinstance(link, InstantiationException) for link in chain):
        return None
    for link in chain:
        if isinstance(link, MissingMandatoryValue) and link.full_key:
            return f"{link.full_key} is needed and not given: add {link.full_key}=VALUE to the command."
    if any(isinstance(link, HydraException | OmegaConfBaseException) for link in chain):
        return " ".join(next((str(link) for link in chain if str(link)), type(error).__name__).split())
    return None


def _of_machine(error: BaseException) -> str | None:
    """The sentence for a disk, a memory or a process that gave out."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno in FULL | CLOSED:
        what = f"{error.filename or 'A file'} cannot be {'written' if error.errno in FULL else 'opened or written'}"
        advice = "make room there" if error.errno in FULL else "see to its rights"
        return (
            f"{what} ({reason(error)}): {advice}, or choose another place (hydra.run.dir=... for the run, "
            "paths.cache=... for what runs share)."
        )
    said = text.split(". ")[0].rstrip(".")
    if isinstance(error, RuntimeError) and text.startswith("DataLoader worker"):
        return (
            f"A process that renders scenes was killed, most likely for want of memory ({said}): give fewer of them "
            "(data.workers=...), smaller batches (model.training.batch_size=...), or the job more memory."
        )
    if type(error).__name__ == "OutOfMemoryError":  # torch's, whose import takes seconds
        return (
            f"The GPU has too little memory ({said}): train with trainer.precision=bf16-mixed, or with a smaller "
            "model.training.batch_size, and trainer.accumulate_grad_batches to make up for it."
        )
    if isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in text:
        return (
            "The machine has too little memory: give smaller batches (model.training.batch_size=..., "
            "model.training.eval_batch_size=...) or fewer data.workers."
        )
    return None
