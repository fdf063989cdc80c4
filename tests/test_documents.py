"""Every block of these pages, run in order as a reader would, offline."""

import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from samkit import cli

ROOT = Path(__file__).parents[1]
PAGES = ("everything.md", "annotation.md")

BLOCK = re.compile(r"```(python|console)\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to("examples")  # what readers have of their own
    names: dict[str, Any] = {}
    blocks = BLOCK.findall((ROOT / "docs" / page).read_text())
    assert blocks
    for kind, text in blocks:
        if kind == "python":
            exec(compile(text, page, "exec"), names)
            continue
        for line in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
            command = shlex.split(line)
            assert command[0] == "samkit", line
            monkeypatch.setattr(sys, "argv", command)
            with pytest.raises(SystemExit) as stop:
                cli.main()
            assert stop.value.code in (0, None), line
    assert any((tmp_path / "outputs").iterdir())
