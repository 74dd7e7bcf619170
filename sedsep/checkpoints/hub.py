"""Models that people share on the Hugging Face hub, or as a folder.

A shared model is a folder: the network's weights, those of the tagger that names sounds for it where there is one, an
account of both, and a card for people. What comes from the hub is a stranger's, and goes through the doors of all
checkpoints and JSON files.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sedsep import __version__
from sedsep.errors import UserError, printable, reason
from sedsep.files import read_json

log = logging.getLogger(__name__)

MODEL, TAGGER, ACCOUNT, CARD = "model.safetensors", "tagger.safetensors", "config.json", "README.md"
"""The files of a shared model."""

PREFIX = "hf:"
REPOSITORY = r"[\w-][\w.-]*/[\w-][\w.-]*"
ADDRESS = re.compile(rf"(?!.*\.\.){PREFIX}(?P<repository>{REPOSITORY})(@(?P<revision>[\w-][\w./-]*))?", re.ASCII)


def address(source: str | Path) -> str | Path:
    """`OWNER/NAME` as `find` knows models of the hub; anything else, and what is there as a path, as it is."""
    is_model = ADDRESS.fullmatch(f"{PREFIX}{source}") and not Path(source).exists()
    looks_like_file = Path(str(source)).suffix in (".ckpt", ".pt", ".pth", ".safetensors", ".onnx")
    return f"{PREFIX}{source}" if is_model and not looks_like_file else source


def fetch(model: str, cache: Path) -> Path:
    """The folder of a model of the hub.

    What a name, or a revision of it, was at its first use it stays: later uses ask for nothing and need no network.
    With SEDSEP_OFFLINE=1 nothing is fetched.

    Args:
        model: `hf:OWNER/NAME`, or `hf:OWNER/NAME@REVISION`, a commit, tag or branch.
        cache: the directory that runs share; models go to `hub/` in it, laid out as the hub's own library does it.

    Raises:
        UserError: no address of a model, no such model or revision, no network, or no model of this suite.
    """
    match = ADDRESS.fullmatch(model)
    if match is None:
        raise UserError(f"{model} is no model of the hub: write {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION.")
    hub = _library(model)
    offline = os.environ.get("SEDSEP_OFFLINE", "0") not in ("", "0")

    def get(name: str, revision: str, local: bool) -> Path:
        about = {"library_name": "sedsep", "library_version": __version__, "cache_dir": cache / "hub"}
        path = hub.hf_hub_download(
            match["repository"], name, revision=revision, local_files_only=local or offline, **about
        )
        return Path(path)

    with _told(model):
        revision = match["revision"] or "main"
        try:
            account = get(ACCOUNT, revision, True)
        except hub.errors.LocalEntryNotFoundError:
            account = get(ACCOUNT, revision, False)
            log.info("%s is kept as it is now, revision %s: %s", model, account.parent.name, account.parent)
        folder, commit = account.parent, account.parent.name
        get(MODEL, commit, False)
        if read_json(account, dict[str, object], "choose another model").get("taggers"):
            get(TAGGER, commit, False)
    return folder


def push(folder: Path, repository: str) -> str:
    """Upload a shared model's folder to the hub, as whoever is logged in there.

    Args:
        folder: of the model.
        repository: `OWNER/NAME`, made where there is none.

    Returns:
        What `fetch` takes: this very revision.

    Raises:
        UserError: the hub cannot be reached, or refuses it.
    """
    hub = _library(repository)
    with _told(repository):
        api = hub.HfApi(library_name="sedsep", library_version=__version__)
        api.create_repo(repository, exist_ok=True)
        files = [MODEL, TAGGER, ACCOUNT, CARD]
        made = api.upload_folder(repo_id=repository, folder_path=folder, allow_patterns=files)
    return f"{PREFIX}{repository}@{made.oid}"


def _library(model: str) -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise UserError(
            f"{model} is no path that is there, and as a model of the hub it needs huggingface_hub: check the path, or "
            "pip install 'sedsep[hub]'."
        ) from error
    return huggingface_hub


@contextmanager
def _told(model: str) -> Iterator[None]:
    """What the hub's library raises, as a sentence."""
    from huggingface_hub import errors

    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError as error:
        raise UserError(f"{model} wants your consent: give it on its page, and log in (hf auth login).") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"{model} is not on the hub, or not for everybody: check the name or path, or log in (hf auth login)."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{model} has no such revision: give a commit, a tag or a branch of it.") from error
    except errors.LocalEntryNotFoundError as error:
        raise UserError(f"{model} is not kept here and cannot be fetched now: run this again online.") from error
    except errors.EntryNotFoundError as error:
        raise UserError(
            f"{model} lacks a file of the models that task=publish makes ({MODEL}, {ACCOUNT}): choose another model."
        ) from error
    except Exception as error:  # the library and those below it raise many kinds
        raise UserError(f"The hub refuses {model} ({printable(reason(error))}): mend that, or try later.") from error
