"""What a page tells of where the decibels up to the ceiling are lost."""

from __future__ import annotations

from typing import Any

from sedsep.evaluation.ledger import Ledger
from sedsep.evaluation.report.figures import waterfall_figure
from sedsep.metrics.registry import CEILING, LEDGER, METRICS, REFERENCES


def ledger_view(ledger: Ledger, ranking: str) -> dict[str, Any]:
    """What the template shows of a ledger.

    Args:
        ledger: of the label source that a user has.
        ranking: the metric that it is in.
    """
    costliest = max(ledger.overall.lost, key=lambda part: ledger.overall.lost[part].value)
    return {
        "source": ledger.source,
        "metric": METRICS[ranking],
        "overall": ledger.overall,
        "costliest": (LEDGER[costliest], ledger.overall.lost[costliest]),
        "rows": [(LEDGER[part], lost) for part, lost in ledger.overall.lost.items()],
        "ceiling": CEILING,
        "references": [(REFERENCES[name], score) for name, score in ledger.references.items()],
        "classes": [
            (label, ledger.events[label], [account.score, *account.lost.values(), account.ceiling])
            for label, account in ledger.by_class.items()
        ],
        "columns": [*LEDGER.values(), CEILING],
        "svg": waterfall_figure(ledger),
    }
