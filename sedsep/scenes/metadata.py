"""Scene descriptions on disk: the challenge's JSON format, read and written.

A split's index (`metadata/<split>.json`) lists its scenes, each a file of its own with the order its targets come in,
and beside it the target events of the scene in the text format of the DCASE challenges: one line an event, onset and
offset in seconds and the label, separated by tabs, in order of onset. An event lasts as long as the sound that was
played; its reverberation is not counted, as in other synthetic sets with strong labels.

The frame targets of training are not made by dcase_util's event-roll encoder: it rounds onsets down and offsets up, so
that a frame counts which an event only touches, where the recipe scales spans in samples to frames and rounds both
(`sedsep.labels.frame_labels`). The two differ by up to a frame at each end, and the trained networks follow the
recipe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from sedsep.errors import UserError
from sedsep.files import read_json, write_json
from sedsep.labels import SILENCE, LabelSet
from sedsep.scenes.layout import Layout
from sedsep.scenes.official import BackgroundEntry, EventEntry, IndexEntry, SceneEntry
from sedsep.scenes.problems import leads_outside, raise_first, scene_problems
from sedsep.types import Event, SceneDirs, SceneSpec

if TYPE_CHECKING:
    from dcase_util.containers import MetaDataContainer  # type: ignore[import-untyped]

SLOTS = 3
"""Of scenes whose index does not give them, as in 2026."""

OFFICIAL_ROOT = "data/dev_set/"
"""How the official files name the data set's root."""

AGAIN = "fetch or prepare the metadata again"


def load_index(path: Path, layout: Layout, labels: LabelSet | None = None) -> list[SceneSpec]:
    """Read every scene of a split.

    Args:
        path: the index, a JSON list of `{"metadata_path": ..., "ref_event": [...]}`.
        layout: the data set the scenes draw from.
        labels: the classes; `None` takes any label.

    Raises:
        UserError: the index or a scene is missing or malformed, a file it names is missing, a scene does not fit the
            layout or the classes, or there are no scenes at all.
    """
    specs = []
    for json_path, ref_event in read_index(path):
        spec = read_spec(json_path, ref_event)
        raise_first(scene_problems(spec, json_path, layout.root, layout.sample_rate, layout.channels, labels))
        specs.append(spec)
    return specs


def read_index(path: Path) -> list[tuple[Path, list[str] | None]]:
    """The scenes an index lists: the file of each, and the label of each of its target slots where it gives them.

    Raises:
        UserError: the index is missing or malformed, lists no scenes or one twice, or leads out of its folder.
    """
    entries = read_json(path, list[IndexEntry], AGAIN)
    if not entries:
        raise UserError(f"{path} lists no scenes: expected a JSON list of metadata_path and ref_event.")
    names = Counter(Path(entry.metadata_path).stem for entry in entries)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UserError(f"{path} lists {len(twice)} scenes more than once, such as {twice[0]}: list each once.")
    for entry in entries:
        if leads_outside(path.parent, entry.metadata_path):
            raise UserError(f"{path} names {entry.metadata_path}, which leads out of {path.parent}: {AGAIN}.")
    return [(path.parent / entry.metadata_path, entry.ref_event) for entry in entries]


def read_spec(path: Path, ref_event: Sequence[str] | None = None) -> SceneSpec:
    """Read one scene, without a look at the files it names (`scene_problems`).

    Folders in the official style (`data/dev_set/...`) and other relative ones are taken from the data set's root;
    absolute ones stay. Positions come without an index: the nearest measurement counts.

    Args:
        path: the scene's file; its stem becomes the scene's name.
        ref_event: the label of each target slot, padded with `silence`; `None` for events in order of onset.

    Raises:
        UserError: the file is missing or malformed.
    """
    scene = read_json(path, SceneEntry, AGAIN)
    config = scene.config
    foreground, background, interference = config.foreground_dir, config.background_dir, config.interference_dir
    room = PurePosixPath(scene.room_path)
    events = _by_onset(_event(event, foreground) for event in scene.fg_events)
    return SceneSpec(
        name=path.stem,
        dirs=SceneDirs(
            foreground=foreground.removeprefix(OFFICIAL_ROOT),
            background=background.removeprefix(OFFICIAL_ROOT),
            rooms=str(room.parent).removeprefix(OFFICIAL_ROOT),
            interference=interference and interference.removeprefix(OFFICIAL_ROOT),
        ),
        room=room.name,
        foreground=events,
        background=tuple(_event(event, background) for event in scene.bg_events or ()),
        interference=tuple(_event(event, interference) for event in scene.int_events or ()) if interference else (),
        duration=config.duration,
        sample_rate=config.sr,
        ref_db=config.ref_db,
        ref_channel=config.ref_channel,
        direct_path_ms=scene.direct_path_ms,
        slots=in_order_of_onset(events) if ref_event is None else tuple(ref_event),
        edition=scene.edition,
    )


def in_order_of_onset(events: Iterable[Event]) -> tuple[str, ...]:
    """The label of each target slot where an index does not give them."""
    labels = tuple(str(event.label) for event in _by_onset(events))
    return labels + (SILENCE,) * (SLOTS - len(labels))


