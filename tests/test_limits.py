"""Limits of what an input may ask for: their defaults, how they are raised, who asks them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import samkit
from samkit import limits as limits_module
from samkit.errors import CheckpointError, InputError, PromptError
from samkit.files import checked_path, open_file, parse_json, read_json
from samkit.limits import check_image_size, check_mask_size, limits


@pytest.fixture(autouse=True)
def unset() -> Iterator[None]:
    before = dict(limits_module._set)
    yield
    limits_module._set.clear()
    limits_module._set.update(before)


def test_the_environment_and_then_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits().image_pixels == 2**29
    monkeypatch.setenv("SAMKIT_MAX_IMAGE_PIXELS", "1000")
    assert limits().image_pixels == 1000
    samkit.set_limits(image_pixels=2000)
    assert limits().image_pixels == 2000
    assert limits().mask_pixels == 2**32  # the others are as they were


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "7", float("nan"), [1]])
def test_a_limit_is_a_whole_number(value: Any) -> None:
    with pytest.raises(InputError, match="nesting: expected a whole number from 1 on"):
        samkit.set_limits(nesting=value)
    assert limits().nesting == 64


@pytest.mark.parametrize("text", ["0", "-5", "1e9", "many", "9" * 5000, " 7", "²"])
def test_a_variable_that_is_no_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMKIT_MAX_HEADER_BYTES", text)
    with pytest.raises(InputError, match="SAMKIT_MAX_HEADER_BYTES: expected a whole number"):
        limits()


def test_sizes() -> None:
    check_image_size(2**14, 2**15, "it")
    for size in ((2**14, 2**15 + 1), (2**20 + 1, 1), (1, 2**20 + 1), (0, 5), (5, -1)):
        with pytest.raises(PromptError, match="it: expected"):
            check_image_size(*size, "it", PromptError)
    check_mask_size(2**12, 2**10, 2**10, "them")
    with pytest.raises(InputError, match=r"them: .* got 4097 x 1024 x 1024 .*MAX_MASK_PIXELS"):
        check_mask_size(2**12 + 1, 2**10, 2**10, "them")
    samkit.set_limits(mask_pixels=2**33, image_side=2**21)
    check_mask_size(2**12 + 1, 2**10, 2**10, "them")
    check_image_size(2**20 + 1, 1, "it")


def test_json(tmp_path: Path) -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": [1, "\xc3\xa4"]}', "it") == {"a": [1, "ä"]}
    deepest = "[" * 64 + "]" * 64
    assert json.dumps(parse_json(deepest, "it")) == deepest
    for text in ("[" * 65 + "]" * 65, '{"a":' * 65 + "1" + "}" * 65, "[" * 10**6):
        with pytest.raises(CheckpointError, match="it: expected lists and objects in at most 64"):
            parse_json(text, "it", CheckpointError)
    for damaged in ("", "{", b"\xff", "nul", "[1,]", "1" * 5000):
        with pytest.raises(InputError, match="it is no JSON"):
            parse_json(damaged, "it")
    samkit.set_limits(nesting=65)
    parse_json("[" * 65 + "]" * 65, "it")
    path = tmp_path / "a.json"
    path.write_bytes(b"[1]")
    assert read_json(path) == [1]


def test_files_that_are_none(tmp_path: Path) -> None:
    import os

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, reason in (
        (tmp_path / "missing", "no such file"),
        (tmp_path, "got a folder"),
        (pipe, "got a pipe or device"),
        (Path("/dev/zero"), "got a pipe or device"),
        (tmp_path / ("x" * 5000), "File name too long"),
        (Path("a\0b"), "null"),
        (Path("\ud800"), "surrogates"),
    ):
        with pytest.raises(PromptError, match=reason):
            open_file(path, PromptError)


@pytest.mark.parametrize("path", [None, 3, b"a", "", "a\0b", "\ud800", ["a"], 1.5, object()])
def test_paths_that_are_none(path: Any) -> None:
    with pytest.raises(InputError, match="expected the path of a mask"):
        checked_path(path, "a mask")


def test_paths() -> None:
    assert checked_path("a/b", "a mask") == checked_path(Path("a/b"), "a mask") == Path("a/b")


def test_a_limit_of_another_type_that_cannot_be_printed() -> None:
    with pytest.raises(InputError, match="image_pixels: expected a whole number from 1 on"):
        samkit.set_limits(image_pixels=-(10**5000))
