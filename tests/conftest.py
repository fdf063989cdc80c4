"""Settings for every test."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest
import torch
import typer.main
import typer.testing

import samkit

# Tiny networks gain nothing from threads, and lose much where other programs use the machine.
torch.set_num_threads(1)

# Nor does a test fail because the machine is busy with something else.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


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
    """The folder of an export of pico, with its memory. Tests do not change it."""
    folder = tmp_path_factory.mktemp("exports") / "pico"
    samkit.export(samkit.load("pico", device="cpu", dtype="float32"), folder, parts="video")
    return folder


@pytest.fixture(scope="session")
def exported_for_transformers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pico in the layout of transformers.js. Tests do not change it."""
    folder = tmp_path_factory.mktemp("exports") / "pico-js"
    samkit.export(samkit.load("pico", device="cpu", dtype="float32"), folder, layout="transformers")
    return folder
