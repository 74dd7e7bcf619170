"""The challenge's archives in small, as their servers give them: 8 kHz, three classes, sounds of a second."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from servers import Server

from sedsep.datasets.challenge import Assembly, Cleaning, Curated, Licence, Speech, ZenodoArchive
from sedsep.datasets.challenge.archives import SPLIT_MARK
from sedsep.scenes.rooms import write_sofa

RATE = 8000
LABELS = ("Cough", "Doorbell", "Speech")
DEVELOPMENT = "final_0402_1/DCASE2025Task4Dataset/dev_set"
YEARS = {
    2025: (DEVELOPMENT, "test", "eval/eval_set/test"),
    2026: (
        "DCASE2026Task4Dataset/data/dev_set",
        "synthesized/test",
        "DCASE2026Task4EvaluationDataset/data/eval_set/synthesized/eval",
    ),
}
"""Where the development set lies in its archive, the test set in that, and the evaluation set in its own archive."""


def wav(seconds: float, channels: int = 1, rate: int = RATE, peak: float = 0.5, seed: int = 0) -> bytes:
    """Noise that begins and ends with what it has at its peak."""
    rng = np.random.default_rng(seed)
    samples = rng.uniform(-peak, peak, (round(seconds * rate), channels))
    samples[[0, -1]] = peak
    return encode(samples, rate)


def encode(samples: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype="PCM_16", format="WAV")
    return file.getvalue()


def sofa(folder: Path, name: str, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    responses = rng.standard_normal((3, 4, 200)).astype(np.float32) * np.exp(-np.arange(200) / 30)
    write_sofa(folder / name, responses.astype(np.float32), rng.standard_normal((3, 3)), RATE, title=name)
    return (folder / name).read_bytes()


def zipped(files: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in files.items():
            out.writestr(name, content)
    return archive.getvalue()


def split(name: str, archive: bytes, parts: int) -> dict[str, bytes]:
    """Cut a zip archive as `zip -s` does."""
    marked = SPLIT_MARK + archive
    size = -(-len(marked) // parts)
    pieces = [marked[start : start + size] for start in range(0, len(marked), size)]
    names = [f"{name}.z{number:02d}" for number in range(1, len(pieces))] + [f"{name}.zip"]
    return dict(zip(names, pieces, strict=True))


def tarred(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as out:
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            out.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def development(scratch: Path, year: int = 2025) -> dict[str, bytes]:
    """The development set before the sounds of others are added: two classes in each split, valid scenes, a test."""
    top, test, _ = YEARS[year]
    files = {"README.txt": b"about the data"}
    for number, part in enumerate(("train", "valid")):
        for label in ("Cough", "Doorbell"):
            for index in range(2):
                seed = 10 * number + index
                folder = f"sound_event/{part}/{label}" + ("" if year == 2025 else f"/one_{index}")
                files[f"{folder}/{label.lower()}_{index}.wav"] = wav(0.5 + index, seed=seed)
        files[f"noise/{part}/noise.wav"] = wav(2.0, channels=4, peak=0.1, seed=number)
        files[f"room_ir/{part}/room_{part}.sofa"] = sofa(scratch, f"room_{part}.sofa", number)
    # A fixed scene may use what only comes with the sounds of others.
    files["metadata/valid/scene_0.json"] = json.dumps((scene if year == 2025 else scene_2026)("valid")).encode()
    slots = {"ref_event": ["Speech", "Cough", "silence"]} if year == 2025 else {}
    files["metadata/valid.json"] = json.dumps([{"metadata_path": "valid/scene_0.json", **slots}]).encode()
    files["config/EARS_config.json"] = json.dumps(
        [
            listed("p001/freeform.wav", "train/Speech/p001_freeform.wav"),
            listed("p001/quiet.wav", "train/Speech/p001_quiet.wav"),
            listed("p003/freeform.wav", "valid/Speech/p003_freeform.wav"),
        ]
    ).encode()
    files["config/FSD50K_config.json"] = json.dumps(
        [listed(f"{name}.wav", f"train/Doorbell/{name}.wav") for name in ("1001", "1002", "1003")]
    ).encode()
    return {
        "final_0402_1/note.txt": b"beside the set",
        **{f"{top}/{name}": content for name, content in (files | recorded(test, year)).items()},
    }


def listed(source: str, target: str) -> dict[str, str]:
    return {"file_name": source, "t4_label": target.split("/")[1], "convert_path": target}


def scene(part: str) -> dict[str, Any]:
    """A scene in the challenge's format, with a cough, speech, and an interference."""

    def event(label: str, file: str, time: float) -> dict[str, Any]:
        return {
            "label": label, "source_file": file, "source_time": 0, "event_time": time, "event_duration": 0.25,
            "snr": 10.0, "role": "foreground", "pitch_shift": None, "time_stretch": None,
            "event_position": [[0.0, 0.0, 0.0]],
        }  # fmt: skip

    root = "data/dev_set"
    return {
        "config": {
            "foreground_dir": f"{root}/sound_event/{part}", "background_dir": f"{root}/noise/{part}",
            "rir_dir": f"{root}/room_ir/{part}", "interference_dir": f"{root}/interference/{part}",
            "duration": 1.0, "sr": RATE, "ref_db": -50, "ref_channel": 0, "return_dry": True,
            "spatialize_direct_path_time_ms": [6, 50],
        },
        "fg_events": [event("Cough", "Cough/cough_0.wav", 0.1), event("Speech", "Speech/p003_freeform.wav", 0.5)],
        "bg_events": [],
        "int_events": [event("Rain", "Rain/2002.wav", 0.2)],
        "room": f"room_{part}.sofa",
    }  # fmt: skip


