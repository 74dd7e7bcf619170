"""Separation of any recording, in files and in memory: what `sedsep.load` and `sedsep.stream` give."""

from sedsep.inference.detection import Detection, SoundEvent
from sedsep.inference.job import Request, SeparationJob
from sedsep.inference.loading import load, stream
from sedsep.inference.recordings import Recording, find, from_array, from_file
from sedsep.inference.separator import SceneSeparator, SeparationResult
from sedsep.inference.streaming import SceneStream
from sedsep.inference.writing import write

__all__ = [
    "Detection",
    "Recording",
    "Request",
    "SceneSeparator",
    "SceneStream",
    "SeparationJob",
    "SeparationResult",
    "SoundEvent",
    "find",
    "from_array",
    "from_file",
    "load",
    "stream",
    "write",
]
