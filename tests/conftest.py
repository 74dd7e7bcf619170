"""What tests may lean on beside the code: golden vectors, and real recordings where they are at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from servers import Server, serving

pytest_plugins = ["scene_fixtures"]


@pytest.fixture(autouse=True)
def seed() -> None:
    """Random weights do not depend on which tests ran before."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The reference's figures that travel with the project."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Larger material beside the checkout; tests that need it skip where it is absent."""
    folder = Path(__file__).parents[1].parent / "shared"
    if not folder.is_dir():
        pytest.skip("the shared material is not beside the checkout")
    return folder


@pytest.fixture(params=[True, False], ids=["ranges", "no ranges"])
def any_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """File servers that can, and cannot, send the rest of a file."""
    yield from serving(Server(request.param), monkeypatch)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A file server on this machine."""
    yield from serving(Server(), monkeypatch)
