"""Networks: no files, no config, no Lightning."""

from sedsep.models.feedback import Feedback
from sedsep.models.guided import GuidedSeparator
from sedsep.models.m2d import LogMel, M2d
from sedsep.models.resunet import UNet
from sedsep.models.sed import SedModel
from sedsep.models.separator import Separator
from sedsep.models.tf_attention import TfAttention
from sedsep.models.unlabelled import UnlabelledSeparator

__all__ = [
    "Feedback",
    "GuidedSeparator",
    "LogMel",
    "M2d",
    "SedModel",
    "Separator",
    "TfAttention",
    "UNet",
    "UnlabelledSeparator",
]
