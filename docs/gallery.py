"""The gallery's sounds, made while the site is built (a hook of mkdocs.yml): test scenes of the synthetic set, and what
the model in the box makes of them."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import soundfile
import soxr
import torch
from jinja2 import Environment, StrictUndefined

import sedsep
from sedsep.datasets.synthetic import ensure_synthetic
from sedsep.evaluation.report.clips import PEAK, spectrogram, spectrogram_figure
from sedsep.evaluation.report.html import number
from sedsep.evaluation.report.timelines import timeline_figure
from sedsep.inference import SceneSeparator, SeparationResult
from sedsep.labels import SILENCE, LabelSet
from sedsep.metrics.sdri import ClassScore, ca_sdri, score_mixture
from sedsep.scenes.layout import Layout
from sedsep.scenes.metadata import load_index
from sedsep.scenes.rendering import Renderer
from sedsep.types import FloatArray, SceneSpec

PAGE, PLACE = "gallery.md", "<!-- scenes -->"
RATE, MICROPHONES = 32000, 4
PLAYED_RATE, SMALL = 24000, 0.8
"""Of the files that are played: Hz, and how hard they are packed, of 0 to 1."""

SCENE = """\
## {{ title }}

{% for word, labels in account if labels %}{{ word }} **{{ labels | join(", ") }}**. {% endfor %}
CA-SDRi of the scene: **{{ score | number(1, "dB") }}**.

<div class="clips">
{% for clip in clips %}
<figure>
<figcaption>{{ clip.title }}</figcaption>
{% if clip.image %}
<img src="{{ clip.image }}" alt="{{ clip.seen }}" loading="lazy">
{% endif %}
{% if clip.sound %}
<audio controls preload="none" src="{{ clip.sound }}" aria-label="Play: {{ clip.title }}"></audio>
{% endif %}
</figure>
{% endfor %}
</div>
"""

Add = Callable[[str, bytes], str]
"""Takes a file into the site and gives its address, as the page has it."""


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Put the scenes into their page, and their sounds and pictures beside it."""
    if page.file.src_uri != PAGE:
        return markdown
    from mkdocs.structure.files import File
    from mkdocs.utils import get_relative_url

    def add(name: str, content: bytes) -> str:
        file = File.generated(config, f"gallery/{name}", content=content)
        files.append(file)
        return get_relative_url(file.url, page.url)

    return markdown.replace(PLACE, scenes(add))


