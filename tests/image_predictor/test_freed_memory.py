"""Memory that was freed goes back to the system."""

from pathlib import Path

import pytest
import torch

from samkit.image_predictor import freed_memory
from samkit.image_predictor.freed_memory import give_back_freed_memory

STATUS = Path("/proc/self/status")


def resident() -> int:
    """MiB."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) >> 10


@pytest.mark.skipif(not STATUS.exists(), reason="of Linux")
def test_what_was_freed_is_no_longer_resident():
    blocks = [torch.ones(2**14) for _ in range(4096)]  # 256 MiB in small pieces
    kept = blocks[::64]
    full = resident()
    del blocks
    give_back_freed_memory()
    assert resident() < full - 128
    assert all(bool((block == 1).all()) for block in kept)


def test_other_systems_do_nothing(monkeypatch):
    monkeypatch.setattr(freed_memory.sys, "platform", "win32")
    monkeypatch.setattr(freed_memory.ctypes, "CDLL", None)
    give_back_freed_memory()
