"""What an exported separator costs, against the same network in PyTorch.

Axes: M microphones, L samples, K queries, N classes.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from sedsep import checkpoints
from sedsep.benchmarks.costs import CostTable, clock, peak_gb, processor
from sedsep.checkpoints import Checkpoint, exported
from sedsep.checkpoints.exporting import graph_of, in_int8, write
from sedsep.dsp import snr_db
from sedsep.types import FloatArray

log = logging.getLogger(__name__)

COLUMNS = ("threads", "with", "s", "GB", "MB of file", "dB")
DIGITS = {"seconds": ".3g", "peak_gb": ".2f", "file_mb": ".1f", "snr_db": ".1f"}
"""What is told of a case, and how a table writes it."""


def export_costs(title: str, checkpoint: Checkpoint, seconds: float, threads: Iterable[int], repeats: int) -> CostTable:
    """Measure a separator in PyTorch and in onnxruntime, with all bits and with int8 weights.

    Each run is a process of its own, that is told how much memory it took; the ways take turns.

    Args:
        title: what is measured; the processor is added.
        checkpoint: the separator.
        seconds: of the clip, of noise, that one event is asked of.
        threads: of the processor.
        repeats: rounds, of which the fastest counts.

    Raises:
        UserError: it cannot be exported.
    """
    with TemporaryDirectory() as folder:
        names = {"PyTorch": "plain.ckpt", "onnxruntime": "plain.onnx", "onnxruntime, int8": "int8.onnx"}
        files = {name: Path(folder) / file for name, file in names.items()}
        checkpoints.save(files["PyTorch"], checkpoint.network, checkpoint.description)
        made = graph_of(checkpoint, seconds)
        write(made, files["onnxruntime"])
        write(in_int8(made), files["onnxruntime, int8"])
        del made
        cases = [(count, name) for count in threads for name in files]
        rounds = [{case: _apart(files[case[1]], seconds, case[0]) for case in cases} for _ in range(repeats)]
        sizes = {name: path.stat().st_size / 1e6 for name, path in files.items()}
    rows: list[list[str]] = []
    metrics: dict[str, float] = {}
    for count, name in cases:
        took, peaks, estimates = zip(*(done[count, name] for done in rounds), strict=True)
        costs = {"seconds": min(took), "peak_gb": max(peaks), "file_mb": sizes[name]}
        if name != "PyTorch":
            ours = torch.from_numpy(rounds[0][count, "PyTorch"][2])
            costs["snr_db"] = float(snr_db(ours, torch.from_numpy(estimates[0]), eps=1e-30))
        rows.append(
            [str(count), name, *(f"{costs[key]:{form}}" if key in costs else "" for key, form in DIGITS.items())]
        )
        log.info("%s", ", ".join(f"{column} {cell}" for column, cell in zip(COLUMNS, rows[-1], strict=True)))
        prefix = f"benchmark/export/{name.replace(', ', '/')}/threads_{count}"
        metrics |= {f"{prefix}/{key}": value for key, value in costs.items()}
    return CostTable(f"{title}, {processor()}", COLUMNS, rows, metrics)


def _apart(path: Path, seconds: float, threads: int) -> tuple[float, float, FloatArray]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(ask, path, seconds, threads).result()


def ask(path: Path, seconds: float, threads: int) -> tuple[float, float, FloatArray]:
    """Ask a separator of one event in noise, twice.

    Args:
        path: its checkpoint or exported file.
        seconds: of the noise.
        threads: of the processor.

    Returns:
        Seconds of the second time, the highest memory of the process in it in GB (NaN where the system does not tell),
        and the estimate [L].
    """
    torch.set_num_threads(threads)
    network, labels = exported.network(path, "separator")
    samples, generator = round(seconds * network.input_rate), torch.Generator().manual_seed(0)
    mixture = 0.1 * torch.randn(1, network.microphones, samples, generator=generator)
    query = torch.eye(len(labels))[None, : network.outputs]
    took: list[float] = []

    @torch.inference_mode()
    def once() -> Tensor:
        separation, second = clock(network, mixture, query)
        took.append(second)
        return separation.estimates[0, 0]

    estimate = once()
    peak = peak_gb(once, mixture.device)
    return took[-1], math.nan if peak is None else peak, estimate.numpy()