def _event(entry: EventEntry | BackgroundEntry, folder: str) -> Event:
    label, position = (entry.label, entry.event_position[0]) if isinstance(entry, EventEntry) else (None, None)
    return Event(
        label=label,
        # Some files name the folder as well.
        source_file=entry.source_file.removeprefix(folder.rstrip("/") + "/"),
        source_time=entry.source_time,
        event_time=entry.event_time,
        event_duration=entry.event_duration,
        snr=entry.snr,
        position=position,
    )


def write_index(specs: Sequence[SceneSpec], path: Path) -> None:
    """Write the index `path` and, in the folder of the same name beside it, each of its scenes as `<name>.json` and its
    events as `<name>.txt`.

    Raises:
        UserError: two scenes share a name.
    """
    if twice := sorted(name for name, count in Counter(spec.name for spec in specs).items() if count > 1):
        raise UserError(f"Two scenes of {path} are called {twice[0]}: give each scene its own name.")
    folder = path.with_suffix("")
    for spec in specs:
        write_spec(spec, folder / f"{spec.name}.json")
        annotation(spec).save(filename=str(folder / f"{spec.name}.txt"))
    # The index comes last: where it lies, its scenes are complete.
    write_json(path, [_index_entry(spec, f"{path.stem}/{spec.name}.json") for spec in specs])


def _index_entry(spec: SceneSpec, metadata_path: str) -> dict[str, Any]:
    labels = {"ref_event": list(spec.slots)} if spec.edition < 2026 else {}
    return {"metadata_path": metadata_path, **labels}


def write_spec(spec: SceneSpec, path: Path) -> None:
    """Write one scene in the style of its edition; reading it back gives the same scene but for the position indices.

    Nothing of a scene gets lost, with one exception: of 2026 the reference channel is always the first.
    """
    write_json(path, _scene_2025(spec) if spec.edition < 2026 else _scene_2026(spec))


def _official(folder: str) -> str:
    return folder if Path(folder).is_absolute() else f"{OFFICIAL_ROOT}{Path(folder).as_posix()}"


def _entry(event: Event, role: str, **rest: Any) -> dict[str, Any]:
    keys = ("label", "source_file", "source_time", "event_time", "event_duration", "snr")
    position = None if event.position is None else [list(event.position)]
    return {key: getattr(event, key) for key in keys} | {"role": role, "event_position": position, **rest}


def _config(spec: SceneSpec) -> dict[str, Any]:
    """What both editions have in it."""
    interference = spec.dirs.interference
    return {
        "foreground_dir": _official(spec.dirs.foreground),
        "background_dir": _official(spec.dirs.background),
        **({} if interference is None else {"interference_dir": _official(interference)}),
        "duration": spec.duration,
        "sr": spec.sample_rate,
        "max_event_overlap": 3,
        "ref_db": spec.ref_db,
    }


def _scene_2026(spec: SceneSpec) -> dict[str, Any]:
    synthesiser, rooms = "src.modules.spatial_audio_synthesizer.room", _official(spec.dirs.rooms)
    window = {"direct_range_ms": list(spec.direct_path_ms)}
    config = _config(spec) | {
        "max_event_dur": spec.duration,
        "room_config": {"module": synthesiser, "main": "SofaRoom", "args": {"path": rooms, **window}},
        "verbose": False,
    }
    room = {"sofa_path": f"{rooms}/{spec.room}", "sr": spec.sample_rate, **window}
    return {
        "config": config,
        "fg_events": [_entry(event, "foreground") for event in _by_onset(spec.foreground)],
        "bg_events": [_entry(event, "background") for event in spec.background],
        "int_events": [_entry(event, "interference") for event in _by_onset(spec.interference)],
        "room": {"module": synthesiser, "main": "SofaRoom.from_metadata", "args": {"metadata": room}},
    }


def _scene_2025(spec: SceneSpec) -> dict[str, Any]:
    unchanged = {"pitch_shift": None, "time_stretch": None}
    config = _config(spec) | {
        "rir_dir": _official(spec.dirs.rooms),
        "return_dry": True,
        "return_wet": False,
        "return_ir": False,
        "return_background": False,
        "ref_channel": spec.ref_channel,
        "spatialize_direct_path_time_ms": list(spec.direct_path_ms),
        "return_interference": False,
    }
    return {
        "config": config,
        "fg_events": [_entry(event, "foreground", **unchanged) for event in _by_onset(spec.foreground)],
        "bg_events": [_entry(event, "background", **unchanged) for event in spec.background],
        # The challenge's files give interference the role of the foreground.
        "int_events": [_entry(event, "foreground", **unchanged) for event in spec.interference],
        "room": spec.room,
    }


def annotation(spec: SceneSpec) -> MetaDataContainer:
    """The target events of a scene: `onset` and `offset` in seconds, rounded to microseconds, and `event_label`."""
    from dcase_util.containers import MetaDataContainer  # half a second, which only those who write files wait for

    return MetaDataContainer(
        [
            {
                "onset": round(event.event_time, 6),
                "offset": round(min(event.event_time + event.event_duration, spec.duration), 6),
                "event_label": event.label,
            }
            for event in _by_onset(spec.foreground)
        ]
    )


def _by_onset(events: Iterable[Event]) -> tuple[Event, ...]:
    return tuple(sorted(events, key=lambda event: event.event_time))
