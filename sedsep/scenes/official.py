"""The challenge's JSON formats as types: what `sedsep.files.read_json` lets pass of scenes and their index.

There are two, of 2025 and of 2026. A scene's file tells by its content which one it is in. Keys that the formats do not
know are left out.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, StringConstraints, model_validator

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
    # Of 2025, which nothing here plays.
    pitch_shift: Any = None
    time_stretch: Any = None


class EventEntry(BackgroundEntry):
    """A sound that comes from a place; of a list of places the first one counts."""

    label: Label
    source_time: Seconds
    event_position: Annotated[list[tuple[Coordinate, Coordinate, Coordinate]], Field(min_length=1)]


class RoomOptions(_Entry):
    """How a room of 2026 is opened."""

    direct_range_ms: tuple[Seconds, Length]


class RoomConfig(_Entry):
    """Where a scene of 2026 takes its room from."""

    args: RoomOptions


class RoomFile(_Entry):
    """The file of a room of 2026."""

    sofa_path: FileName


class RoomMetadata(_Entry):
    """What a room of 2026 is made from."""

    metadata: RoomFile


class RoomEntry(_Entry):
    """The room of a scene of 2026."""

    args: RoomMetadata


class ConfigEntry(_Entry):
    """What a scene was made with. Where the format allows a key to be left out, the value is the one it defines."""

    foreground_dir: FileName
    background_dir: FileName
    rir_dir: FileName | None = None
    room_config: RoomConfig | None = None
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
    room: FileName | RoomEntry

    @model_validator(mode="after")
    def _has_a_room(self) -> Self:
        needed = "rir_dir" if isinstance(self.room, str) else "room_config"
        if getattr(self.config, needed) is None:
            raise ValueError(f"config.{needed}: Field required")
        return self

    @property
    def edition(self) -> int:
        """The year whose format it is in."""
        return 2025 if isinstance(self.room, str) else 2026

    @property
    def room_path(self) -> str:
        """The room's file, as the folders of `config` are given."""
        if isinstance(self.room, str):
            return str(PurePosixPath(self.config.rir_dir or "", self.room))
        return self.room.args.metadata.sofa_path

    @property
    def direct_path_ms(self) -> tuple[float, float]:
        """Kept before and after the peak of a response for the dry target."""
        if self.config.room_config is not None:
            return self.config.room_config.args.direct_range_ms
        return self.config.spatialize_direct_path_time_ms or (6.0, 50.0)


class IndexEntry(_Entry):
    """A scene in the index of its split: where its file is, and in 2025 the label of each target slot."""

    metadata_path: FileName
    ref_event: Annotated[list[Label], Field(max_length=MOST)] | None = None
