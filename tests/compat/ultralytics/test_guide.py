"""docs/coming-from-ultralytics.md, run as written."""

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "coming-from-ultralytics.md").read_text()


def test_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    image, model, video = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(compile(image, "coming-from-ultralytics.md", "exec"), {})
    exec(compile(model, "coming-from-ultralytics.md", "exec"), {})
    names: dict[str, object] = {}
    exec(compile(video, "coming-from-ultralytics.md", "exec"), names)
    (result,) = names["results"]  # type: ignore[misc]
    assert result.boxes.cls.tolist() == [1]
    assert {path.name for path in Path("outputs").iterdir()} == {"cup.jpg", "cup.txt"}


def test_every_predictor_is_named() -> None:
    from samkit.compat import ultralytics

    for name in ultralytics.__all__:
        if "Predictor" in name:
            assert f"from samkit.compat.ultralytics import {name}`" in GUIDE
