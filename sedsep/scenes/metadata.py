"""Scene descriptions on disk: the challenge's JSON format, read and written.

A split's index (`metadata/<split>.json`) lists its scenes, each a file of its own with the order its targets come in,
and beside it the events of the scene as a text file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sedsep.errors import UserError
from sedsep.files import write_json
from sedsep.labels import SILENCE
from sedsep.scenes.annotations import write_annotation
from sedsep.scenes.layout import Layout
from sedsep.types import Event, SceneDirs, SceneSpec

OFFICIAL_ROOT = "data/dev_set/"
"""How the official files name the data set's root."""


def load_index(path: Path, layout: Layout) -> list[SceneSpec]:
    """Read every scene of a split.

    Args:
        path: the index, a JSON list of `{"metadata_path": ..., "ref_event": [...]}`.
        layout: the data set the scenes draw from.

    Raises:
        UserError: the index or a scene is missing or malformed, a file it names is missing, a rate other than the
            layout's, or no scenes at all.
    """
    specs = []
    for json_path, ref_event in read_index(path):
        spec = parse_spec(json_path, ref_event)
        _raise_first(problems(spec, json_path, layout.root, layout.sample_rate))
        specs.append(spec)
    return specs


def read_index(path: Path) -> list[tuple[Path, list[str]]]:
    """The scenes an index lists: the file of each, and the label of each of its target slots.

    Raises:
        UserError: the index is missing or malformed, or lists no scenes.
    """
    path = Path(path)
    entries = _read_json(path)
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path} lists no scenes: expected a JSON list of metadata_path and ref_event.")
    scenes = []
    for entry in entries:
        match entry:
            case {"metadata_path": str(name), "ref_event": list(ref_event)}:
                scenes.append((path.parent / name, [str(label) for label in ref_event]))
            case _:
                raise UserError(f"{path} has an entry without metadata_path and ref_event: {_short(entry)}.")
    return scenes


def read_spec(json_path: Path, root: Path, ref_event: Sequence[str]) -> SceneSpec:
    """Read one scene.

    Folders in the official style (`data/dev_set/...`) and other relative ones are taken from `root`; absolute ones
    stay. Keys the format does not know are ignored. Positions come without an index: the nearest measurement counts.

    Args:
        json_path: the scene's file; its stem becomes the scene's name.
        root: the data set's root.
        ref_event: the label of each target slot, padded with `silence`.

    Raises:
        UserError: the file is missing or malformed, it names a file that does not exist, or `ref_event` does not name
            the scene's events.
    """
    spec = parse_spec(json_path, ref_event)
    _raise_first(problems(spec, json_path, root))
    return spec


def parse_spec(json_path: Path, ref_event: Sequence[str]) -> SceneSpec:
    """`read_spec` without a look at what the scene says.

    Raises:
        UserError: the file is missing or malformed.
    """
    json_path = Path(json_path)
    content = _read_json(json_path)
    try:
        return _to_spec(content, json_path.stem, tuple(ref_event))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        what = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"{json_path} is no scene description ({what}): fetch or prepare the metadata again."
        ) from error


def problems(spec: SceneSpec, json_path: Path, root: Path, sample_rate: int | None = None) -> Iterator[str]:
    """What keeps a scene from being rendered, one sentence each.

    Args:
        spec: the scene. json_path: where it was read.
        root: the data set's root. sample_rate: the rate that scenes must have, Hz; `None` takes any.
    """
    if sample_rate not in (None, spec.sample_rate):
        yield (
            f"{json_path} is a scene at {spec.sample_rate} Hz, not at {sample_rate} Hz: set the sample rate to match "
            "or prepare the scenes again."
        )
    yield from _slot_problems(spec, json_path)
    yield from _time_problems(spec, json_path)
    yield from _file_problems(spec, Path(root), json_path)


def _raise_first(sentences: Iterator[str]) -> None:
    for sentence in sentences:
        raise UserError(sentence)


def write_spec(spec: SceneSpec, json_path: Path) -> None:
    """Write one scene in the official style; reading it back gives the same scene but for the position indices."""
    dirs = spec.dirs
    config: dict[str, Any] = {
        "foreground_dir": _official(dirs.foreground),
        "background_dir": _official(dirs.background),
        "rir_dir": _official(dirs.rooms),
    }
    if dirs.interference is not None:
        config["interference_dir"] = _official(dirs.interference)
    config |= {
        "duration": spec.duration,
        "sr": spec.sample_rate,
        "max_event_overlap": 3,
        "ref_db": spec.ref_db,
        "return_dry": True,
        "return_wet": False,
        "return_ir": False,
        "return_background": False,
        "ref_channel": spec.ref_channel,
        "spatialize_direct_path_time_ms": list(spec.direct_path_ms),
        "return_interference": False,
    }
    content = {
        "config": config,
        "fg_events": [_from_event(event, "foreground") for event in _by_onset(spec.foreground)],
        "bg_events": [_from_event(event, "background") for event in spec.background],
        # The reference gives interference the role of the foreground.
        "int_events": [_from_event(event, "foreground") for event in spec.interference],
        "room": spec.room,
    }
    write_json(Path(json_path), content)