def scene_2026(part: str) -> dict[str, Any]:
    """The same in the format of 2026, with a second cough from another recording."""
    content = scene(part)
    room = f"{content['config'].pop('rir_dir')}/{content['room']}"
    content["config"]["room_config"] = {"args": {"direct_range_ms": [6, 50]}}
    content["room"] = {"args": {"metadata": {"sofa_path": room}}}
    coughs = [{"source_file": f"Cough/one_{index}/cough_{index}.wav", "event_time": 0.6 * index} for index in (0, 1)]
    content["fg_events"] = [content["fg_events"][0] | cough for cough in coughs] + content["fg_events"][1:]
    return content


def recorded(folder: str, year: int = 2025) -> dict[str, bytes]:
    """Mixtures with their sources; the name of one begins with that of the other. In 2026 there is one without a
    source, with whose name those of the others begin, and the sources of one are of the same class."""
    if year == 2026:
        targets = {"s_1_0_Speech": 2, "s_1_1_Speech": 3, "s_10_0_Doorbell": 4}
        return {
            **{
                f"{folder}/soundscape/{name}.wav": wav(1.0, channels=4, seed=len(name)) for name in ("s", "s_1", "s_10")
            },
            **{f"{folder}/oracle_target/{name}.wav": wav(1.0, seed=seed) for name, seed in targets.items()},
        }
    return {
        f"{folder}/soundscape/s_1.wav": wav(1.0, channels=4),
        f"{folder}/soundscape/s_10.wav": wav(1.0, channels=4, seed=1),
        f"{folder}/oracle_target/s_1_Speech.wav": encode(np.r_[np.zeros(2000), np.full(4000, 0.25), np.zeros(2000)]),
        f"{folder}/oracle_target/s_1_Cough.wav": wav(1.0, seed=2),
        f"{folder}/oracle_target/s_10_Doorbell.wav": wav(1.0, seed=3),
    }


def speakers() -> dict[str, bytes]:
    """EARS: three speakers, of whom the challenge takes two."""
    quiet = wav(1.0, rate=16000, peak=0.01)
    return {
        f"{speaker}.zip": zipped(
            {f"{speaker}/freeform.wav": wav(1.0, rate=16000, seed=seed), f"{speaker}/quiet.wav": quiet}
        )
        for seed, speaker in enumerate(("p001", "p002", "p003"))
    }


def curated() -> bytes:
    """The Semantic Hearing set: sounds in folders of their own, and links to them by split and class."""
    top = "BinauralCuratedDataset"
    dev = f"{top}/FSD50K/FSD50K.dev_audio"
    files = {
        f"{dev}/1001.wav": wav(0.5, seed=1),
        f"{dev}/1002.wav": wav(0.05, seed=2),  # too short
        f"{dev}/2001.wav": wav(0.5, seed=3),
        f"{dev}/2002.wav": wav(0.5, seed=4),
        f"{dev}/2003.wav": b"no sound at all",
        f"{top}/ESC-50/1001.wav": wav(0.7, seed=5),  # of another set: not the one listed
    }
    up = "../../../FSD50K/FSD50K.dev_audio"
    links = {
        f"{top}/scaper_fmt/train/doorbell/1001.wav": f"{up}/1001.wav",
        f"{top}/bg_scaper_fmt/train/Rain/2001.wav": f"{up}/2001.wav",
        f"{top}/bg_scaper_fmt/train/Rain/2003.wav": f"{up}/2003.wav",
        f"{top}/bg_scaper_fmt/val/Rain/2002.wav": f"{up}/2002.wav",
        f"{top}/bg_scaper_fmt/test/Rain/2002.wav": f"{up}/2002.wav",
        f"{top}/bg_scaper_fmt/train/Wind/lost.wav": f"{up}/lost.wav",
    }
    return tarred(files, links)


