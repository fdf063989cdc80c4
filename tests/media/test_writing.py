"""What cannot be written is found out without leaving anything behind."""

import os
from pathlib import Path

import pytest

from samkit.errors import InputError
from samkit.media.writing import check_writable


def test_nothing_is_left_or_changed(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("old")
    (tmp_path / "there").mkdir()
    for name in ("old.txt", "new.txt", "there/a", "a/b/c.txt"):
        check_writable(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["old.txt", "there"]
    assert (tmp_path / "old.txt").read_text() == "old"


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    for path, reason in ((tmp_path, "is a folder"), (tmp_path / "file" / "a", "its folder")):
        with pytest.raises(InputError, match=reason):
            check_writable(path)
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(InputError, match="no permission"):
        check_writable(tmp_path / "new" / "a")
    assert os.listdir(tmp_path) == ["file"]
