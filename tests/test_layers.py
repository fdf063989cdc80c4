import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"


def test_imports_point_only_downwards() -> None:
    """The contract is in pyproject.toml, under tool.importlinter."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache", "--config", str(ROOT / "pyproject.toml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_files_import_each_other() -> None:
    """Not even inside a function or for type checkers. The root only names what is public."""
    files = [path for path in SRC.rglob("*.py") if path != SRC / "samkit" / "__init__.py"]
    imports = {path: set(_imported(path)) - {path} for path in files}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        names = [str(path.relative_to(SRC)) for path in error.args[1]]
        raise AssertionError(" imports ".join(reversed(names))) from None


def _imported(path: Path) -> Iterator[Path]:
    """The files of samkit that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            # A name of a package is a module in it, or something that its __init__ has.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if _file_of(name) else node.module for name in names]
        else:
            continue
        yield from (file for file in map(_file_of, names) if file is not None)


def _file_of(name: str) -> Path | None:
    place = SRC.joinpath(*name.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file() and file != SRC / "samkit" / "__init__.py":
            return file
    return None
