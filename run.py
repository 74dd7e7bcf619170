"""The entry of the suite: `python run.py --help`. The command `sedsep` does the same."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of what a key interrupts before `guarded` listens

import hydra  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

from sedsep.tasks import guarded, run  # noqa: E402


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    """Run the configured task."""
    run(config)


if __name__ == "__main__":
    guarded(main)
