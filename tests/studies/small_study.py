"""What tests of studies share."""

from __future__ import annotations

CHOICES = {"scale": "mini", "data": "synthetic"}


def scored(tagger: float = 1.0, oracle: float = 2.0) -> dict[str, float]:
    """Metrics of a run, by MLflow's names."""
    return {"test/ca_sdri/tagger": tagger, "test/ca_sdri/oracle": oracle}
