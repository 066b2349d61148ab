"""The fixture of a CUDA device that is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SITE = Path(__file__).parent / "site"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pretended_cuda(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every process that is started from here on sees the device and its driver.

    Not this very process, which has its torch already.
    """
    path = os.pathsep.join([str(SITE), str(ROOT)])
    monkeypatch.setenv("PYTHONPATH", path)
    # Waiting threads must not spin on the cores of whoever else is tested.
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    return SITE