def write_index(specs: Sequence[SceneSpec], path: Path) -> None:
    """Write the index `path` and, in the folder of the same name beside it, each of its scenes as `<name>.json` and its
    events as `<name>.txt`.

    Raises:
        UserError: two scenes share a name.
    """
    path = Path(path)
    names = [spec.name for spec in specs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"Two scenes of {path} are called {twice[0]}: give each scene its own name.")
    for spec in specs:
        write_spec(spec, path.with_suffix("") / f"{spec.name}.json")
        write_annotation(spec, path.with_suffix("") / f"{spec.name}.txt")
    # The index comes last: where it lies, its scenes are complete.
    write_json(
        path, [{"metadata_path": f"{path.stem}/{spec.name}.json", "ref_event": list(spec.slots)} for spec in specs]
    )


def _to_spec(content: dict[str, Any], name: str, slots: tuple[str, ...]) -> SceneSpec:
    config = content["config"] if "config" in content else content["init_args"]
    foreground, background = config["foreground_dir"], config["background_dir"]
    interference = config.get("interference_dir")
    # Where the format allows a key to be left out, the value is the one it defines.
    before, after = config.get("spatialize_direct_path_time_ms") or (6, 50)
    return SceneSpec(
        name=name,
        dirs=SceneDirs(
            foreground=_relative(foreground),
            background=_relative(background),
            rooms=_relative(config["rir_dir"]),
            interference=None if interference is None else _relative(interference),
        ),
        room=str(content["room"]),
        foreground=_by_onset([_to_event(event, foreground) for event in content["fg_events"]]),
        background=tuple(_to_event(event, background, background=True) for event in content.get("bg_events") or []),
        interference=tuple(
            _to_event(event, interference) for event in (content.get("int_events") or [] if interference else [])
        ),
        duration=float(config.get("duration", 10.0)),
        sample_rate=int(config.get("sr", 32000)),
        ref_db=float(config.get("ref_db", -50)),
        ref_channel=int(config.get("ref_channel", 0)),
        direct_path_ms=(float(before), float(after)),
        slots=slots,
    )


def _to_event(event: dict[str, Any], folder: str, *, background: bool = False) -> Event:
    source_time = event["source_time"]
    if source_time is not None or not background:
        source_time = float(source_time)
    position = None
    if not background:
        x, y, z = event["event_position"][0]
        position = (float(x), float(y), float(z))
    return Event(
        label=None if background else str(event["label"]),
        source_file=_within(str(event["source_file"]), folder),
        source_time=source_time,
        event_time=float(event["event_time"]),
        event_duration=float(event["event_duration"]),
        snr=float(event["snr"]),
        position=position,
    )


def _from_event(event: Event, role: str) -> dict[str, Any]:
    return {
        "label": event.label,
        "source_file": event.source_file,
        "source_time": event.source_time,
        "event_time": event.event_time,
        "event_duration": event.event_duration,
        "snr": event.snr,
        "role": role,
        "pitch_shift": None,
        "time_stretch": None,
        "event_position": None if event.position is None else [list(event.position)],
    }


def _by_onset(events: Sequence[Event]) -> tuple[Event, ...]:
    return tuple(sorted(events, key=lambda event: event.event_time))


def _relative(folder: str) -> str:
    return folder.replace(OFFICIAL_ROOT, "", 1) if folder.startswith(OFFICIAL_ROOT) else folder


def _official(folder: str) -> str:
    return folder if Path(folder).is_absolute() else f"{OFFICIAL_ROOT}{Path(folder).as_posix()}"


def _within(source_file: str, folder: str) -> str:
    """`source_file` relative to its folder; some files name the folder as well."""
    return source_file.removeprefix(folder.rstrip("/") + "/")


def _slot_problems(spec: SceneSpec, path: Path) -> Iterator[str]:
    labels = [str(event.label) for event in spec.foreground]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        yield f"{path} has two events labelled {twice[0]}: a scene may hold each label once."
    elif sorted(slot for slot in spec.slots if slot != SILENCE) != sorted(labels):
        yield (
            f"{path} has the events {', '.join(labels) or 'none'} but the ref_event {', '.join(spec.slots) or 'none'}: "
            f"name each event once and fill the other slots with {SILENCE}."
        )


def _time_problems(spec: SceneSpec, path: Path) -> Iterator[str]:
    before, after = spec.direct_path_ms
    if spec.duration <= 0 or spec.sample_rate <= 0 or before < 0 or after <= 0:
        yield f"{path} has a duration, rate or direct path time that is not positive: correct its config."
    for event in (*spec.foreground, *spec.background, *spec.interference):
        if not 0 <= event.event_time < spec.duration or event.event_duration <= 0 or (event.source_time or 0) < 0:
            yield (
                f"{path} places {event.source_file} at {event.event_time:g} s for {event.event_duration:g} s, "
                f"but events start within the scene's {spec.duration:g} s and last longer than nothing: correct it."
            )


def _file_problems(spec: SceneSpec, root: Path, path: Path) -> Iterator[str]:
    dirs = spec.dirs
    named = [(dirs.rooms, spec.room)]
    named += [(dirs.foreground, event.source_file) for event in spec.foreground]
    named += [(dirs.background, event.source_file) for event in spec.background]
    named += [(str(dirs.interference), event.source_file) for event in spec.interference]
    for folder, file in named:
        if not (root / folder / file).is_file():
            yield f"{path} names {root / folder / file}, which does not exist: check the data set's root."


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: check the data set's root or prepare the metadata.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not readable as JSON ({error}): fetch or prepare the metadata again.") from error


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else text[:77] + "..."
