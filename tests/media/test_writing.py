"""What cannot be written is found out without leaving anything behind."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from samkit.errors import InputError
from samkit.media.writing import StreamedFile, check_writable, write_atomically


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


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\n"
        "from samkit.media import write_atomically\n"
        "with write_atomically(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(600)\n"
    )
    old = tmp_path / "old.txt"
    old.write_text("old")
    (tmp_path / ".samkit-notes.txt").write_text("of somebody")
    command = [sys.executable, "-c", script, str(old)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writing\n"
        writers[0].kill()
        writers[0].wait()
        assert len(os.listdir(tmp_path)) == 4
        with write_atomically(tmp_path / "new.txt") as temporary:
            temporary.write_text("new")
        # That of the living one stays.
        assert [path.read_text() for path in tmp_path.glob(".samkit-*/*")] == ["half"]
        assert len(os.listdir(tmp_path)) == 4
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert old.read_text() == "old"


def test_an_empty_file_may_be_written(tmp_path: Path) -> None:
    with write_atomically(tmp_path / "a.txt") as temporary:
        temporary.write_text("")
    assert (tmp_path / "a.txt").read_bytes() == b""


def test_a_streamed_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """Each try says why, and nothing is left."""

    def no_room(path: Path) -> IO[str]:
        path.touch()
        raise OSError(28, "No space left on device")

    file = StreamedFile(tmp_path / "out.txt", no_room)
    for _ in range(2):
        with pytest.raises(InputError, match="No space left on device"), file.writing():
            pass
    file.close()
    assert list(tmp_path.iterdir()) == []
