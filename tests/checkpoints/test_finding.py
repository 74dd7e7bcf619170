"""Checkpoints by name: published weights become ours on the way. The files are outlines that hold zeros."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import torch
from golden.models import fakes
from hydra import compose
from minis import refused
from servers import Server

import sedsep
from sedsep import checkpoints
from sedsep.checkpoints.finding import find
from sedsep.checkpoints.published import PUBLISHED, PublishedWeights
from sedsep.runs.command_line.arguments import CONFIG
from sedsep.runs.command_line.composing import our_configs


def archive(*names: str) -> bytes:
    """A zip with checkpoints of the reference's make."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in names:
            state = fakes.outline(name)
            zeros = {key: torch.zeros((), dtype=value.dtype).expand(value.shape) for key, value in state.items()}
            content = io.BytesIO()
            torch.save({"state_dict": zeros}, content)
            zipped.writestr(f"{name}.ckpt", content.getvalue())
    return buffer.getvalue()


def test_published_weights_are_fetched_and_converted_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/all.zip"] = archive("baseline_resunet")
    item = PublishedWeights("baseline_resunet", "http://a.page", server.url("/all.zip"), "baseline_resunet.ckpt")
    monkeypatch.setitem(PUBLISHED, item.name, item)
    with our_configs():  # as in a job, which has configs of its own
        file = find(item.name, tmp_path)
        assert compose(CONFIG).model.name == "separator"
    assert checkpoints.describe(file).scale == "paper"
    written = file.stat().st_mtime_ns
    assert find(item.name, tmp_path) == file
    assert sedsep.load(item.name, device="cpu", cache=tmp_path).labels[0] == "AlarmClock"
    assert file.stat().st_mtime_ns == written
    assert len(server.asked) == 1
    file.unlink()
    item.path(tmp_path).write_bytes(archive())
    with refused("has changed since its first use"):
        find(item.name, tmp_path)


def test_a_separator_without_a_listener_is_published_with_its_tagger() -> None:
    for item in PUBLISHED.values():
        if item.url and "resunet" in item.name:
            assert item.tagger
            assert PUBLISHED[item.tagger].url == item.url
