"""Exports that are loaded do what the network does."""

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from server.calls import begin, embed, masks, pixels_of, prompt
from server.calls import track as track_there

import samkit
from samkit import (
    CheckpointError,
    ImagePredictor,
    InputError,
    MissingDependencyError,
    Prompt,
)
from samkit.runtimes import RUNTIMES
from samkit.server import create_app

EXAMPLES = Path(__file__).parents[2] / "examples"
PHOTOGRAPH, CLIP = EXAMPLES / "coffee.jpg", EXAMPLES / "coffee.mp4"
CUP = Prompt.box(114, 0, 303, 188)
SPOON = Prompt.point(220, 190)


@pytest.fixture(scope="module")
def pico() -> ImagePredictor:
    return samkit.load("pico", device="cpu", dtype="float32")


@pytest.fixture(scope="module", params=RUNTIMES)
def exported(request: pytest.FixtureRequest, exported_pico: Path) -> ImagePredictor:
    if request.param == "openvino":
        pytest.importorskip("openvino", reason="openvino is not installed")
    return samkit.load(exported_pico, runtime=request.param)


def assert_same_pixels(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.any()
    both, either = (found & expected).sum((1, 2)), (found | expected).sum((1, 2))
    assert (both >= 0.999 * either).all()


def assert_same(found: samkit.Masks, expected: samkit.Masks) -> None:
    assert_same_pixels(found.masks, expected.masks)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)


def test_prompts_of_all_kinds(pico: ImagePredictor, exported: ImagePredictor) -> None:
    prompts = [Prompt.box(172, 18, 424, 285), Prompt.point(220, 260)]
    prompts.append(prompts[0] + Prompt.point(300, 100) + Prompt.point(10, 10, label=0))
    one, other = exported.embed(PHOTOGRAPH), pico.embed(PHOTOGRAPH)
    first = pico.predict(other, prompts)
    assert_same(exported.predict(one, prompts), first)
    assert_same(
        exported.predict(one, prompts, prior=first), pico.predict(other, prompts, prior=first)
    )
    for candidates in (1, 3):
        mixed = [*prompts, Prompt.mask(first.masks[0])]
        found = exported.predict(one, mixed, candidates=candidates)
        assert_same(found, pico.predict(other, mixed, candidates=candidates))
    assert len(exported.predict(one, [])) == 0


def test_several_images_at_once(pico: ImagePredictor, exported: ImagePredictor) -> None:
    pixels = torch.randn(2, 3, 320, 416)
    with torch.inference_mode():
        found, expected = (p.network.encode_image(pixels) for p in (exported, pico))
    for one, other in zip(found.tensors, expected.tensors, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4 * other.abs().max().item())


def test_everything(pico: ImagePredictor, exported: ImagePredictor) -> None:
    found, expected = (
        samkit.AutomaticMaskGenerator(p, points_per_side=4)(PHOTOGRAPH) for p in (exported, pico)
    )
    assert len(found) == len(expected) > 3
    assert_same(found, expected)


def track(predictor: ImagePredictor) -> list[samkit.Masks]:
    """Two objects whose memories differ in length, a correction, and a mask as a prompt."""
    tracker = samkit.VideoPredictor(predictor, CLIP)
    tracker.prompt(0, 1, CUP)
    tracker.prompt(2, 2, SPOON)
    masks = [one for _, one in tracker.track(stop=4)]
    masks.append(tracker.prompt(3, 1, Prompt.point(120, 20, label=0)))
    tracker.prompt(3, 3, Prompt.mask(masks[-2].masks[0]))
    return masks + [one for _, one in tracker.track(start=3, stop=6)]


def test_video(pico: ImagePredictor, exported: ImagePredictor) -> None:
    for found, expected in zip(track(exported), track(pico), strict=True):
        assert_same(found, expected)
        assert (found.object_ids == expected.object_ids).all()


def test_memory_across_images(pico: ImagePredictor, exported: ImagePredictor) -> None:
    found = []
    for predictor in (exported, pico):
        memory = samkit.MemoryPredictor(predictor)
        memory.remember(PHOTOGRAPH, {1: Prompt.box(172, 18, 424, 285)})
        found.append(memory.predict(PHOTOGRAPH))
    assert_same(*found)


def test_embeddings_are_of_their_network(
    pico: ImagePredictor, exported: ImagePredictor, exported_pico: Path, tmp_path: Path
) -> None:
    embedding = exported.embed(PHOTOGRAPH)
    embedding.save(tmp_path / "embedding.safetensors")
    again = samkit.ImageEmbedding.load(tmp_path / "embedding.safetensors")
    box = Prompt.box(172, 18, 424, 285)
    assert len(samkit.load(exported_pico).predict(again, box)) == 1
    with pytest.raises(InputError, match="another network"):
        pico.predict(embedding, box)


def test_nothing_heavy_is_left_to_torch(exported: ImagePredictor, pico: ImagePredictor) -> None:
    left = sum(tensor.numel() for tensor in exported.network.parameters())
    assert left < 0.02 * sum(tensor.numel() for tensor in pico.network.parameters())


def test_threads_that_ask_at_once(exported: ImagePredictor) -> None:
    embedding = exported.embed(PHOTOGRAPH)
    prompts = [Prompt.point(20 + 45 * i, 30 + 30 * i) for i in range(12)]
    expected = [exported.predict(embedding, prompt).masks for prompt in prompts]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda prompt: exported.predict(embedding, prompt).masks, prompts * 2)
    for one, other in zip(found, expected * 2, strict=True):
        np.testing.assert_array_equal(one, other)


