"""A separator that is told nothing.

Axes: B mixtures, M microphones, L samples, K outputs.
"""

from __future__ import annotations

from torch import Tensor, nn

from sedsep.errors import UserError
from sedsep.models.guided import GuidedSeparator
from sedsep.types import Separation

UNASKED = (
    "This separator knows no labels, and nothing can be asked of it: score it by itself (model=unlabelled), or give it "
    "as unlabelled.ckpt=PATH beside a separator that is told labels."
)


class UnlabelledSeparator(GuidedSeparator):
    """A separator whose K outputs are the sounds of a mixture that are of any class, in no order; where fewer sound,
    the others are silent. Each of its queries names all classes, always."""

    def stems(self, mixture: Tensor) -> Tensor:
        """What sounds in mixtures [B, M, L]: [B, K, L]."""
        anything = mixture.new_ones(len(mixture), self.outputs, self.classes)
        return super().forward(mixture, anything).estimates

    def forward(self, *asked: object, **options: object) -> Separation:
        """Refuse to be asked for labels.

        Raises:
            UserError: always.
        """
        raise UserError(UNASKED)


def check_asked(network: nn.Module) -> None:
    """Make sure that a network can be asked for labels, before anybody is kept waiting.

    Raises:
        UserError: it is told none.
    """
    if isinstance(network, UnlabelledSeparator):
        raise UserError(UNASKED)
