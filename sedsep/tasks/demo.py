"""task=demo: a page on which people take recordings apart."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from threading import Event

from omegaconf import DictConfig

from sedsep.checkpoints.finding import BOX, BOX_IS
from sedsep.devices import evaluation_device
from sedsep.errors import UserError
from sedsep.inference import load


def run(config: DictConfig) -> None:
    """Serve the page until told to stop.

    Raises:
        UserError: Gradio is missing, there is no such separator, or the page cannot be served where it should.
    """
    if find_spec("gradio") is None:
        raise UserError("task=demo needs Gradio, which is not installed: pip install 'sedsep[demo]'.")
    from sedsep.demo.serving import serving  # an extra of its own

    task, device = config.task, evaluation_device(config.trainer.accelerator)
    cache = Path(config.paths.cache)
    system = load(config.ckpt or BOX, config.tagger.ckpt, device, config.duration, cache, config.scale.threshold)
    note = "" if config.ckpt else BOX_IS
    with serving(system, task.host, task.port, task.seconds, task.megabytes, note) as address:
        print(f"The page is at {address} until Ctrl-C.", flush=True)
        Event().wait()
