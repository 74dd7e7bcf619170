"""Weights that somebody published: what they are called, where they are, and how they get here."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from sedsep.checkpoints.own import weights_file
from sedsep.errors import UserError


@dataclass(frozen=True)
class PublishedWeights:
    """Weights that somebody published.

    Attributes:
        name: what we call them.
        page: where they are described.
        url: of the file, or of the zip archive that holds it; `None` where it has no address of its own.
        member: the file in the archive, by its path or the end of it.
        archive: its name in the cache; by default as in the address.
        gigabytes: to download, where known.
        checksum: of what `url` gives, as `download` takes it.
        tagger: name of the weights that name sounds for a separator which has no SED model of its own.
    """

    name: str
    page: str
    url: str | None = None
    member: str | None = None
    archive: str | None = None
    gigabytes: float | None = None
    checksum: str | None = None
    tagger: str | None = None

    def path(self, cache: Path) -> Path:
        """Where the weights belong in a cache directory, whether they are there or not."""
        file = PurePosixPath(self.member or urlsplit(self.url or "").path)
        return cache / "weights" / f"{self.name}{file.suffix or '.ckpt'}"


_PAPER = "https://github.com/theMoro/dcase25task4"
_BASELINE = "https://github.com/nttcslab/dcase2025_task4_baseline"
_BASELINE_2026 = "https://github.com/nttcslab/dcase2026_task4_baseline"
_M2D = "https://github.com/nttcslab/m2d"
_M2D_32K = "m2d_as_vit_base-80x1001p16x16p32k-240413_AS-FT_enconly"
_SED = "https://github.com/fschmid56/PretrainedSED"
_AUDIOSEP = "https://huggingface.co/spaces/Audio-AGI/AudioSep"

PUBLISHED = {
    item.name: item
    for item in (
        PublishedWeights(
            "audiosep_base", _AUDIOSEP, f"{_AUDIOSEP}/resolve/main/checkpoint/audiosep_base_4M_steps.ckpt",
            gigabytes=1.26,
        ),
        PublishedWeights("m2d_strong_1", _SED, f"{_SED}/releases/download/v0.0.1/M2D_strong_1.pt"),
        PublishedWeights(
            "m2d_as_32k", _M2D, f"{_M2D}/releases/download/v0.3.0/{_M2D_32K}.zip",
            f"{_M2D_32K}/weights_ep69it3124-0.47998.pth",
        ),
        *(
            PublishedWeights(
                name, _BASELINE, f"{_BASELINE}/releases/download/v1.0.0/baseline_checkpoint.zip", member, tagger=tagger
            )
            for name, member, tagger in (
                ("baseline_tagger", "m2dat.ckpt", None),
                ("baseline_resunet", "resunet.ckpt", "baseline_tagger"),
                ("baseline_resunetk", "resunetk.ckpt", "baseline_tagger"),
            )
        ),
        *(
            PublishedWeights(
                name, _BASELINE_2026, f"{_BASELINE_2026}/releases/download/v1.0.0/baseline_checkpoint.zip",
                f"checkpoint/{file}", "baseline_checkpoint_2026.zip", tagger=tagger,
            )
            for name, file, tagger in (
                ("dcase2026_tagger_1c", "m2dat_1c.ckpt", None),
                ("dcase2026_tagger_4c", "m2dat_4c.ckpt", None),
                ("dcase2026_resunetk", "resunetk.ckpt", "dcase2026_tagger_1c"),
            )
        ),
        *(
            PublishedWeights(name, _PAPER)
            for name in (
                "m2d_tagging", "separator_baseline", "separator_no_timefilm", "separator_no_soundbeam",
                "separator_soundbeam_frozen", "separator_dprnn", "separator_iter_2", "separator_iter_3",
                "separator_iter_4",
            )
        ),
    )
}  # fmt: skip
"""Everything we know by name."""


def locate(source: str | Path, cache: Path) -> Path:
    """The file that `source` means: its path, that of the run that trained it, or the name of published weights, which
    are fetched now where they are not there.

    Raises:
        UserError: neither a file nor a known name, or what `fetch` raises.
    """
    if Path(source).exists():
        return weights_file(Path(source))
    if item := PUBLISHED.get(str(source)):
        return fetch(item, cache)
    if len(Path(source).parts) > 1 or Path(source).suffix:
        raise UserError(f"There is no checkpoint at {source}: check the path.")
    near = difflib.get_close_matches(str(source), PUBLISHED, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise UserError(
        f"{source} is neither a file nor the name of published weights{hint}: give a path or one of "
        f"{', '.join(PUBLISHED)}."
    )


def fetch(item: PublishedWeights, cache: Path) -> Path:
    """Published weights as a file: what was fetched or put there before, or downloaded now.

    Args:
        item: one of `PUBLISHED`.
        cache: the directory that runs share; the weights go to `weights/` in it.

    Raises:
        UserError: they have no address or no network leads there, and nobody put them in their place; or as `download`.
    """
    from sedsep.downloads import checked, download, extract  # what speaks HTTP takes a while to import

    path = item.path(cache)
    if path.is_file():
        return checked(path, item.checksum if item.member is None else None)
    if item.url is None:
        raise UserError(f"{item.name} has no address of its own: get it from {item.page} and put it at {path}.")
    if item.member is None:
        return download(item.url, path, item.checksum, item.gigabytes)
    archive = path.with_name(item.archive or PurePosixPath(urlsplit(item.url).path).name)
    extract(download(item.url, archive, item.checksum, item.gigabytes), item.member, path)
    return checked(path, None)
