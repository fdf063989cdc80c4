"""The README's examples, typed as written."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from samkit import cli
from samkit.masks import Masks

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
README = (ROOT / "README.md").read_text()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.setenv("SAMKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_examples(folder: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    names_written = {path.name for path in (folder / "outputs").iterdir()}
    assert names_written == {"coffee.png", "masks.npz", "coffee.safetensors"}
    assert [len(masks) for masks in names["lists"]] == [1, 1]  # type: ignore[attr-defined]


def test_shell_examples(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = re.findall(r"^\$ (samkit .*)$", README, re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code in (0, None), command
    assert len(Masks.load(folder / "outputs" / "coffee.npz")) == 3


def test_every_page_is_linked() -> None:
    for page in DOCS:
        assert f"](docs/{page.name})" in README


@pytest.mark.parametrize(
    "name",
    ["README.md", "CONTRIBUTING.md", "examples/README.md", *(f"docs/{page.name}" for page in DOCS)],
)
def test_links_lead_somewhere(name: str) -> None:
    code = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
    text = code.sub("", (ROOT / name).read_text())
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert ((ROOT / name).parent / target).exists(), target
