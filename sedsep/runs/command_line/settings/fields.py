"""Kinds of values that options have: each checks a value, and says in its description what is expected of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, ValidationInfo
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from sedsep.wiring import NAMES, PACKAGES, PARTIAL, TARGET

OTHER = "other"
"""The member of a union that stands for all classes which have no options of their own here."""


class Options(BaseModel):
    """A group of options; there are no others, and a value is of its very type: true is no number, '3' neither."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Part(Options):
    """A group of options that a class is made with; `target` pins the class."""

    partial: Annotated[Literal[True], Field(alias=PARTIAL)] = True


def _allowed(name: str) -> str:
    if name not in NAMES and not name.startswith(tuple(f"{package}." for package in PACKAGES)):
        raise PydanticCustomError("expected", "a class that the files of conf/ name")
    return name


class Foreign(BaseModel):
    """A class that has no options of its own here: with whatever it takes."""

    model_config = ConfigDict(extra="allow", strict=True)

    target: Annotated[str, Field(alias=TARGET, description="the name of a class"), AfterValidator(_allowed)]


def by_target(*classes: str) -> Discriminator:
    """Tells a union of parts apart: by the name of the class, `OTHER` for those that are not known here."""

    def tag(value: Any) -> str:
        target = value.get(TARGET) if isinstance(value, Mapping) else None
        return target if target in classes else OTHER

    return Discriminator(tag)


def whole(low: int, high: int, unit: str = "") -> FieldInfo:
    """A whole number from `low` to `high`."""
    return Field(ge=low, le=high, description=f"a whole number from {low} to {high}{_of(unit)}")


def number(low: float, high: float, unit: str = "") -> FieldInfo:
    """A number from `low` to `high`."""
    return Field(ge=low, le=high, description=f"a number from {low:.15g} to {high:.15g}{_of(unit)}")


def above(low: float, high: float, unit: str = "") -> FieldInfo:
    """A number above `low`, up to `high`."""
    return Field(gt=low, le=high, description=f"a number above {low:.15g} and up to {high:.15g}{_of(unit)}")


def _of(unit: str) -> str:
    return f" ({unit})" if unit else ""


Whole = Annotated[int, whole(1, 1_000_000)]
Size = Annotated[int, whole(1, 100_000)]
Hertz = Annotated[int, whole(100, 1_000_000, "Hz")]
Seconds = Annotated[float, above(0, 86_400, "seconds")]
Probability = Annotated[float, number(0, 1)]
Rate = Annotated[float, number(0, 1000)]
Seed = Annotated[int, whole(0, 2**32 - 1)]
LabelSources = Annotated[
    list[Literal["baseline", "tagger", "self_guided", "oracle"]],
    Field(min_length=1, description="a list with some of baseline, tagger, self_guided, oracle"),
]
Decibels = Annotated[float, number(-300, 300, "dB")]
Name = Annotated[str, Field(min_length=1, description="a name (one that is a number in quotes: \"'3'\")")]
Place = Annotated[str, Field(min_length=1, description="a path (one that is a number in quotes: \"'3'\")")]

Checkpoints = Place | Annotated[list[Place], Field(min_length=1, description="a list of such")]
"""One, or the members of an ensemble."""


def pair(what: str, least_high: float | None = None) -> tuple[FieldInfo, AfterValidator]:
    """Two values, the smaller first.

    Args:
        what: they are.
        least_high: what the larger must be at least; `None` for anything.
    """
    described = f"a list of two {what}, the smaller first"
    if least_high is not None:
        described += f" and the larger {least_high:g} or more"

    def check(values: list[Any]) -> list[Any]:
        if values[0] > values[1] or (least_high is not None and values[1] < least_high):
            raise PydanticCustomError("expected", "")
        return values

    return Field(min_length=2, max_length=2, description=described), AfterValidator(check)


Count = Annotated[int, whole(0, 100)]
Sounds = Annotated[list[Count], *pair("whole numbers from 0 to 100")]
"""Fewest and most."""
SomeSounds = Annotated[list[Count], *pair("whole numbers from 0 to 100", least_high=1)]
"""Of which there are some."""


def limit(value: Any, most: Callable[[int], int], why: str, info: ValidationInfo) -> Any:
    """Refuse a number that is more than this machine can do, where the job runs on this one.

    Args:
        value: which is returned.
        most: from the number of cores to the largest value.
        why: it is the limit.
        info: of the validation, with the number of cores.
    """
    cores = (info.context or {}).get("cores")
    if isinstance(value, int) and cores and value > most(cores):
        raise PydanticCustomError("expected", f"a whole number of at most {most(cores)} ({why})")
    return value


def expected(annotation: Any) -> str:
    """What a type asks for, in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        described = [data.description for data in arguments if isinstance(data, FieldInfo) and data.description]
        return described[0] if described else expected(arguments[0])
    if origin is Literal:
        words = list(dict.fromkeys(text(value) for value in arguments))
        return f"one of {', '.join(words)}" if len(words) > 1 else words[0]
    if origin is list:
        return f"a list with {expected(arguments[0])} for each entry"
    if origin is dict:
        return f"{expected(arguments[1])} for each entry"
    if arguments:  # a union
        return " or ".join(dict.fromkeys(expected(argument) for argument in arguments))
    return WORDS.get(annotation, "a group of options")


WORDS: dict[Any, str] = {NoneType: "null", bool: "true or false", str: "text", int: "a whole number", float: "a number"}


def text(value: Any) -> str:
    """A value as it is written on the command line, cut where it is long."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{text(each)}" for name, each in value.items())[:60] + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(text, value))[:60] + "]"
    if value is None:
        return "null"
    return (str(value).lower() if isinstance(value, bool) else str(value))[:200]
