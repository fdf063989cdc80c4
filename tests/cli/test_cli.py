"""The command line, run as a user runs it, on a tiny network."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from samkit import cli
from samkit.image_predictor import ImagePredictor
from samkit.masks import Masks


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_one_image_to_a_file(run, photos, model, tmp_path) -> None:
    target = tmp_path / "new" / "mask.png"
    code, out, err = run(
        "predict", photos / "a.png", "--point", "20,10", "--point", "3.5,4,0", "-o", target,
        "--model", model,
    )  # fmt: skip
    assert code == 0, err
    assert str(target) in out
    assert "1 mask, predicted IoU" in out
    assert "pico" not in err
    with Image.open(target) as image:
        assert set(np.unique(np.asarray(image))) <= {0, 255}
    assert [path.name for path in target.parent.iterdir()] == ["mask.png"]


def test_a_folder_to_a_folder(run, photos, model, tmp_path) -> None:
    target = tmp_path / "out"
    code, out, err = run(
        "predict", photos, "--box", "5,5,30,20", "-o", target, "--format", "npz", "-m", model
    )
    assert code == 0, err
    assert sorted(path.name for path in target.iterdir()) == ["a.npz", "b.npz", "c.npz"]
    assert len(out.splitlines()) == 3
    assert Masks.load(target / "b.npz").image_size == (31, 50)


def test_a_folder_is_gone_on_with(run, photos, model, tmp_path) -> None:
    target = tmp_path / "out"
    command = ("predict", photos, "--box", "5,5,30,20", "-o", target, "-m", model)
    assert run(*command)[0] == 0
    kept, lost = target / "a.png", target / "b.png"
    before, pixels = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    code, out, err = run(*command)
    assert code == 0, err
    assert "skipped 2 of 3 images" in err
    assert len(out.splitlines()) == 1
    assert (kept.stat().st_mtime_ns, lost.read_bytes()) == (before, pixels)
    code, out, err = run(*command)
    assert (code, out) == (0, "")
    assert "skipped 3 of 3 images" in err
    assert len(run(*command, "--overwrite")[1].splitlines()) == 3
    assert kept.stat().st_mtime_ns > before
    # Of one image there is nothing to go on with, and the prompts may be others.
    single = ("predict", photos / "a.png", "--box", "9,9,30,20", "-o", target, "-m", model)
    assert len(run(*single)[1].splitlines()) == 1
    # One image is always done: there is nothing to go on with, and the prompts may be others.
    single = ("predict", photos / "a.png", "--point", "9,9", "-o", kept, "-m", model)
    assert run(*single)[1].startswith(str(kept))


def test_an_interrupted_folder_is_gone_on_with(run, photos, model, tmp_path, monkeypatch) -> None:
    command = ("predict", photos, "--box", "5,5,30,20", "-m", model, "-o")
    assert run(*command, tmp_path / "whole")[0] == 0
    plain, seen = ImagePredictor.predict, []

    def interrupted(self, *arguments, **options):
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return plain(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(ImagePredictor, "predict", interrupted)
        code, _, err = run(*command, tmp_path / "out")
    assert code == 130
    assert "stopped after 1 of 3 images" in err
    assert run(*command, tmp_path / "out")[0] == 0
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_images_that_differ_in_suffix_only(run, photos, model, tmp_path) -> None:
    with Image.open(photos / "a.png") as image:
        image.save(photos / "a.jpg")
    target = tmp_path / "out"
    assert run("predict", photos, "--point", "9,9", "-o", target, "-m", model)[0] == 0
    names = sorted(path.name for path in target.iterdir())
    assert names == ["a_jpg.png", "a_png.png", "b.png", "c.png"]


def test_images_of_one_name_in_different_folders(run, photos, model, tmp_path) -> None:
    """They keep their path below the folder of all; the others do then, too."""
    (photos / "other" / "inner").mkdir(parents=True)
    shutil.copy(photos / "a.png", photos / "other" / "inner" / "a.png")
    shutil.copy(photos / "c.png", photos / "other" / "inner" / "a.jpg")
    images = (photos / "a.png", photos / "b.jpg", photos / "other" / ".." / "other" / "inner")
    target = tmp_path / "out"
    command = ("predict", *images, "--point", "9,9", "--format", "overlay", "-m", model)
    code, _, err = run(*command, "-o", target)
    assert code == 0, err
    expected = ["a", "b", "other/inner/a_jpg", "other/inner/a_png"]
    files = sorted(path.relative_to(target).as_posix() for path in target.rglob("*.png"))
    assert files == [f"{name}_overlay.png" for name in expected]
    with Image.open(target / "other/inner/a_jpg_overlay.png") as image:
        assert image.size == (50, 32)  # that of c.png
    code, _, err = run(*command, "-o", target)
    assert "skipped 4 of 4 images" in err


def test_an_empty_mask_is_mentioned(run, photos, monkeypatch, model, tmp_path) -> None:
    """As of a click far outside; a mask file shows nothing then."""
    nothing = Masks(np.zeros((2, 30, 50), bool), [0.5, 0.4])
    monkeypatch.setattr(ImagePredictor, "predict", lambda *a, **k: nothing)
    command = ("predict", photos / "a.png", "--separate", "--point", "9,9", "--point", "8,8")
    code, out, _ = run(*command, "-o", tmp_path / "a.json", "-m", model)
    assert code == 0
    assert "2 masks (2 empty), predicted IoU 0.50, 0.40" in out


def test_coco_files_name_their_image(run, photos, model, tmp_path) -> None:
    target = tmp_path / "out.json"
    assert run("predict", photos / "b.jpg", "--point", "9,9", "-o", target, "-m", model)[0] == 0
    assert json.loads(target.read_text())["images"][0]["file_name"] == "b.jpg"


def test_a_label_map_is_no_rough_mask(run, photos, model, tmp_path) -> None:
    labels = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) % 3, "P")
    labels.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    labels.save(tmp_path / "labels.png")
    code, _, err = run("predict", photos / "a.png", "--mask", tmp_path / "labels.png", "-m", model)
    assert code == 2
    assert "label map" in err


@pytest.mark.parametrize(
    ("suffix", "arguments"),
    [
        (".json", []),
        (".npz", []),
        (".png", ["--format", "overlay"]),
        (".jpg", ["--format", "overlay"]),
        (".json", ["--format", "polygons"]),
    ],
)
def test_formats(run, photos, model, tmp_path, suffix, arguments) -> None:
    target = tmp_path / f"out{suffix}"
    code, _, err = run(
        "predict", photos / "b.jpg", "--box", "5,5,30,20", "-o", target, "-m", model, *arguments
    )
    assert code == 0, err
    if suffix == ".npz":
        assert len(Masks.load(target)) == 1
    elif suffix == ".json":
        assert json.loads(target.read_text())
    else:
        assert size_of(target) == (50, 31)


def test_without_output_an_overlay_lies_here(run, photos, model, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("predict", "photos/a.png", "--point", "9,9", "-m", model)[0] == 0
    assert size_of(tmp_path / "a_overlay.png") == (50, 30)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--point", "9,9", "--point", "20,9,0"], 1),
        (["--point", "9,9", "--point", "20,9", "--separate"], 2),
        (["--box", "1,1,9,9", "--box", "4,4,20,20"], 2),
        (["--box", "1,1,9,9", "--point", "5,5"], 1),
        (["--point", "9,9", "--candidates", "3"], 3),
        (["--mask", "MASK", "--point", "9,9"], 1),
    ],
)
def test_which_objects_are_meant(run, photos, model, tmp_path, arguments, count) -> None:
    mask = tmp_path / "rough.png"
    Image.fromarray(np.eye(30, 50, dtype=np.uint8) * 255).save(mask)
    arguments = [mask if x == "MASK" else x for x in arguments]
    target = tmp_path / "out.npz"
    code, _, err = run("predict", photos / "a.png", *arguments, "-o", target, "-m", model)
    assert code == 0, err
    assert len(Masks.load(target)) == count


def test_a_bad_image_does_not_stop_the_others(run, photos, model, tmp_path) -> None:
    data = (photos / "b.jpg").read_bytes()
    (photos / "b.jpg").write_bytes(data[: len(data) // 2])
    code, out, err = run("predict", photos, "--point", "9,9", "-o", tmp_path / "out", "-m", model)
    assert code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    assert "b.jpg" in err
    assert "1 of 3 images failed" in err
    assert len(out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "point at something"),
        (["--point", "1"], "expected numbers x,y"),
        (["--point", "a,b"], "expected numbers x,y"),
        (["--point", "1,2,5"], "label 1 or 0"),
        (["--point", "nan,2"], "finite"),
        (["--box", "1,2,3"], "expected numbers x0,y0,x1,y1"),
        (["--box", "9,9,3,3"], "box"),
        (["--box", "3,3,3,9"], "box"),
        (["--mask", "missing.png"], "missing.png"),
        (["--box", "1,1,9,9", "--box", "2,2,9,9", "--point", "3,3"], "several boxes"),
        (["--box", "1,1,9,9", "--separate"], "points only"),
        (["--point", "1,2", "--candidates", "2"], "expected 1 or 3"),
        (["--point", "1,2", "--format", "bmp"], "expected one of png"),
        (["--nonsense"], "No such option"),
    ],
)
def test_wrong_usage(run, photos, model, arguments, message) -> None:
    code, out, err = run("predict", photos / "a.png", *arguments, "-m", model)
    assert code == 2
    assert message in " ".join(err.replace("│", " ").split())
    assert out == ""


def test_images_and_outputs_must_fit(run, photos, model, tmp_path) -> None:
    (photos / "other").mkdir()
    shutil.copy(photos / "a.png", photos / "other" / "a.png")
    point = ["--point", "1,2", "-m", model]
    cases = [
        (["missing.jpg", *point], "no such file"),
        ([photos, *point, "-o", tmp_path / "one.png"], "3 images need a folder"),
        ([photos / "a.png", *point, "-o", photos / "a.png"], "would overwrite"),
        ([photos / "a.png", *point, "-o", photos], "would overwrite"),
        ([photos / "a.png", *point, "-o", "x.npz", "--format", "overlay"], "is for files"),
        ([photos / "a.png", *point, "-o", "x.bmpx"], "expected one of the suffixes"),
        (
            [photos / "a.png", photos / "other" / ".." / "a.png", *point, "-o", tmp_path / "out"],
            "would both be",
        ),
        ([photos / "a.png", *point, "-o", tmp_path / "classes.txt"], "names the classes"),
        (
            [photos / "a.png", *point, "-o", tmp_path / "a.txt", "--category", "a\nb"],
            "of one line, got 'a\\nb'",
        ),
    ]
    for arguments, message in cases:
        code, _, err = run("predict", *arguments)
        assert code == 2, arguments
        assert message in " ".join(err.replace("│", " ").split())


def test_convert_and_back(run, model, tmp_path) -> None:
    meta, back = tmp_path / "meta.pt", tmp_path / "back.safetensors"
    assert run("convert", model, meta, "--layout", "meta")[0] == 0
    assert meta.is_file()
    code, _, err = run("convert", model, tmp_path / "x", "--layout", "onnx")
    assert code == 2
    assert "expected one of" in err
    assert run("convert", "missing.pt", back, "--layout", "samkit")[0] == 2
    assert not back.exists()


def test_models_are_listed(run) -> None:
    code, out, _ = run("models")
    assert code == 0
    assert "sam2.1-tiny" in out
    assert "bundled" in out
    (gated,) = (line for line in out.splitlines() if line.split()[:1] == ["sam3"])
    assert gated.split()[4] == "LicenseRef-SAM-License"
    assert "micro-sam-vit-t-em-organelles " in out


def test_help_needs_no_heavy_import() -> None:
    script = (
        "import sys; from samkit import cli; sys.argv = ['samkit', '--help']\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'numpy', 'cv2', 'PIL', 'av') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "predict" in done.stdout


def test_version(run) -> None:
    import samkit

    assert run("--version")[:2] == (0, samkit.__version__ + "\n")
    assert run()[0] == 2


def test_pico_is_explained_once(run, photos, cache, monkeypatch, tmp_path) -> None:
    command = ("predict", photos / "a.png", "--point", "9,9", "-o", tmp_path / "a.png")
    assert "Using pico" in run(*command)[2]
    assert [path.name for path in cache.iterdir()] == ["told-of-pico"]
    code, _, err = run(*command)
    assert (code, err) == (0, "")


@pytest.mark.parametrize("place", ["file", "file/inside", "~nobody-of-this-name/x"])
def test_pico_is_explained_where_nothing_can_be_kept(
    run, photos, monkeypatch, tmp_path, place
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SAMKIT_CACHE", place if place[0] == "~" else str(tmp_path / place))
    for _ in range(2):
        command = ("predict", photos / "a.png", "--point", "9,9", "-o", tmp_path / "a.png")
        code, _, err = run(*command)
        assert (code, "Using pico" in err) == (0, True), err


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("samkit pre", ["predict"]),
        ("samkit predict --mo", ["--model"]),
        (
            "samkit predict --model sam2.1-",
            ["sam2.1-tiny", "sam2.1-small", "sam2.1-base-plus", "sam2.1-large"],
        ),
        ("samkit eval pi", ["pico"]),
        ("samkit convert mob", ["mobile-sam"]),
        ("samkit train --from sam-vit-h", ["sam-vit-h"]),
        ("samkit predict photos/a", []),  # left to the shell, which knows the files
    ],
)
def test_completion_in_the_shell(words, completed) -> None:
    typed = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    environment = {"_SAMKIT_COMPLETE": "complete_bash", **typed}
    done = CliRunner().invoke(cli.app, [], env=environment, prog_name="samkit")
    assert (done.exit_code, done.stdout.split()) == (0, completed)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_shown(shell, monkeypatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: (shell, f"/bin/{shell}"))
    done = CliRunner().invoke(cli.app, ["--show-completion"], prog_name="samkit")
    assert done.exit_code == 0
    assert f"complete_{shell}" in done.stdout
