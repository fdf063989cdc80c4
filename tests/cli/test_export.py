"""`samkit export`, and commands with what it wrote."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import samkit
from samkit import Prompt

PHOTOGRAPH = Path(__file__).parents[2] / "examples" / "coffee.jpg"


def test_for_samexporter(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    code, text, _ = run("export", "pico", "-o", out, "--layout", "samexporter", "--int8")
    assert code == 0
    assert text.startswith(f"{out}: 2 files, 7 MB; ")  # of 23
    assert re.search(r"lowest IoU of a mask (1\.0{5}|0\.999\d\d); IoU with the masks of", text)
    lowest, mean = (float(x) for x in re.findall(r"(?:lowest|mean) (\d\.\d{5})", text)[-2:])
    assert 0.5 < lowest < mean < 1
    encoder, decoder = (
        onnxruntime.InferenceSession(out / f"{name}.onnx") for name in ("encoder", "decoder")
    )
    # As X-AnyLabeling does: outputs and inputs by their position, the best-scored candidate.
    _, _, height, width = encoder.get_inputs()[0].shape
    image = samkit.read_image(PHOTOGRAPH)
    predictor = samkit.load("pico", device="cpu", dtype="float32")
    pixels = predictor.transform(image.shape[:2]).pixels(image, *mean_and_std(predictor))
    fine, finer, embedding = encoder.run(None, {encoder.get_inputs()[0].name: pixels.numpy()})
    scale = np.array([width / image.shape[1], height / image.shape[0]], np.float32)
    corners = np.array([[[172, 18], [424, 285]]], np.float32) * scale
    names = [one.name for one in decoder.get_inputs()]
    inputs = (
        embedding,
        fine,
        finer,
        corners,
        np.array([[2, 3]], np.float32),
        np.zeros((1, 1, height // 4, width // 4), np.float32),
        np.array([0], np.float32),
    )
    masks, scores = decoder.run(None, dict(zip(names, inputs, strict=True)))
    expected = predictor.predict(image, Prompt.box(172, 18, 424, 285), candidates=3).best()
    best = masks[0][scores[0].argmax()]
    agree = (best > 0) == (expected.logits[0] > 0)
    assert agree.mean() > 0.99  # of rounded weights
    assert scores.max() == pytest.approx(expected.scores[0], abs=0.05)


def mean_and_std(predictor: samkit.ImagePredictor) -> tuple[Any, Any]:
    return predictor.network.config.mean, predictor.network.config.std


def test_check_and_predict(run: Any, exported_pico: Path, tmp_path: Path) -> None:
    code, text, _ = run("export", "pico", "-o", exported_pico, "--check")
    assert code == 0
    assert text.startswith(f"{exported_pico}: largest difference ")
    arguments = (PHOTOGRAPH, "--box", "172,18,424,285", "-o", tmp_path / "cup.png")
    code, _, _ = run("predict", *arguments, "--model", exported_pico)
    assert code == 0
    assert (tmp_path / "cup.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pico",), "--output"),
        (("pico", "-o", "OUT", "--layout", "onnx"), "expected one of samkit, transformers"),
        (("pico", "-o", "OUT", "--parts", "all"), "expected one of image, video, got all"),
        (
            ("pico", "-o", "OUT", "--parts", "video", "--layout", "samexporter"),
            "the layout samexporter has no parts for video",
        ),
        (("pico", "-o", "OUT", "--half", "--int8"), "expected one of --half and --int8"),
        *(
            (("pico", "-o", "OUT", "--check", *more), "expected no --layout, --half or --int8")
            for more in (("--half",), ("--int8",), ("--layout", "transformers"))
        ),
        (("nothing", "-o", "OUT"), "no model is called 'nothing'"),
        (("pico", "-o", "OUT", "--check"), "no such file or folder"),
    ],
)
def test_wrong_usage(run: Any, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    out = tmp_path / "out"
    code, _, text = run("export", *(str(out) if one == "OUT" else one for one in arguments))
    assert code == 2
    assert message in " ".join(text.split())
    assert not out.exists()


def test_a_folder_that_is_not_empty(run: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    code, _, text = run("export", "pico", "-o", tmp_path)
    assert code == 1
    assert "expected a new or empty folder" in text
