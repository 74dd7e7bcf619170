"""The steps from nothing to the data set; each can be interrupted anywhere and repeated.

A step asks the journal what is done, does the rest part by part, and throws away an archive when what it holds is in
its place.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from sedsep.datasets.challenge.archives import Archive, open_archive, unpack_split
from sedsep.datasets.challenge.place import Journal, Licence, Place
from sedsep.datasets.challenge.sounds import Cleaning, UnfitSound
from sedsep.datasets.challenge.sources import RemoteFile, read_listing, record_files, split_archive
from sedsep.downloads import download, progress
from sedsep.errors import UserError

SPEAKER = re.compile(r"p\d+")
MISSING = "missing in the archive"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ZenodoArchive:
    """A set that Zenodo keeps as a split zip archive.

    Args:
        licence: its terms.
        record: its address in Zenodo's API, which gives the files with their checksums.
        archive: name of the archive, without the ending.
        holds: what the folder holds that is wanted of the archive, wherever that folder is in it.
        target: where the folder goes, relative to the data set.
        growth: bytes unpacked for a byte of archive, about.
    """

    licence: Licence
    record: str
    archive: str
    holds: str
    target: str
    growth: float

    def settings(self) -> dict[str, Any]:
        """What its outcome depends on."""
        return {"archive": self.archive, "holds": self.holds, "target": self.target}

    def bytes_needed(self, place: Place) -> int:
        """About what it will take on the disk."""
        if self._is_there(place):
            return 0
        parts = self._parts(place)
        missing = [part.size for part in parts if not (place.archives / part.name).is_file()]
        return sum(missing) + round(self.growth * sum(part.size for part in parts))

    def run(self, place: Place, journal: Journal) -> None:
        """Do what is not done yet; the journal lies on the disk before anything else is written."""
        if self._is_there(place):
            if (other := journal.before.get("archive", self.archive)) != self.archive:
                raise UserError(
                    f"{place.data / self.target} is of {other}, not of {self.archive}: give another data.root."
                )
            log.info("%s is there already.", place.data / self.target)
        else:
            self._fetch(place, journal)
        for part in journal.parts:
            place.discard(place.archives / part)

    def _fetch(self, place: Place, journal: Journal) -> None:
        target = place.data / self.target
        if target.exists():
            raise UserError(f"{target} is there but holds no {self.holds}: move it away, or prepare another folder.")
        if target != place.data and not place.data.is_dir():
            raise UserError(f"{place.data} is not there yet: prepare the development set first.")
        journal.save()
        parts = self._parts(place)
        for number, part in enumerate(parts, 1):
            log.info("%s, %d of %d (%.2f GB)", part.name, number, len(parts), part.size / 1e9)
            download(part.url, place.archives / part.name, part.checksum, mend=True)
            journal.add(part.name, part.checksum)
        log.info("Unpacking %s", self.archive)
        folder = place.unpacked / self.archive
        log.info("%d files", unpack_split([place.archives / part.name for part in parts], folder))
        depth = len(PurePosixPath(self.holds).parts)
        folders = [path.parents[depth - 1] for path in sorted(folder.rglob(self.holds)) if path.is_dir()]
        if len(folders) != 1:
            raise UserError(
                f"{folder} has {len(folders)} folders that hold {self.holds}, not one: look at what was unpacked and "
                "set `holds` of this step to what tells the right one from the others."
            )
        folders[0].rename(target)

    def _parts(self, place: Place) -> list[RemoteFile]:
        return split_archive(record_files(self.record, place.archives), self.archive)

    def _is_there(self, place: Place) -> bool:
        return (place.data / self.target / self.holds).is_dir()


@dataclass(frozen=True)
class ListedSounds:
    """Sounds of another data set that the challenge lists, taken from its archives without unpacking them.

    Args:
        licence: its terms.
        url: of an archive.
        listing: the challenge's list, relative to the data set.
        cleaning: of each sound.
    """

    licence: Licence
    url: str
    listing: str
    cleaning: Cleaning

    def bytes_needed(self, place: Place) -> int:
        """Nothing that is known before a server tells: `download` looks again."""
        return 0

    def settings(self) -> dict[str, Any]:
        """What its outcome depends on."""
        return {"listing": self.listing, "cleaning": asdict(self.cleaning)}

    def _write(
        self, part: str, archive: Archive, sounds: Sequence[tuple[str | None, PurePosixPath, Path]], journal: Journal
    ) -> None:
        """Write sounds in the order they lie in the archive, and note what became of each; those of an earlier attempt
        stay. A sound is its name in the archive, `None` where it is not there, its source and where it goes."""
        jobs = [(name, path) for name, _, path in sounds if name]
        missing = [str(source) for name, source, _ in sounds if name is None]
        if not jobs:
            raise UserError(
                f"None of the {len(missing)} sounds that are listed, such as {missing[0]}, is in the archive: "
                "check where it is from."
            )
        kept, rejected = 0, {MISSING: missing} if missing else {}
        order = {name: number for number, name in enumerate(archive.sizes)}
        with progress("Sounds", sum(archive.sizes[name] for name, _ in jobs)) as advance:
            for name, path in sorted(jobs, key=lambda job: order[job[0]]):
                try:
                    if not journal.wrote(path):
                        self.cleaning.write(archive.read(name), path)
                    kept += 1
                except UnfitSound as reason:
                    path.unlink(missing_ok=True)  # of an earlier preparation that asked for less
                    rejected.setdefault(str(reason), []).append(name)
                advance(archive.sizes[name])
        journal.add(part, {"kept": kept, "rejected": rejected})
        counts = ", ".join([f"{kept} sounds", *(f"{len(rejected[reason])} {reason}" for reason in sorted(rejected))])
        where = f" (their names are in {journal.path})" if rejected else ""
        log.info("%s: %s%s", part, counts, where)


@dataclass(frozen=True)
class Speech(ListedSounds):
    """Sounds of EARS, one zip archive a speaker, `{speaker}` in its address, fetched one after the other.

    The `file_name` of a listed sound ends in `<speaker>/<file>`.
    """

    def run(self, place: Place, journal: Journal) -> None:
        """Do what is not done yet, speaker by speaker."""
        listing = place.data / self.listing
        speakers: dict[str, list[tuple[PurePosixPath, PurePosixPath]]] = defaultdict(list)
        for source, target in read_listing(listing):
            match source.parts:
                case [*_, speaker, _] if SPEAKER.fullmatch(speaker):
                    speakers[speaker].append((source, target))
                case _:
                    raise UserError(
                        f"{listing} names {source}, but a sound of EARS has the name of its speaker's folder and "
                        "its own, such as p001/file.wav: prepare the development set again."
                    )
        journal.save()
        for number, (speaker, sounds) in enumerate(sorted(speakers.items()), 1):
            path = place.archives / f"{speaker}.zip"
            if speaker not in journal.parts:
                log.info("EARS %s, %d of %d", speaker, number, len(speakers))
                download(self.url.format(speaker=speaker), path, mend=True)
                with open_archive(path) as archive:
                    names = {PurePosixPath(name).parts[-2:]: name for name in archive.sizes}
                    folder = place.data / "sound_event"
                    jobs = [(names.get(source.parts[-2:]), source, folder / target) for source, target in sounds]
                    self._write(speaker, archive, jobs, journal)
            place.discard(path)


@dataclass(frozen=True)
class Curated(ListedSounds):
    """Sounds and interferences of the Semantic Hearing curated set, one tar archive.

    Args:
        targets: folder in the archive that holds the listed sounds, at any depth.
        background: folder in the archive that holds `<split>/<Label>/` with sounds that are no targets.
        splits: its splits, and ours that each becomes.
    """

    targets: str
    background: str
    splits: Mapping[str, str]

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "splits": dict(self.splits)}

    def run(self, place: Place, journal: Journal) -> None:
        """Do what is not done yet, the listed sounds first."""
        sounds = read_listing(place.data / self.listing)
        journal.save()
        path = place.archives / PurePosixPath(urlsplit(self.url).path).name
        if not {"sound_event", "interference"} <= journal.parts.keys():
            download(self.url, path, mend=True)
            log.info("Reading %s", path)
            with open_archive(path) as archive:
                if "sound_event" not in journal.parts:
                    paths = [PurePosixPath(name) for name in archive.sizes]
                    names = {path.name: str(path) for path in paths if self.targets in path.parts}
                    folder = place.data / "sound_event"
                    listed = [(names.get(source.name), source, folder / target) for source, target in sounds]
                    self._write("sound_event", archive, listed, journal)
                if "interference" not in journal.parts:
                    jobs = list(self._interference(archive, place.data / "interference"))
                    if not jobs:
                        raise UserError(
                            f"The archive of {self.url} holds no sounds in {self.background}: check where it is from."
                        )
                    self._write("interference", archive, jobs, journal)
        place.discard(path)

    def _interference(self, archive: Archive, folder: Path) -> Iterator[tuple[str, PurePosixPath, Path]]:
        """Sounds in the archive that are no targets, as `_write` takes them."""
        for name in archive.sizes:
            path = PurePosixPath(name)
            match path.parts:
                case [*_, self.background, split, label, file] if split in self.splits:
                    if file.lower().endswith(".wav") and not file.startswith("."):
                        yield name, path, (folder / self.splits[split] / label / file).with_suffix(".wav")