class Shelf(dict[str, bytes]):
    """A server's files by path.

    Attributes:
        taken: paths asked for.
        once: what is given instead the next time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str] = []
        self.once: dict[str, bytes] = {}

    def get(self, path: str, default: bytes | None = None) -> bytes | None:  # type: ignore[override]
        self.taken.append(path)
        return self.once.pop(path, None) or super().get(path, default)


class Replica:
    """The archives on a server.

    Attributes:
        server: that has them.
        shelf: its files.
        parts: of the two sets on Zenodo, by name.
    """

    def __init__(self, server: Server, scratch: Path, year: int = 2025) -> None:
        self.server = server
        self.year = year
        self.shelf = server.files = Shelf()
        self.parts: dict[str, bytes] = {}
        volumes = {2025: (5, 3), 2026: (11, 5)}[year]
        self.publish(1, f"DCASE{year}Task4Dataset", development(scratch, year), volumes[0])
        self.publish(2, f"DCASE{year}Task4EvaluationDataset", recorded(YEARS[year][2], year), volumes[1])
        self.shelf |= {f"/ears/{name}": content for name, content in speakers().items()}
        self.shelf["/curated/BinauralCuratedDataset.tar"] = curated()

    def publish(self, record: int, name: str, files: Mapping[str, bytes], parts: int) -> None:
        """Put a set on Zenodo."""
        pieces = split(name, zipped(files), parts)
        self.parts |= pieces
        self.shelf |= {f"/{record}/{part}": content for part, content in pieces.items()}
        listing = [
            {
                "key": part,
                "size": len(content),
                "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
                "links": {"self": self.server.url(f"/{record}/{part}")},
            }
            for part, content in reversed(pieces.items())
        ]
        self.shelf[f"/api/records/{record}"] = json.dumps({"id": record, "files": listing}).encode()

    def assembly(self, root: Path, **cleaning: float) -> Assembly:
        """What makes the data set of this server's archives, as the config has it."""
        clean = Cleaning(RATE, **cleaning)
        zenodo = (
            ("1", f"DCASE{self.year}Task4Dataset", "sound_event", "."),
            ("2", f"DCASE{self.year}Task4EvaluationDataset", "soundscape", "eval"),
        )
        sets = [
            ZenodoArchive(Licence(name, "free", "page"), self.server.url(f"/api/records/{record}"), name, *rest, 1.5)
            for record, name, *rest in zenodo
        ]
        ears = self.server.url("/ears/{speaker}.zip")
        tar = self.server.url("/curated/BinauralCuratedDataset.tar")
        splits = {"train": "train", "val": "valid"}
        steps = {
            "development": sets[0],
            "evaluation": sets[1],
            "speech": Speech(Licence("EARS", "free", "page"), ears, "config/EARS_config.json", clean),
            "curated": Curated(
                Licence("curated", "free", "page"), tar, "config/FSD50K_config.json", clean, "FSD50K", "bg_scaper_fmt",
                splits,
            ),
        }  # fmt: skip
        return Assembly(root, steps)

    def overrides(self) -> list[str]:
        """What makes `data=dcase2025`, or 2026's, use this server."""
        steps = "data.assemble.steps"
        return [
            "task=prepare",
            f"data=dcase{self.year}",
            f"sample_rate={RATE}",
            f"{steps}.development.record={self.server.url('/api/records/1')}",
            f"{steps}.evaluation.record={self.server.url('/api/records/2')}",
            f"{steps}.speech.url='{self.server.url('/ears/')}{{speaker}}.zip'",
            f"{steps}.curated.url={self.server.url('/curated/BinauralCuratedDataset.tar')}",
        ]


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder that is not hidden."""
    paths = [path for path in root.rglob("*") if path.is_file()]
    relative = {path.relative_to(root): path for path in paths}
    return {str(name): path.read_bytes() for name, path in relative.items() if not any(p[0] == "." for p in name.parts)}
