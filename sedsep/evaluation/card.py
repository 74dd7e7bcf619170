"""The card of a shared model, for people: what it is, how well it does, what one may do with it and how."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment, StrictUndefined

from sedsep.checkpoints import Checkpoint
from sedsep.errors import printable
from sedsep.evaluation.report.html import number
from sedsep.metrics.registry import METRICS, SOURCES, MetricName, ordered_sources

CARD = """\
---
library_name: sedsep
license: {{ licence | tojson }}
pipeline_tag: {{ "audio-to-audio" if separates else "audio-classification" }}
tags: [sound-event-detection{{ ", source-separation" if separates }}]
---

# {{ name }}

{% if separates %}
Takes a recording of a scene apart into its sounds: a separator of {{ millions }} million parameters, which is asked for
one sound at a time{{ " and guided by a SED model of its own" if guided }}
{%- if passes %}, in {{ passes }} pass{{ "es" if passes > 1 }} of refinement{% endif %}.
{% if tagger %}
Its tagger, which names the sounds and says when they are heard, comes with it.
{% else %}
No tagger comes with it: name the sounds, or give one.
{% endif %}
{% else %}
Names the sounds in a recording and says when they are heard: a tagger of {{ millions }} million parameters.
{% endif %}
It hears at {{ rate }} Hz. Its sizes are those of `scale={{ scale }}`
{%- if scale == "mini" %}, which show that a system works, not how well one can{% endif %}.

It knows these sounds and no others: {{ labels | join(", ") }}.

## Use

```bash
pip install 'sedsep[hub]'
sedsep task=separate audio=street.flac {{ "ckpt" if separates else "ckpt=SEPARATOR tagger.ckpt" }}=hf:{{ address }}
```

```python
import sedsep

system = sedsep.load({% if separates %}"{{ address }}"{% else %}"SEPARATOR", tagger="{{ address }}"{% endif %})
result = system.separate(waveform, sample_rate)  # result.waveforms, result.events, result.residual
```

## Scores

{% if rows %}
On {{ scored.mixtures }} mixtures{{ " of " + data if data }}, split {{ scored.split }}, with 95 % intervals, under the
labels of:

| | {{ sources | join(" | ") }} |
| --- |{{ " ---: |" * sources | length }}
{% for title, cells in rows %}
| {{ title }} | {{ cells | join(" | ") }} |
{% endfor %}

{% for source in sources if source in meaning %}
- *{{ source }}*: {{ meaning[source] }}.
{% endfor %}
{% for metric in metrics %}
- **{{ metric.title }}**: {{ metric.meaning }}
{% endfor %}
{% else %}
None are known.
{% endif %}

## Made

{% for name, fact in facts %}
- {{ name }}: {{ fact }}
{% endfor %}
- Licence: {{ licence }}
"""
TOLD = ("Data", "Scale", "Seed", "Software", "Commit")
"""Facts of a run that mean something elsewhere; of the data set the name alone."""


@dataclass(frozen=True)
class Score:
    """A score with its interval, as `evaluation.json` has them.

    Attributes:
        value: `None` where nothing counted.
        low: lower bound; `None` where there is no interval.
        high: upper bound, as `low`.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    def text(self, digits: int) -> str:
        """For a table."""
        value = number(self.value, digits)
        return value if self.low is None else f"{value} [{number(self.low, digits)}, {number(self.high, digits)}]"


@dataclass(frozen=True)
class Scored:
    """What a card takes from a run's `evaluation.json`.

    Attributes:
        checkpoints: that were scored, by the names of their models.
        facts: of the run's making.
        split: that was scored.
        mixtures: in it.
        metrics: scores by name.
    """

    checkpoints: dict[str, str]
    facts: dict[str, str]
    split: str
    mixtures: int
    metrics: dict[str, Score]


def model_card(name: str, model: Checkpoint, has_tagger: bool, scored: Scored | None, licence: str) -> str:
    """The text of a card, in Markdown with the head that the hub reads.

    Args:
        name: of the model, `OWNER/NAME` where it has one.
        model: what is shared.
        has_tagger: whether a tagger is shared with it.
        scored: `None` where no scores are known.
        licence: its identifier.
    """
    scores = {MetricName.parse(text): score for text, score in (scored.metrics if scored else {}).items()}
    scores = {name: score for name, score in scores.items() if name.setting is None and name.metric in METRICS}
    sources = ordered_sources({name.source for name in scores})
    metrics = [metric for metric in METRICS.values() if any(name.metric == metric.name for name in scores)]
    table = {(name.metric, name.source): score for name, score in scores.items()}
    rows = [
        (
            metric.axis,
            [table[cell].text(metric.digits) if (cell := (metric.name, source)) in table else "" for source in sources],
        )
        for metric in metrics
    ]
    facts = {fact: printable(scored.facts[fact]) for fact in TOLD if scored and fact in scored.facts}
    if "Data" in facts:
        facts["Data"] = facts["Data"].partition(":")[0]  # the rest is a path of this machine
    network = model.network
    template = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    ).from_string(CARD)
    return template.render(
        name=name,
        address=name if "/" in name else f"OWNER/{name}",
        separates=model.description.kind == "separator",
        guided=getattr(network, "sed", None) is not None,
        passes=getattr(network, "iters", 0),
        tagger=has_tagger,
        millions=f"{sum(parameter.numel() for parameter in network.parameters()) / 1e6:.1f}",
        rate=network.input_rate,
        scale=printable(model.description.scale),
        labels=[printable(label) for label in model.description.labels],
        licence=printable(licence),
        scored=scored,
        data=facts.get("Data"),
        sources=sources,
        rows=rows,
        metrics=metrics,
        meaning=SOURCES,
        facts=list(facts.items()),
    )
