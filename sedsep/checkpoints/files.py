"""Reading and writing weight files, whoever made them: torch's own format and safetensors.

Nothing in a file is run: torch files are looked through and then opened with `weights_only=True`, safetensors cannot
hold code. Damage is told by the checksums of a torch file's records, and by a digest in what we wrote. Safetensors
files of others have neither: there, sizes must fit and weights be finite.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sedsep.checkpoints.integrity import Code, Unfit, check_archive, check_plain, check_tensors, digest
from sedsep.errors import UserError, reason
from sedsep.files import whole

SAFETENSORS = ".safetensors"
STATE = "state_dict"
ENTRY = "sedsep"
"""What a checkpoint of ours says of itself."""
DIGEST = "sedsep_digest"
"""Of its weights and its entry; older ones have none."""
LONGEST_METADATA = 2**20
"""Letters of a text in a safetensors file that may be JSON."""


def read_weights(path: Path | str) -> dict[str, Any]:
    """What a weight file holds, on the CPU.

    Args:
        path: a `.safetensors` file, or anything that `torch.save` wrote (.ckpt, .pt, .pth).

    Returns:
        A torch file's dict as it is. Of a safetensors file, its tensors under `state_dict` and its metadata beside
        them, decoded where they are JSON: what `write_weights` was given.

    Raises:
        UserError: no such file, damaged in any record, cut off, packed, holding code, or no weights by name.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no checkpoint at {path}: check the path.")
    try:
        content = _read_safetensors(path) if path.suffix == SAFETENSORS else _read_torch(path)
        if not isinstance(content, dict):
            kind = type(content).__name__
            raise UserError(f"{path} holds a {kind} where weights by name are needed: give a checkpoint.")
        check_plain(content.get(ENTRY))
        if DIGEST in content and content[DIGEST] != digest(named_tensors(content, path), content.get(ENTRY)):
            raise Unfit(f"its weights or description are not those that its {DIGEST} was made of")
    except UserError:
        raise
    except Code as error:
        raise UserError(
            f"{path} wants to run code ({error}) and was not opened: ask its maker for the weights alone, a state_dict "
            "of plain tensors."
        ) from error
    except Exception as error:  # libraries raise many kinds for what is damaged or foreign
        told = isinstance(error, OSError) and error.errno is not None
        why = reason(error) if told or isinstance(error, Unfit) else "damaged, cut off, or not plain weights"
        raise UserError(f"{path} cannot be read as a checkpoint ({why}): {_instead(path)}.") from error
    return content


def _instead(path: Path) -> str:
    """What to do about a file that is damaged."""
    others = sorted(file.name for file in path.parent.glob("[!.]*") if file.suffix == path.suffix and file != path)
    beside = f", or give {' or '.join(others[:3])} beside it" if others else ""
    return f"fetch or train it again{beside}"


def _read_torch(path: Path) -> Any:
    with path.open("rb") as file, warnings.catch_warnings():  # torch's advice on odd files: the error says what to do
        warnings.simplefilter("ignore")
        check_archive(file)
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)


def _read_safetensors(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = {}
    with safe_open(path, framework="pt") as file:
        for name, text in (file.metadata() or {}).items():
            try:
                content[name] = json.loads(text) if len(text) <= LONGEST_METADATA else text
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
        UserError: some of it is not a tensor with a name, or not finite, or larger than what is stored of it.
    """
    state = content.get(STATE, content)
    named = isinstance(state, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())
    if not named or not state:
        raise UserError(f"{path} holds other things than weights by name: give a checkpoint of a network.")
    try:
        check_tensors(state)
    except Unfit as error:
        raise UserError(f"{path} holds no weights of a network ({error}): {_instead(Path(path))}.") from error
    return state


def with_digest(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint holds, and the digest of its weights and description, by which reading it tells damage."""
    return {**content, DIGEST: digest(content[STATE], content.get(ENTRY))}


def write_weights(path: Path | str, state: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write weights, whole or not at all: as safetensors where the name ends so, as a torch file otherwise.

    Args:
        path: its folder is made where it is missing.
        state: tensors by name.
        description: plain data to keep beside them under `ENTRY`; in a safetensors file as JSON.

    Raises:
        UserError: the file cannot be written.
    """
    path = Path(path)
    content = with_digest({STATE: dict(state), ENTRY: description})
    try:
        with whole(path) as partial:
            if path.suffix == SAFETENSORS:
                # The format knows no strides: networks in channels_last are laid out anew.
                plain = {name: value.contiguous() for name, value in content.pop(STATE).items()}
                save_file(plain, partial, {name: json.dumps(entry) for name, entry in content.items()})
            else:
                with partial.open("wb") as file:
                    torch.save(content, file)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be written ({reason(error)}): give another target.") from error