def test_server(pico: ImagePredictor, exported: ImagePredictor) -> None:
    box = Prompt.box(172, 18, 424, 285)
    with TestClient(create_app({"cup": exported}), base_url="http://localhost") as client:
        made = embed(client, PHOTOGRAPH.read_bytes())
        answer = masks(client, made["id"], [box])
        assert answer.status_code == 200, answer.text
        found = pixels_of(answer.json(), "rle")
        clip = begin(client, CLIP)
        assert prompt(client, clip["id"], value=CUP).status_code == 200
        *frames, end = track_there(client, clip["id"], stop=3, format="png")
    assert end == ("end", {})
    assert_same_pixels(found, pico.predict(PHOTOGRAPH, box).masks)
    tracker = samkit.VideoPredictor(pico, CLIP)
    tracker.prompt(0, 1, CUP)
    for (_, data), (_, expected) in zip(frames, tracker.track(stop=3), strict=True):
        assert_same_pixels(pixels_of(data, "png"), expected.masks)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "bfloat16"}, "dtype: an export runs in float32, got 'bfloat16'"),
        ({"dtype": "int3"}, "dtype: expected auto, float32"),
        ({"runtime": "tensorrt"}, "runtime: expected one of onnx, openvino, got 'tensorrt'"),
        ({"runtime": 3}, "runtime: expected one of onnx, openvino, got 3"),
        ({"device": "GPU", "runtime": "openvino"}, "device: an export runs on the CPU, got 'GPU'"),
        ({"device": "cuda:1"}, "device: an export runs on the CPU, got 'cuda:1'"),
    ],
)
def test_wrong_arguments(exported_pico: Path, arguments: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        samkit.load(exported_pico, **arguments)


def test_a_runtime_needs_an_export() -> None:
    with pytest.raises(InputError, match=r"folder of an export, .*, got 'pico'; `samkit export"):
        samkit.load("pico", runtime="onnx")


@pytest.mark.parametrize(
    ("runtime", "package", "extra"),
    [("onnx", "onnxruntime", "export"), ("openvino", "openvino", "openvino")],
)
def test_an_engine_that_is_not_installed(
    exported_pico: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"^{package} is not .*samkit\[{extra}\]"):
        samkit.load(exported_pico, runtime=runtime)


@pytest.fixture
def copied(exported_pico: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported_pico, tmp_path / "copy"))


def test_without_its_memory(copied: Path) -> None:
    about = json.loads((copied / "samkit.json").read_text())
    for name in ("memory_attention.onnx", "memory_encoder.onnx"):
        del about["files"][name]
    (copied / "samkit.json").write_text(json.dumps(about))
    predictor = samkit.load(copied)
    assert len(predictor.predict(PHOTOGRAPH, Prompt.point(9, 9))) == 1
    with pytest.raises(InputError, match=r"tracking needs the parts for video, .*--parts video"):
        samkit.VideoPredictor(predictor)


def rewrite(folder: Path, **values: object) -> None:
    about = json.loads((folder / "samkit.json").read_text())
    (folder / "samkit.json").write_text(json.dumps(about | values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"layout": "transformers"}, "exports in its own layout, got 'transformers'"),
        ({"layout": [1]}, r"exports in its own layout, got \[1\]"),
        ({"version": 2}, "expected version 1 of the layout, got 2"),
        ({"sizes": {}}, "samkit.json is damaged"),
        ({"sizes": 7}, "samkit.json is damaged"),
        ({"weights": "int3"}, "samkit.json is damaged"),
        ({"files": []}, "samkit.json is damaged"),
        ({"files": {"mask_decoder.onnx": {}}}, "samkit.json is damaged"),
        ({"files": {"../x": {"sha256": ""}}}, "expected the name of a file"),
        ({"files": {}}, "expected network.safetensors among its files"),
    ],
)
def test_damaged_manifest(copied: Path, values: dict[str, object], message: str) -> None:
    rewrite(copied, **values)
    with pytest.raises(CheckpointError, match=message):
        samkit.load(copied)


@pytest.mark.parametrize("text", ["[]", "3", "{", ""])
def test_no_manifest(copied: Path, text: str) -> None:
    (copied / "samkit.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"samkit\.json"):
        samkit.load(copied)


def test_changed_and_missing_files(copied: Path) -> None:
    file = copied / "mask_decoder.onnx"
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"mask_decoder\.onnx is not the file that was"):
        samkit.load(copied)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"mask_decoder\.onnx: no such file"):
        samkit.load(copied)


def test_a_file_that_is_no_network(copied: Path) -> None:
    from hashlib import sha256

    (copied / "mask_decoder.onnx").write_bytes(b"no network")
    about = json.loads((copied / "samkit.json").read_text())
    about["files"]["mask_decoder.onnx"]["sha256"] = sha256(b"no network").hexdigest()
    rewrite(copied, files=about["files"])
    with pytest.raises(CheckpointError, match=r"mask_decoder\.onnx: onnxruntime cannot load it"):
        samkit.load(copied)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_files_of_other_inputs(copied: Path, runtime: str) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="openvino is not installed")
    about = json.loads((copied / "samkit.json").read_text())
    rewrite(copied, sizes=about["sizes"] | {"image_size": [640, 832]})
    with pytest.raises(
        CheckpointError, match=r"image_encoder\.onnx: \w+ cannot run it: .*(640|shape)"
    ):
        samkit.load(copied, runtime=runtime).embed(PHOTOGRAPH)
