"""The challenge's JSON format as types: what `sedsep.files.read_json` lets pass of scenes and their index.

Keys the format does not know are left out.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, StringConstraints

from sedsep.labels import class_name

LONGEST_S = 86400.0
MOST = 1000
"""Events of a kind in a scene, and its slots."""

Seconds = Annotated[float, Field(ge=0, le=LONGEST_S)]
Length = Annotated[float, Field(gt=0, le=LONGEST_S)]
# Powers of ten of all sums still have room in float32.
Decibels = Annotated[float, Field(ge=-150, le=150)]
Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]
Label = Annotated[str, AfterValidator(class_name)]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^\P{C}+$")]


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class BackgroundEntry(_Entry):
    """A sound that comes from everywhere."""

    source_file: FileName
    source_time: Seconds | None
    event_time: Seconds
    event_duration: Length
    snr: Decibels


class EventEntry(BackgroundEntry):
    """A sound that comes from a place; of a list of places the first one counts."""

    label: Label
    source_time: Seconds
    event_position: Annotated[list[tuple[Coordinate, Coordinate, Coordinate]], Field(min_length=1)]


class ConfigEntry(_Entry):
    """What a scene was made with. Where the format allows a key to be left out, the value is the one it defines."""

    foreground_dir: FileName
    background_dir: FileName
    rir_dir: FileName
    interference_dir: FileName | None = None
    duration: Length = 10.0
    sr: Annotated[int, Field(gt=0, le=10**6)] = 32000
    ref_db: Decibels = -50.0
    ref_channel: Annotated[int, Field(ge=0, le=1000)] = 0
    spatialize_direct_path_time_ms: tuple[Seconds, Length] | None = None


class SceneEntry(_Entry):
    """A scene's file."""

    config: Annotated[ConfigEntry, Field(validation_alias=AliasChoices("config", "init_args"))]
    fg_events: Annotated[list[EventEntry], Field(max_length=MOST)]
    bg_events: Annotated[list[BackgroundEntry], Field(max_length=MOST)] | None = None
    int_events: Annotated[list[EventEntry], Field(max_length=MOST)] | None = None
    room: FileName


class IndexEntry(_Entry):
    """A scene in the index of its split: where its file is, and the label of each target slot."""

    metadata_path: FileName
    ref_event: Annotated[list[Label], Field(max_length=MOST)]
