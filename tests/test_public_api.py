import subprocess
import sys
from importlib.metadata import version

import pytest

import samkit
from samkit import errors

HEAVY = ("torch", "numpy", "cv2", "PIL", "av", "rich", "typer")


def test_import_is_light() -> None:
    code = f"import sys, samkit; print([name for name in {HEAVY!r} if name in sys.modules])"
    # -I: neither the working directory nor the user's site packages take part.
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_dir_lists_what_is_public() -> None:
    assert dir(samkit) == sorted(samkit.__all__)
    assert len(set(samkit.__all__)) == len(samkit.__all__)


@pytest.mark.parametrize("name", samkit.__all__)
def test_every_public_name_resolves(name: str) -> None:
    value = getattr(samkit, name)
    assert value is getattr(samkit, name)
    assert getattr(value, "__module__", "samkit").startswith("samkit")


def test_every_error_is_public() -> None:
    assert set(errors.__all__) <= set(samkit.__all__)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'samkit' has no attribute 'nothing'"):
        _ = samkit.nothing


def test_version_is_that_of_the_distribution() -> None:
    assert samkit.__version__ == version("samkit")
