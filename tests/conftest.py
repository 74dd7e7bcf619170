"""What tests may lean on beside the code: golden vectors, and real recordings where they are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


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
