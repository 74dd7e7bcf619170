"""From an error to a sentence."""

from __future__ import annotations

from hydra.errors import HydraException, InstantiationException
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from sedsep.errors import UserError


def explain(error: BaseException) -> str | None:
    """The sentence for an error that the user can mend; `None` for a defect of ours."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for link in chain:
        # Lightning's own goes by its name: its import takes seconds.
        if isinstance(link, UserError) or type(link).__name__ == "MisconfigurationException":
            return str(link)
    if any(isinstance(link, InstantiationException) for link in chain):
        return None
    for link in chain:
        if isinstance(link, MissingMandatoryValue) and link.full_key:
            return f"{link.full_key} is needed and not given: add {link.full_key}=VALUE to the command."
    if any(isinstance(link, HydraException | OmegaConfBaseException) for link in chain):
        return " ".join(next((str(link) for link in chain if str(link)), type(error).__name__).split())
    return None
