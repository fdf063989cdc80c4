"""Files are listed in a clear order, and written whole or not at all."""

import os
from pathlib import Path

import pytest

from samkit.errors import ImageError, InputError
from samkit.media import list_images, write_atomically


def test_writes_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "new" / "deeper" / "a.png"
    for text in ("first", "second"):
        with write_atomically(target) as temporary:
            assert temporary.parent.parent == target.parent
            assert temporary.suffix == ".png"
            temporary.write_text(text)
        assert target.read_text() == text
    assert os.listdir(target.parent) == ["a.png"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("existing", [False, True])
def test_an_error_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException], existing: bool
) -> None:
    target = tmp_path / "a.txt"
    if existing:
        target.write_text("old")

    def write_half() -> None:
        with write_atomically(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert os.listdir(tmp_path) == (["a.txt"] if existing else [])
    assert not existing or target.read_text() == "old"


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing was written"), write_atomically(tmp_path / "a"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    with write_atomically(tmp_path / "link.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path, "is a folder"),
        (tmp_path / "file" / "a.png", "cannot create its folder"),
        (tmp_path / "pipe", "not a plain file"),
    ):
        with pytest.raises(InputError, match=reason), write_atomically(path):
            pytest.fail("the block must not run")
    assert sorted(os.listdir(tmp_path)) == ["file", "pipe"]


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(InputError, match="no permission"), write_atomically(tmp_path / "a.png"):
        pytest.fail("the block must not run")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.JPG", "a.png", "c.txt", ".hidden.png", "inner/d.webp", "odd[1].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_list_images(folder: Path) -> None:
    def names(*inputs: str | Path) -> list[str]:
        return [path.relative_to(folder).as_posix() for path in list_images(inputs)]

    assert names(folder) == ["a.png", "b.JPG", "odd[1].png"]
    assert names(folder / "c.txt") == ["c.txt"]
    assert names(folder / "b.JPG", folder) == ["b.JPG", "a.png", "odd[1].png"]
    assert names(str(folder / "*")) == ["a.png", "b.JPG", "odd[1].png"]
    assert names(str(folder / "**" / "*.webp")) == ["inner/d.webp"]
    assert names(folder / "odd[1].png") == ["odd[1].png"]
    assert names((folder / "a.png").as_uri()) == ["a.png"]
    assert list_images(str(folder / "a.png")) == [folder / "a.png"]


def test_list_images_without_a_match(folder: Path) -> None:
    (folder / "empty").mkdir()
    for inputs, reason in (
        ([], "at least one"),
        (folder / "none.png", "no such file or folder"),
        (folder / "empty", "no image in the folder"),
        (str(folder / "*.txt"), "no image matches"),
        ([folder / "a.png", folder / "z*.png"], "no image matches"),
        ("", "empty text"),
        ("https://example.org/a.png", "download it first"),
        ("file://elsewhere/a.png", "on this machine"),
        ("a\0b.png", "null character"),
    ):
        with pytest.raises(ImageError, match=reason):
            list_images(inputs)
