"""Settings for every test."""

import os
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest
import torch
import typer.main
import typer.testing
from filelock import FileLock

import samkit

# Tiny networks gain nothing from threads, and lose much where other programs use the machine.
torch.set_num_threads(1)

# Nor does a test fail because the machine is busy with something else.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# Scripts have what they start in the background ignore Ctrl-C, and tests of it would fail there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def one_command_line() -> Iterator[None]:
    """Typer makes its commands anew for every run, which a test needs once."""
    made = cache(typer.main.get_command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", made)
        patch.setattr(typer.testing, "_get_command", made)
        yield


@pytest.fixture(scope="session")
def exported_pico(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an export of pico, with its memory. Tests do not change it.

    It takes long, so that of several workers one makes it and the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    place = base / "exported"
    place.mkdir(exist_ok=True)
    with FileLock(place / "lock"):
        if not (place / "pico").exists():  # it is there once it is whole
            pico = samkit.load("pico", device="cpu", dtype="float32")
            samkit.export(pico, place / "pico", parts="video")
    return place / "pico"
