"""Weight files: ours, other people's, and where to get them. Nothing else downloads weights or renames their keys."""

from sedsep.checkpoints.own import (
    ENTRY,
    NETWORK_PREFIX,
    Checkpoint,
    Description,
    describe,
    load,
    load_state,
    network_state,
    rebuild,
    save,
)

__all__ = [
    "ENTRY",
    "NETWORK_PREFIX",
    "Checkpoint",
    "Description",
    "describe",
    "load",
    "load_state",
    "network_state",
    "rebuild",
    "save",
]
