"""Every block of every page in docs, run in order as a reader would, offline."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from samkit import cli, limits

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\S*)(?: not tested: ([^\n]+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = {
    page.name: blocks
    for page in sorted((ROOT / "docs").glob("*.md"))
    if (blocks := BLOCK.findall(page.read_text(encoding="utf-8")))
}

# The first line of a block that needs a package of its own, which few have.
NEEDS = re.compile(r"# needs: (\w+)\n")
NEEDED = [
    (page, needs[1])
    for page, blocks in BLOCKS.items()
    for _, _, text in blocks
    if (needs := NEEDS.match(text))
]

# What a page says of its results. The names are those of its blocks.
PROMISES = {
    "bulk.md": (
        "image.image_id == 'coffee.jpg' and len(image.masks) > 2",
        "sorted(os.listdir('outputs/tracks')) == ['_run.json', 'part-000000.parquet']",
        "len(detections) == 1",
    ),
    "images.md": (
        "cells.shape == relief.shape == plants.shape == (400, 600, 3)",
        "slice_2.shape == (240, 360, 3)",
        "limits.limits().image_pixels == 2**31",
        "tifffile.imread('outputs/labels.tif').shape == (6, 240, 360)",
    ),
    "maps.md": (
        "masks.image_size == (960, 960)",
        "(masks.areas > 0).all() and (masks.boxes[:, 1] >= 320).all()",
        "{'objects.gpkg', 'objects.geojson', 'one.geojson', 'same.gpkg', 'two.geojson'} <= "
        "set(os.listdir('outputs'))",
    ),
    "memory.md": (
        "masks.object_ids.tolist() == [1]",
        "[one.object_ids for one in memory.entries] == [(1,), (1,)]",
    ),
    "tracking.md": (
        "open_frames('outputs/coffee.mp4').count == 6",
        "open_frames('outputs/drawn.mp4').count == 5",
        "sorted(os.listdir('outputs/masks')) == [f'{i:05}.png' for i in range(8)]",
        "frame == 7",
    ),
    "server.md": (
        "40_000 < cup['area'] < 60_000 and os.path.isfile('outputs/cup.png')",
        "tracked == [0, 1, 2, 3]",
        "mine.status_code == 401",
        "suggestion['result'][0]['value']['brushlabels'] == ['cup']",
    ),
    "training.md": (
        "os.path.isfile('outputs/cells.safetensors') and os.path.isfile('outputs/cell.png')",
        "os.path.isfile('outputs/mine.safetensors')",
        "scene.image.shape == (256, 320, 3)",
        "clip.frames.shape == (8, 256, 320, 3)",
    ),
    "coming-from-sam2.md": (
        "masks.shape == (1, 400, 600)",
        "mask_logits.shape == (1, 1, 240, 360)",
    ),
    "coming-from-segment-anything.md": ("masks.shape == (1, 400, 600)", "len(records) > 2"),
    "coming-from-tfimm.md": (
        "finer.masks.shape == (3, 400, 600)",
        "masks.shape == (2, 3, 400, 600) and masks.dtype == bool",
        "logits.shape == (2, 3, 64, 64)",
        "grey.cfg.in_channels == 1",
    ),
    "coming-from-ultralytics.md": (
        "[one.boxes.cls.tolist() for one in results] == [[1]]",
        "set(os.listdir('outputs')) == {'cup.jpg', 'cup.txt'}",
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a reader types: a copy, and nothing that a page sets stays."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "photos").symlink_to("examples")  # what readers have of their own
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SAMKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(limits, "_set", {})
    return tmp_path


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
@pytest.mark.parametrize("page", BLOCKS)
def test_every_block_runs(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = _run(page, None, monkeypatch)
    for promise in PROMISES.get(page, ()):
        assert eval(promise, globals() | names), promise


@pytest.mark.filterwarnings("ignore")  # those of other packages are theirs
@pytest.mark.parametrize(("page", "package"), NEEDED)
def test_blocks_that_need_another_package(
    page: str, package: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pytest.importorskip(package, reason=f"{package} is not installed")
    if package == "napari":  # all but the window
        monkeypatch.setattr(module, "Viewer", module.components.ViewerModel)
        monkeypatch.setattr(module, "run", lambda: None)
    _run(page, package, monkeypatch)


def _run(page: str, package: str | None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the blocks that need no package or this one -> the names that they make."""
    names: dict[str, Any] = {}
    for kind, reason, text in BLOCKS[page]:
        needs = NEEDS.match(text)
        if reason or (needs and needs[1] != package):
            continue
        if kind == "python":
            exec(compile(text, page, "exec"), names)
        elif kind == "console":
            for line in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
                with monkeypatch.context() as patch:
                    _type(line, patch)
    return names


def _type(line: str, patch: pytest.MonkeyPatch) -> None:
    """Do what a shell does with a line of a console block."""
    if "|" in line:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        command = ["bash", "-o", "pipefail", "-c", line]
        subprocess.run(command, check=True, env={**os.environ, "PATH": path})
        return
    words = shlex.split(line)
    while "=" in words[0]:
        patch.setenv(*words.pop(0).split("=", 1))
    program, *arguments = words
    if program == "python":
        patch.setattr(sys, "argv", arguments)
        runpy.run_path(arguments[0], run_name="__main__")
        return
    assert program == "samkit", line
    patch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code in (0, None), line


def test_blocks_are_run_or_are_shipped_files() -> None:
    """JSON and XML are those of files in examples, so that readers need not copy them."""
    files = [path for end in ("json", "xml") for path in (ROOT / "examples").glob(f"*.{end}")]
    shipped = {path.read_text(encoding="utf-8") for path in files}
    left_out = []
    for page, blocks in BLOCKS.items():
        for kind, reason, text in blocks:
            if kind in ("json", "xml"):
                assert text in shipped, page
            else:
                assert kind in ("python", "console") or reason, page
            left_out += [(page, reason)] * bool(reason)
    assert left_out == [
        ("annotate.md", "it serves until Ctrl-C"),
        ("annotate.md", "it serves until Ctrl-C"),
        ("bulk.md", "needs the weights, which are gated"),
        ("bulk.md", "begins a cluster"),
        ("camera.md", "needs a camera"),
        ("export.md", "tests/cli/test_export.py runs it"),
        ("export.md", "tests/runtimes runs it"),
        ("export.md", "the times are those of a machine"),
        *[("find.md", "needs the weights, which are gated")] * 3,
        ("runtimes.md", "it serves until Ctrl-C"),
        ("runtimes.md", "needs TensorRT"),
        ("server.md", "it serves until Ctrl-C"),
        ("server.md", "needs a server"),
        ("server.md", "for browsers"),
        ("server.md", "it serves until Ctrl-C"),
        ("server.md", "it serves until Ctrl-C"),
        ("server.md", "it serves until Ctrl-C"),
        ("server.md", "for nginx"),
        *[("tracking.md", "needs the weights, which are gated")] * 2,
    ]
