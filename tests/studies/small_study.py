"""What tests of studies share."""

from __future__ import annotations

from typing import Any

CHOICES = {"scale": "mini", "data": "synthetic"}


def config_of(**logger: str) -> dict[str, Any]:
    """What a study reads in the config of a job."""
    data = {"name": CHOICES["data"], "module": {"test_split": "test"}}
    return {"logger": logger, "scale": {"name": CHOICES["scale"]}, "data": data}


def scored(tagger: float = 1.0, oracle: float = 2.0) -> dict[str, float]:
    """Metrics of a run, by MLflow's names."""
    return {"test/ca_sdri/tagger": tagger, "test/ca_sdri/oracle": oracle}
