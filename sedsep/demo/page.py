"""The page: three steps, from a recording by what is heard in it to its sounds, for several visitors at once."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

import gradio as gr
from jinja2 import Environment, PackageLoader, StrictUndefined

from sedsep.demo.visits import Stem, Visit
from sedsep.errors import UserError
from sedsep.evaluation.report.clips import spectrogram, spectrogram_figure
from sedsep.evaluation.report.drawing import svg_uri
from sedsep.evaluation.report.timelines import timeline_figure
from sedsep.inference import SceneSeparator
from sedsep.inference.writing import RESIDUAL

log = logging.getLogger(__name__)

WIDE, NARROW = 6.9, 3.9
"""Inches of the timeline, and of the one for phones."""
MOST_PASSES = 5
MOST_TIMES = 2
"""Events of a sound that are told one by one; the timeline shows all of them."""
SWEEP_S, KEEP_S = 600, 3600
"""How often uploads are looked through, and how old they get."""

Updates = dict[Any, Any]


def told(step: Callable[..., Updates]) -> Callable[..., Updates]:
    """A step of the page that says in a sentence why it cannot be done."""

    @wraps(step)
    def run(page: Page, *args: Any, **kwargs: Any) -> Updates:
        try:
            return step(page, *args, **kwargs)
        except UserError as error:
            # Where files lie on this machine is nobody's business.
            text = re.sub(rf"{re.escape(str(page.root))}/[^/]+/", "", str(error))
            return {page.message: page.render("message.html", text=text)}
        except Exception:
            log.exception("The page failed")
            text = "Something went wrong here, and is in the server's log: try again, or another recording."
            return {page.message: page.render("message.html", text=text)}

    return run


class Page:
    """What is on the page, and what becomes of it.

    Args:
        system: that takes recordings apart.
        root: folder for the visitors' files.
        longest_s: seconds that a recording may last.
        megabytes: that a file may have.
        note: what visitors must know of the system.
    """

    def __init__(self, system: SceneSeparator, root: Path, longest_s: float, megabytes: int, note: str) -> None:
        self.system, self.root, self.longest_s, self.megabytes, self.note = system, root, longest_s, megabytes, note
        network = system.network
        self.refines = network.iters > 0
        self._visits: dict[str, Visit] = {}
        self._networks, self._pen = Lock(), Lock()  # one job at a time; Matplotlib's style is everybody's
        self._environment = Environment(
            loader=PackageLoader("sedsep.demo", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )

    def render(self, template: str, **values: Any) -> str:
        """A part of the page."""
        return self._environment.get_template(template).render(**values)

    def blocks(self) -> gr.Blocks:
        """The page."""
        trained = self.system.network.trained_passes
        with gr.Blocks(title="sedsep", analytics_enabled=False, delete_cache=(SWEEP_S, KEEP_S)) as blocks:
            gr.HTML(self.render("head.html", seconds=self.longest_s, megabytes=self.megabytes))
            self.audio = gr.Audio(
                label="Recording", type="filepath", sources=["upload", "microphone"], buttons=[], elem_id="recording"
            )
            with gr.Column(visible=False, elem_id="heard") as self.heard:
                gr.HTML("<h2>What is heard</h2>")
                with gr.Row(equal_height=False):
                    with gr.Column(scale=3, min_width=340):
                        self.timeline = gr.HTML()
                    with gr.Column(scale=2, min_width=300):
                        self.sounds = gr.Dropdown(
                            label="Sounds to separate",
                            info="Those heard, the likeliest first. Add others or take some away.",
                            multiselect=True,
                            elem_id="sounds",
                        )
                        self.threshold = gr.Slider(
                            0,
                            1,
                            self.system.threshold,
                            step=0.05,
                            label="Threshold",
                            info="Probability from which a sound counts as heard.",
                            elem_id="threshold",
                            buttons=[],
                        )
                        self.passes = gr.Slider(
                            1,
                            max(MOST_PASSES, trained),
                            trained,
                            step=1,
                            label="Passes",
                            info=f"Rounds of refinement; trained with {trained}.",
                            visible=self.refines,
                            buttons=[],
                        )
                        separate = gr.Button("Separate", variant="primary", elem_id="separate")
            self.message = gr.HTML(elem_id="message")
            self.stems = gr.HTML(elem_id="stems")
            everything = [self.heard, self.timeline, self.sounds, self.message, self.stems]
            alone: dict[str, Any] = {"api_visibility": "private"}
            model: dict[str, Any] = {**alone, "concurrency_id": "model", "concurrency_limit": 1}
            self.audio.change(self.clear, None, everything, queue=False, show_progress="hidden", **alone).then(
                self.listen, [self.audio, self.threshold], everything, show_progress_on=self.message, **model
            )
            self.threshold.change(
                self.retune,
                [self.threshold, self.sounds],
                [self.timeline, self.sounds, self.message],
                trigger_mode="always_last",
                show_progress="hidden",
                **alone,
            )
            self.sounds.input(
                self.draw, [self.threshold, self.sounds], [self.timeline, self.message], show_progress="hidden", **alone
            )
            separate.click(
                self.separate,
                [self.sounds, self.threshold, self.passes],
                [self.message, self.stems],
                show_progress_on=self.message,
                **model,
            )
            blocks.unload(self.leave)
        return blocks

    def clear(self) -> Updates:
        """Nothing is known of a new recording."""
        return {self.heard: gr.Column(visible=False), self.message: "", self.stems: ""}

    @told
    def listen(
        self,
        source: str | None,
        threshold: float,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Updates:
        """A visitor's new recording: what is heard in it."""
        self.leave(request)
        if source is None:
            return {self.message: ""}
        folder = self.root / secrets.token_urlsafe(16)
        with self._networks:
            visit = Visit(self.system, Path(source), folder, self.longest_s, _watch(progress))
        visit.threshold = threshold
        self._visits[str(request.session_hash)] = visit
        sounds = visit.sounds(threshold)
        choices = [(f"{label} {value:.2f}", label) for label, value in visit.detection.probabilities.items()]
        return {
            self.heard: gr.Column(visible=True),
            self.timeline: self._timeline(visit, sounds, threshold),
            self.sounds: gr.Dropdown(choices=choices, value=sounds),
            self.message: self._nothing(visit, sounds, threshold),
        }

    @told
    def retune(self, threshold: float, chosen: list[str], request: gr.Request) -> Updates:
        """Another threshold: what was added or taken away by hand stays so."""
        visit = self._visit(request)
        before, now = visit.sounds(visit.threshold), visit.sounds(threshold)
        visit.threshold = threshold
        sounds = [label for label in now if label in chosen or label not in before]
        sounds += [label for label in chosen if label not in before and label not in sounds]
        return {
            self.timeline: self._timeline(visit, sounds, threshold),
            self.sounds: gr.Dropdown(value=sounds),
            self.message: self._nothing(visit, sounds, threshold),
        }

    @told
    def draw(self, threshold: float, chosen: list[str], request: gr.Request) -> Updates:
        """Other sounds that were chosen by hand."""
        return {self.timeline: self._timeline(self._visit(request), chosen, threshold), self.message: ""}

    @told
    def separate(
        self,
        chosen: list[str],
        threshold: float,
        passes: float,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Updates:
        """The sounds, to be seen, heard and kept."""
        visit = self._visit(request)
        with self._networks:
            stems = visit.stems(chosen, int(passes) if self.refines else None, _watch(progress))
        return {self.message: "", self.stems: self._cards(visit, stems, threshold)}

    def leave(self, request: gr.Request) -> None:
        """The visitor, or the recording, is gone, and with it all that was made."""
        visit = self._visits.pop(str(request.session_hash), None)
        if visit is not None:
            with self._networks:
                visit.leave()

    def _visit(self, request: gr.Request) -> Visit:
        visit = self._visits.get(str(request.session_hash))
        if visit is None:
            raise UserError("The recording is gone: choose it again.")
        return visit

    def _nothing(self, visit: Visit, sounds: Sequence[str], threshold: float) -> str:
        if sounds:
            return ""
        label, value = next(iter(visit.detection.probabilities.items()))
        text = (
            f"Nothing is heard at a threshold of {threshold:g}; the likeliest is {label} ({value:.2f}): lower the "
            "threshold, or choose sounds yourself."
        )
        return self.render("message.html", text=text)

    def _timeline(self, visit: Visit, sounds: Sequence[str], threshold: float) -> str:
        detection, recording = visit.detection, visit.recording
        spans = [(event.label, event.onset, event.offset) for event in visit.events(sounds, threshold)]

        def picture(width: float) -> str:
            drawn = timeline_figure(
                detection.activity, detection.names, recording.duration, spans, sounds, alone=True, width=width
            )
            return svg_uri(drawn)

        with self._pen:
            wide, narrow = picture(WIDE), picture(NARROW)
        facts = f"{recording.duration:.1f} s at {recording.rate} Hz; {visit.heard_as}."
        return self.render("timeline.html", wide=wide, narrow=narrow, spans=spans, facts=facts, note=self.note)

    def _cards(self, visit: Visit, stems: Sequence[Stem], threshold: float) -> str:
        recording, events = visit.recording, visit.events([stem.label for stem in stems[:-1]], threshold)
        levels = [spectrogram(stem.waveform, recording.rate) for stem in stems]
        top = float(spectrogram(visit.mixture, recording.rate).max())
        cards = []
        for stem, level in zip(stems, levels, strict=True):
            with self._pen:
                picture = spectrogram_figure(level, top, recording.duration, recording.duration, recording.rate)
            times = [f"{e.onset:.1f} to {e.offset:.1f} s" for e in events if e.label == stem.label]
            when = f"{len(times)} times" if len(times) > MOST_TIMES else ", ".join(times) or "not heard"
            rest = stem.label == RESIDUAL
            cards.append(
                {
                    "title": "Everything else" if rest else stem.label,
                    "about": "what is left" if rest else when,
                    "picture": svg_uri(picture),
                    "address": f"gradio_api/file={quote(str(stem.file))}",
                }
            )
        return self.render("stems.html", cards=cards)


def _watch(progress: gr.Progress) -> Callable[[str, int, int], None]:
    return lambda doing, done, total: progress(done / total, desc=doing.capitalize())
