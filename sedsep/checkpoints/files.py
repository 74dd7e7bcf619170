"""Reading and writing weight files, whoever made them: torch's own format and safetensors.

Nothing in a file is run: torch files are opened with `weights_only=True`, safetensors cannot hold code.
"""

from __future__ import annotations

import json
import pickletools
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sedsep.errors import UserError, reason
from sedsep.files import whole

SAFETENSORS = ".safetensors"
STATE = "state_dict"


def read_weights(path: Path | str) -> dict[str, Any]:
    """What a weight file holds, on the CPU.

    Args:
        path: a `.safetensors` file, or anything that `torch.save` wrote (.ckpt, .pt, .pth).

    Returns:
        A torch file's dict as it is. Of a safetensors file, its tensors under `state_dict` and its metadata beside
        them, decoded where they are JSON: what `write_weights` was given.

    Raises:
        UserError: no such file, damaged or cut off, holding code, or no weights by name.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no checkpoint at {path}: check the path.")
    try:
        content = _read_safetensors(path) if path.suffix == SAFETENSORS else _read_torch(path)
    except Exception as error:  # torch raises many kinds for damaged, foreign and code-carrying files
        if code := _code(path):
            raise UserError(
                f"{path} wants to run code ({code}) and was not opened: ask its maker for the weights alone, a "
                "state_dict of plain tensors."
            ) from error
        raise UserError(
            f"{path} cannot be read as a checkpoint (damaged, cut off, or not plain weights): fetch or train it again."
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__} where weights by name are needed: give a checkpoint.")
    return content


def _code(path: Path) -> str | None:
    """The first function or class beyond torch's own that a torch file asks for; `None` where none is seen."""
    try:
        with ExitStack() as stack:
            file: IO[bytes] = stack.enter_context(path.open("rb"))
            if zipfile.is_zipfile(file):
                archive = stack.enter_context(zipfile.ZipFile(file))
                name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                file = stack.enter_context(archive.open(name))
            else:
                file.seek(0)
            while file.peek(1):  # type: ignore[attr-defined]  # an old file is several pickles, one after the other
                for operation, argument, _ in pickletools.genops(file):
                    if operation.name == "GLOBAL" and not str(argument).startswith(("torch", "collections")):
                        return ".".join(part for part in str(argument).split() if "builtin" not in part)
    except Exception:  # of many kinds: the file may be damaged, too
        return None
    return None


def _read_torch(path: Path) -> Any:
    with warnings.catch_warnings():  # torch's advice on odd files: the error says what to do
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def _read_safetensors(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = {}
    with safe_open(path, framework="pt") as file:
        for name, text in (file.metadata() or {}).items():
            try:
                content[name] = json.loads(text)
            except ValueError:
                content[name] = text
        content[STATE] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    return content


def named_tensors(content: Mapping[str, Any], path: Path | str) -> dict[str, Tensor]:
    """The state dict in a file's content: its `state_dict`, or the content itself where it has none.

    Args:
        content: as `read_weights` gives it.
        path: the file, to name in errors.

    Raises:
        UserError: some of it is not a tensor with a name.
    """
    state = content.get(STATE, content)
    named = isinstance(state, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())
    if not named or not state:
        raise UserError(f"{path} holds other things than weights by name: give a checkpoint of a network.")
    return state


def write_weights(path: Path | str, state: Mapping[str, Tensor], **entries: Any) -> None:
    """Write weights, whole or not at all: as safetensors where the name ends so, as a torch file otherwise.

    Args:
        path: its folder is made where it is missing.
        state: tensors by name.
        entries: plain data to keep beside them; in a safetensors file as JSON.

    Raises:
        UserError: the file cannot be written.
    """
    path = Path(path)
    try:
        with whole(path) as partial:
            if path.suffix == SAFETENSORS:
                # The format knows no strides: networks in channels_last are laid out anew.
                plain = {name: value.contiguous() for name, value in state.items()}
                save_file(plain, partial, {name: json.dumps(entry) for name, entry in entries.items()})
            else:
                with partial.open("wb") as file:
                    torch.save({STATE: dict(state), **entries}, file)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be written ({reason(error)}): give another target.") from error
