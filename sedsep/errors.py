"""The one error a person is meant to read."""

import unicodedata
from pathlib import Path

PROGRAM = "python run.py" if (Path(__file__).parents[1] / "run.py").is_file() else "sedsep"
"""How people start the suite: in a clone, or installed from a wheel."""


class UserError(Exception):
    """Something the user can mend: one sentence naming the thing, what was expected and what to do.

    The command line prints the sentence alone and exits with code 1; everything else keeps its traceback.
    """

    def __str__(self) -> str:
        """On one line that every terminal can print, whatever files are called that it names."""
        return "".join(
            ascii(letter)[1:-1] if unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} else letter
            for letter in super().__str__()
        )


def causes(error: BaseException) -> list[BaseException]:
    """An error, and those that it came from."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain


def choice(value: object, valid: tuple[str, ...], option: str) -> str:
    """Return `value` when it is one of `valid`; otherwise raise a `UserError` that lists them."""
    if value not in valid:
        raise UserError(f"{option}={value} is not known: choose one of {', '.join(valid)}.")
    return str(value)


def reason(error: Exception) -> str:
    """What a library or the system says is wrong, without a full stop: for the middle of a sentence."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return text.strip().rstrip(".")


def printable(text: str, most: int = 200) -> str:
    """Somebody else's text for the middle of a sentence: on one line, no longer than `most`, nothing that a terminal
    would obey."""
    line = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(text.split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"
