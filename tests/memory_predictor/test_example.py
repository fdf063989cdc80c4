"""The example script and the documented lines run."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import samkit

ROOT = Path(__file__).parents[2]


def test_find_again(predictor, images, tmp_path, monkeypatch, capsys):
    names = []
    for i in range(3):
        names.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(images[i]).save(names[-1])
    monkeypatch.setattr(samkit, "load", lambda name: predictor)
    arguments = ["tiny", "--show", names[0], "--box", "5,10,20,30", *names[1:]]
    monkeypatch.setattr(sys, "argv", ["find_again.py", *arguments, "-o", str(tmp_path / "out")])
    runpy.run_path(str(ROOT / "examples" / "find_again.py"), run_name="__main__")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.png", "2.png"]
    assert np.asarray(Image.open(tmp_path / "out" / "1.png")).shape == images[1].shape
    assert len(re.findall(r"presence [01]\.\d\d", capsys.readouterr().out)) == 2


def test_documented_lines(predictor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(samkit, "load", lambda name: predictor)
    rng = np.random.default_rng(0)
    for name in ("monday.jpg", "tuesday.jpg"):
        Image.fromarray(rng.integers(0, 255, (480, 640, 3), np.uint8)).save(name)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "memory.md").read_text(), re.S)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/memory.md", "exec"), names)
    memory = names["memory"]
    assert isinstance(memory, samkit.MemoryPredictor)
    assert [entry.object_ids for entry in memory.entries] == [(1,), (1,)]