def scenes(add: Add) -> str:
    """The scenes, taken apart, as Markdown."""
    system, cache = sedsep.load(device="cpu"), os.environ.get("SEDSEP_CACHE") or platformdirs.user_cache_dir("sedsep")
    layout = Layout(ensure_synthetic(Path(cache, "synthetic"), system.labels), RATE, MICROPHONES)
    renderer, labels = Renderer(layout), LabelSet(system.labels)
    specs = load_index(layout.root / "metadata" / "test.json", layout, labels)
    taken = sorted((take_apart(system, renderer, spec) for spec in specs), key=lambda one: -one.score)
    right = [one for one in taken if all(score.outcome == "hit" for score in one.scores)]
    wrong = [one for one in taken if one not in right]
    shown = {
        f"Best of the {len(right)} in which all sounds are named rightly": right[0],
        "In the middle of these": right[len(right) // 2],
        "Last of these": right[-1],
        f"Best of the {len(wrong)} others": wrong[0],
        "Last of the others": wrong[-1],
    }
    template = Environment(undefined=StrictUndefined, trim_blocks=True)
    template.filters["number"] = number
    scene = template.from_string(SCENE)
    return "\n".join(scene.render(title=title, **told(one, system.labels, add)) for title, one in shown.items())


@dataclass(frozen=True, eq=False)
class Taken:
    """A scene taken apart.

    Attributes:
        spec: what it is made of.
        mixture: its W channel.
        truth: its sounds, label and waveform.
        spans: of them, label, onset and offset in seconds.
        result: what the model made of it.
        scores: of that.
    """

    spec: SceneSpec
    mixture: FloatArray
    truth: list[tuple[str, FloatArray]]
    spans: list[tuple[str, float, float]]
    result: SeparationResult
    scores: list[ClassScore]

    @property
    def score(self) -> float:
        """CA-SDRi, dB."""
        return ca_sdri([self.scores])


def take_apart(system: SceneSeparator, renderer: Renderer, spec: SceneSpec) -> Taken:
    """Play a scene and have it heard."""
    scene = renderer.render(spec)
    there = [slot for slot, label in enumerate(scene.labels) if label != SILENCE]
    truth = [(scene.labels[slot], scene.targets[slot]) for slot in there]
    spans = [(scene.labels[slot], scene.spans[slot][0] / RATE, scene.spans[slot][1] / RATE) for slot in there]
    result, mixture = system.separate(scene.mixture, RATE), scene.mixture[0]
    scores = score_mixture(_tensors(result.waveforms.items()), _tensors(truth), torch.from_numpy(mixture))
    return Taken(spec, mixture, truth, spans, result, scores)


def told(taken: Taken, labels: Sequence[str], add: Add) -> dict[str, Any]:
    """What the page says of a scene.

    Args:
        taken: the scene.
        labels: that the model knows.
        add: see `Add`.
    """
    mixture, truth, result, name = taken.mixture, taken.truth, taken.result, taken.spec.name
    estimates = result.waveforms
    gains = {score.label: score.improvement for score in taken.scores if score.outcome == "hit"}
    missed = [label for label, _ in truth if label not in gains]
    wrong = [label for label in estimates if label not in gains]
    sounds = [("Mixture", mixture)]
    for label, target in truth:  # side by side with what was made of it
        sounds.append((f"{label}, true", target))
        gained = f", estimated: {number(gains[label], 1, 'dB')} SDRi" if label in gains else ": missed"
        sounds.append((f"{label}{gained}", estimates.get(label)))
    sounds += [(f"{label}, estimated: a false alarm", estimates[label]) for label in wrong]
    sounds.append(("Residual", result.residual))
    gain = PEAK / max(float(np.abs(sound).max()) for _, sound in sounds if sound is not None)
    levels = [None if sound is None else spectrogram(gain * sound, RATE) for _, sound in sounds]
    top, seconds = max(float(level.max()) for level in levels if level is not None), len(mixture) / RATE

    heard = timeline_figure(result.activity, labels, seconds, taken.spans, [*gains, *missed])
    seen = "Probability of each class over time, and true events"
    clips = [{"title": "What the tagger hears", "image": add(f"{name}.svg", heard), "seen": seen, "sound": ""}]
    for place, ((title, sound), level) in enumerate(zip(sounds, levels, strict=True)):
        clip = {"title": title, "seen": f"Spectrogram: {title}", "image": "", "sound": ""}
        if sound is not None:
            picture = spectrogram_figure(level, top, seconds, seconds, RATE)
            clip["image"] = add(f"{name}-{place}.svg", picture)
            clip["sound"] = add(f"{name}-{place}.mp3", packed(gain * sound))
        clips.append(clip)
    others = sorted({str(event.label) for event in taken.spec.interference})
    account = [
        ("There to be found:", [label for label, _ in truth]),
        ("Found:", sorted(gains)),
        ("Missed:", missed),
        ("Heard, but not there:", wrong),
        ("Also sounding, of no class that was asked for:", others),
    ]
    return {"account": account, "score": taken.score, "clips": clips}


def packed(sound: FloatArray) -> bytes:
    """A sound as MP3, which every browser plays."""
    file, played = io.BytesIO(), soxr.resample(sound, RATE, PLAYED_RATE)
    soundfile.write(file, played, PLAYED_RATE, format="MP3", subtype="MPEG_LAYER_III", compression_level=SMALL)
    return file.getvalue()


def _tensors(sounds: Iterable[tuple[str, Any]]) -> list[tuple[str, torch.Tensor]]:
    return [(label, torch.from_numpy(sound)) for label, sound in sounds]
