"""The steps from nothing to the data set; each can be interrupted anywhere and repeated.

A step asks the journal what is done, does the rest part by part, and throws away an archive when what it holds is in
its place.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import urlsplit

from sedsep.datasets.dcase2025.archives import Archive, open_archive, unpack_split
from sedsep.datasets.dcase2025.listing import Listed, read_listing
from sedsep.datasets.dcase2025.place import Journal, Licence, Place
from sedsep.datasets.dcase2025.sounds import Cleaning, Rejected, Tally
from sedsep.datasets.dcase2025.zenodo import RemoteFile, record_files, split_archive
from sedsep.downloads import download, progress
from sedsep.errors import UserError

SPEAKER = re.compile(r"p\d+")
MISSING = "missing in the archive"

log = logging.getLogger(__name__)


class Step(Protocol):
    """One part of the data set, from its source to its place."""

    licence: Licence

    def settings(self) -> dict[str, Any]:
        """What its outcome depends on."""
        ...

    def bytes_needed(self, place: Place) -> int:
        """About what it will take on the disk, where that is known beforehand."""
        ...

    def run(self, place: Place, journal: Journal) -> None:
        """Do what is not done yet; the journal lies on the disk before anything else is written."""
        ...


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
        return {"archive": self.archive, "holds": self.holds, "target": self.target}

    def bytes_needed(self, place: Place) -> int:
        if self._is_there(place):
            return 0
        parts = self._parts(place)
        missing = [part.size for part in parts if not (place.archives / part.name).is_file()]
        return sum(missing) + round(self.growth * sum(part.size for part in parts))

    def run(self, place: Place, journal: Journal) -> None:
        if self._is_there(place):
            log.info("%s is there already.", place.data / self.target)
        else:
            self._place(place, journal)
        for part in journal.parts:
            place.discard(place.archives / part)

    def _place(self, place: Place, journal: Journal) -> None:
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
        count = unpack_split([place.archives / part.name for part in parts], folder)
        log.info("%d files", count)
        self._wanted(folder).rename(target)

    def _parts(self, place: Place) -> list[RemoteFile]:
        return split_archive(record_files(self.record, place.archives), self.archive)

    def _is_there(self, place: Place) -> bool:
        return (place.data / self.target / self.holds).is_dir()

    def _wanted(self, folder: Path) -> Path:
        depth = len(PurePosixPath(self.holds).parts)
        found = [path.parents[depth - 1] for path in sorted(folder.rglob(self.holds)) if path.is_dir()]
        if len(found) != 1:
            raise UserError(
                f"{folder} has {len(found)} folders that hold {self.holds}, not one: look at what was unpacked and set "
                "`holds` of this step to what tells the right one from the others."
            )
        return found[0]


@dataclass(frozen=True)
class Speech:
    """Sounds of EARS, one zip archive a speaker: fetched one after the other, for the sounds that are listed.

    Args:
        licence: its terms.
        url: of an archive, with `{speaker}`.
        listing: the challenge's list, relative to the data set; its `file_name` ends in `<speaker>/<file>`.
        cleaning: of each sound.
    """

    licence: Licence
    url: str
    listing: str
    cleaning: Cleaning

    def settings(self) -> dict[str, Any]:
        return {"listing": self.listing, "cleaning": asdict(self.cleaning)}

    def bytes_needed(self, place: Place) -> int:
        return 0  # unknown until a server tells: `download` looks before each

    def run(self, place: Place, journal: Journal) -> None:
        speakers = _by_speaker(place.data / self.listing)
        journal.save()
        for number, (speaker, wanted) in enumerate(sorted(speakers.items()), 1):
            archive = place.archives / f"{speaker}.zip"
            if speaker not in journal.parts:
                log.info("EARS %s, %d of %d", speaker, number, len(speakers))
                download(self.url.format(speaker=speaker), archive, mend=True)
                with open_archive(archive) as opened:
                    names = {PurePosixPath(name).parts[-2:]: name for name in opened.names()}
                    wishes = [(names.get(listed.source.parts[-2:]), listed) for listed in wanted]
                    _note(journal, speaker, _place_listed(opened, wishes, place, self.cleaning, journal))
            place.discard(archive)


def _by_speaker(listing: Path) -> Mapping[str, Sequence[Listed]]:
    speakers: dict[str, list[Listed]] = defaultdict(list)
    for listed in read_listing(listing):
        match listed.source.parts:
            case [*_, speaker, _] if SPEAKER.fullmatch(speaker):
                speakers[speaker].append(listed)
            case _:
                raise UserError(
                    f"{listing} names {listed.source}, but a sound of EARS has the name of its speaker's folder and "
                    "its own, such as p001/file.wav: prepare the development set again."
                )
    return speakers


@dataclass(frozen=True)
class Curated:
    """Sounds and interferences of the Semantic Hearing curated set, read from its tar archive without unpacking it.

    Args:
        licence: its terms. url: of the archive.
        listing: the challenge's list of target sounds, relative to the data set.
        targets: folder in the archive that holds them, at any depth.
        background: folder in the archive that holds `<split>/<Label>/` with sounds that are no targets.
        splits: its splits, and ours that each becomes. cleaning: of each sound.
    """

    licence: Licence
    url: str
    listing: str
    targets: str
    background: str
    splits: Mapping[str, str]
    cleaning: Cleaning

    def settings(self) -> dict[str, Any]:
        return {"listing": self.listing, "splits": dict(self.splits), "cleaning": asdict(self.cleaning)}

    def bytes_needed(self, place: Place) -> int:
        return 0  # unknown until the server tells: `download` looks before it begins

    def run(self, place: Place, journal: Journal) -> None:
        wanted = read_listing(place.data / self.listing)
        journal.save()
        archive = place.archives / PurePosixPath(urlsplit(self.url).path).name
        if not {"sound_event", "interference"} <= journal.parts.keys():
            download(self.url, archive, mend=True)
            log.info("Reading %s", archive)
            with open_archive(archive) as opened:
                self._take(opened, wanted, place, journal)
        place.discard(archive)

    def _take(self, archive: Archive, wanted: Sequence[Listed], place: Place, journal: Journal) -> None:
        paths = [PurePosixPath(name) for name in archive.names()]
        if "sound_event" not in journal.parts:
            names = {path.name: str(path) for path in paths if self.targets in path.parts}
            wishes = [(names.get(listed.source.name), listed) for listed in wanted]
            _note(journal, "sound_event", _place_listed(archive, wishes, place, self.cleaning, journal))
        if "interference" not in journal.parts:
            jobs = list(self._interference(paths, place.data / "interference"))
            if not jobs:
                raise UserError(
                    f"The archive of {self.url} holds no sounds in {self.background}: check where it is from."
                )
            _note(journal, "interference", _write_all(archive, jobs, self.cleaning, journal))

    def _interference(self, paths: Iterable[PurePosixPath], folder: Path) -> Iterator[tuple[str, Path]]:
        for path in paths:
            match path.parts:
                case [*_, self.background, split, label, name] if split in self.splits and _is_wav(name):
                    yield str(path), (folder / self.splits[split] / label / name).with_suffix(".wav")


def _is_wav(name: str) -> bool:
    return name.lower().endswith(".wav") and not name.startswith(".")


def _place_listed(
    archive: Archive, wishes: Sequence[tuple[str | None, Listed]], place: Place, cleaning: Cleaning, journal: Journal
) -> Tally:
    """Write listed sounds.

    Args:
        wishes: the name in the archive, `None` where it is not there, of each sound.
    """
    jobs = [(name, place.data / "sound_event" / listed.target) for name, listed in wishes if name]
    if not jobs:
        raise UserError(
            f"None of the {len(wishes)} sounds that are listed, such as {wishes[0][1].source}, is in the archive: "
            "check where it is from."
        )
    tally = _write_all(archive, jobs, cleaning, journal)
    for name, listed in wishes:
        if name is None:
            tally.reject(MISSING, str(listed.source))
    return tally


def _write_all(archive: Archive, jobs: Sequence[tuple[str, Path]], cleaning: Cleaning, journal: Journal) -> Tally:
    """Write sounds by their name in the archive, in the order they lie there; those of an earlier attempt stay."""
    tally = Tally()
    order = {name: place for place, name in enumerate(archive.names())}
    with progress("Sounds", sum(archive.size(name) for name, _ in jobs)) as advance:
        for name, path in sorted(jobs, key=lambda job: order[job[0]]):
            try:
                if not journal.wrote(path):
                    cleaning.write(archive.read(name), path)
                tally.kept += 1
            except Rejected as reason:
                tally.reject(str(reason), name)
            advance(archive.size(name))
    return tally


def _note(journal: Journal, part: str, tally: Tally) -> None:
    """Write down and tell what became of the sounds of a part."""
    journal.add(part, asdict(tally))
    where = f" (their names are in {journal.path})" if tally.rejected else ""
    log.info("%s: %s%s", part, tally, where)
