"""The layouts of other programs: their modules for each family, and files fed as they do."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tiny import make, tiny_pico, tiny_sam, tiny_sam2
from transformers import SamImageProcessor

import samkit
from samkit import ImagePredictor, Prompt
from samkit.exporter.layouts import LAYOUTS
from samkit.nn import build
from samkit.sizes import NetworkConfig, sam2, sam_vit

IMAGE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
CLICKS = [
    Prompt.point(30, 40) + Prompt.point(90, 60, label=0),
    Prompt.point(5, 6) + Prompt.point(100, 20),
]
BOXES = [Prompt.box(10, 20, 100, 80), Prompt.box(40, 30, 60, 90)]
CONFIGS = {"sam": tiny_sam(), "sam2": tiny_sam2(), "pico": tiny_pico()}


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def predictor(request: pytest.FixtureRequest) -> ImagePredictor:
    return ImagePredictor(make(request.param), device="cpu", dtype="float32")


def maps_of(predictor: ImagePredictor, layout: str) -> list[torch.Tensor]:
    chosen, network = LAYOUTS[layout], predictor.network
    return chosen.encoder(network).module(chosen.pixels(network, IMAGE))


def tensors_of(prompts: list[Prompt]) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (N, T, 2), where the input is as large as the image is wide, and labels (N, T)."""
    points = np.stack([prompt.point_coords for prompt in prompts])
    return torch.from_numpy(points), torch.tensor([list(p.point_labels) for p in prompts])


def scale(config: NetworkConfig) -> torch.Tensor:
    """Pixels of the input for one of the image, which is stretched to it or fits its width."""
    return torch.tensor([1.0, 1.0 if config.keep_aspect else 128 / 96])


def assert_same(found: torch.Tensor, expected: np.ndarray) -> None:
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-4 * np.abs(expected).max())


@torch.no_grad()
def test_transformers(predictor: ImagePredictor) -> None:
    module = LAYOUTS["transformers"].decoder(predictor.network).module
    maps, config = maps_of(predictor, "transformers"), predictor.network.config
    points, labels = tensors_of(CLICKS)
    points = (points * scale(config))[None]
    expected = predictor.predict(IMAGE, CLICKS, candidates=3)
    if not config.mask_decoder.high_resolution:
        scores, logits = module(points, labels[None], *maps)
    else:
        scores, logits, _ = module(points[:, :1], labels[None, :1], torch.zeros(1, 0, 4), *maps)
        assert_same(scores[0, 0], expected.scores[:3])
        boxes = torch.tensor(np.array([[b.box_xyxy for b in BOXES]])) * scale(config).repeat(2)
        nothing = torch.zeros(1, 1, 0, 2), torch.zeros(1, 2, 0, dtype=torch.long)
        scores, logits, presence = module(*nothing, boxes, *maps)
        assert presence.shape == (1, 2, 1)
        expected = predictor.predict(IMAGE, BOXES, candidates=3)
    assert_same(scores.flatten(), expected.scores)
    assert_same(logits[0].flatten(0, 1), expected.logits)


@torch.no_grad()
def test_transformers_fills_up_with_minus_ten(predictor: ImagePredictor) -> None:
    module = LAYOUTS["transformers"].decoder(predictor.network).module
    maps, config = maps_of(predictor, "transformers"), predictor.network.config
    points, labels = tensors_of(CLICKS[:1])
    points = (points * scale(config))[None]
    boxes = [torch.zeros(1, 0, 4)] if config.mask_decoder.high_resolution else []
    labels = torch.cat([labels, torch.full((1, 1), -10)], 1)[None]
    points = torch.cat([points, torch.full((1, 1, 1, 2), 50.0)], 2)
    scores = module(points, labels, *boxes, *maps)[0]
    assert_same(scores.flatten(), predictor.predict(IMAGE, CLICKS[:1], candidates=3).scores)


@torch.no_grad()
def test_samexporter(predictor: ImagePredictor) -> None:
    module = LAYOUTS["samexporter"].decoder(predictor.network).module
    maps, config = maps_of(predictor, "samexporter"), predictor.network.config
    points, labels = tensors_of(CLICKS)
    prompts = points * scale(config), labels.float()
    masks, no_mask = torch.zeros(2, 1, 32, 32), torch.zeros(1)
    expected = predictor.predict(IMAGE, CLICKS, candidates=3)
    if config.mask_decoder.high_resolution:
        fine, finer, embedding = maps
        logits, scores = module(embedding, fine, finer, *prompts, masks, no_mask)
        assert_same(logits.flatten(0, 1), expected.logits.clip(-32, 32))
    else:
        padded = torch.cat([prompts[0], torch.zeros(2, 1, 2)], 1)
        labels = torch.cat([prompts[1], torch.full((2, 1), -1.0)], 1)
        size = torch.tensor([96.0, 128.0])
        large, scores, logits = module(*maps, padded, labels, masks, no_mask, size)
        assert_same(logits.flatten(0, 1), expected.logits)
        assert large.shape == (2, 3, 96, 128)
        agree = (large.flatten(0, 1).numpy() > 0) == expected.masks
        assert agree.mean() > 0.99  # resampled once, not twice
    assert_same(scores.flatten(), expected.scores)


# What the files of onnx-community declare ("?": any number). Read in huggingface/transformers.js at
# 93a8f016, models/sam/modeling_sam.js and models/sam2/modeling_sam2.js; the axes of prompts for
# SAM 2 also in the published decoder of its kind. Ours take one image at a time.
DECLARED = {
    "sam": {
        "pixel_values": ("float32", (1, 3, 1024, 1024)),
        "image_embeddings": ("float32", (1, 256, 64, 64)),
        "image_positional_embeddings": ("float32", (1, 256, 64, 64)),
        "input_points": ("float32", (1, "?", "?", 2)),
        "input_labels": ("int64", (1, "?", "?")),
    },
    "sam2": {
        "pixel_values": ("float32", (1, 3, 1024, 1024)),
        "image_embeddings.0": ("float32", (1, 32, 256, 256)),
        "image_embeddings.1": ("float32", (1, 64, 128, 128)),
        "image_embeddings.2": ("float32", (1, 256, 64, 64)),
        "input_points": ("float32", (1, 1, "?", 2)),
        "input_labels": ("int64", (1, "?", "?")),
        "input_boxes": ("float32", (1, "?", 4)),
    },
}
OUTPUTS = {
    "sam": ("iou_scores", "pred_masks"),
    "sam2": ("iou_scores", "pred_masks", "object_score_logits"),
}


@pytest.mark.parametrize("family", DECLARED)
def test_transformers_declares_what_onnx_community_does(family: str) -> None:
    with torch.device("meta"):
        network = build(sam_vit("b") if family == "sam" else sam2("tiny"))
    layout = LAYOUTS["transformers"]
    encoder, decoder = layout.encoder(network), layout.decoder(network)
    found = {
        name: (
            str(example.dtype).removeprefix("torch."),
            tuple(
                "?" if axis in part.axes.get(name, {}) else length
                for axis, length in enumerate(example.shape)
            ),
        )
        for part in (encoder, decoder)
        for name, example in part.inputs.items()
    }
    assert found == DECLARED[family]
    assert decoder.outputs == OUTPUTS[family]
    assert set(encoder.outputs) == {name for name in found if name.startswith("image_")}
    assert (encoder.name, decoder.name) == (
        "onnx/vision_encoder",
        "onnx/prompt_encoder_mask_decoder",
    )


def test_configs_of_transformers_js() -> None:
    """What its AutoProcessor and models ask for, and transformers' own processors too."""
    configs = LAYOUTS["transformers"].configs(make(tiny_sam2()))
    assert configs["config.json"] == {
        "model_type": "sam2",
        "architectures": ["Sam2Model"],
        "vision_config": {"num_feature_levels": 3},
    }
    configs = LAYOUTS["transformers"].configs(make(tiny_sam()))
    assert configs["config.json"] == {"model_type": "sam", "architectures": ["SamModel"]}
    processor = SamImageProcessor(**configs["preprocessor_config.json"])
    found = processor(IMAGE, return_tensors="pt")
    expected = LAYOUTS["transformers"].pixels(make(tiny_sam()), IMAGE)
    assert found["reshaped_input_sizes"].tolist() == [[96, 128]]
    torch.testing.assert_close(found["pixel_values"], expected, rtol=0, atol=0.02)


def test_files_for_transformers_js(tmp_path: Path) -> None:
    """Names and axes are those of onnx-community's SAM 2, with the sizes of pico."""
    predictor = samkit.load("pico", device="cpu", dtype="float32")
    folder = tmp_path / "pico"
    samkit.export(predictor, folder, layout="transformers")
    encoder, decoder = (
        onnxruntime.InferenceSession(folder / "onnx" / f"{name}.onnx")
        for name in ("vision_encoder", "prompt_encoder_mask_decoder")
    )
    maps = {"image_embeddings.0": (16, 80, 104), "image_embeddings.1": (32, 40, 52)}
    maps["image_embeddings.2"] = (128, 20, 26)
    assert {x.name: tuple(x.shape) for x in encoder.get_inputs()} == {
        "pixel_values": (1, 3, 320, 416)
    }
    assert {x.name: tuple(x.shape[1:]) for x in encoder.get_outputs()} == maps
    inputs = {x.name: x for x in decoder.get_inputs()}
    assert inputs.keys() == {"input_points", "input_labels", "input_boxes", *maps}
    assert inputs["input_labels"].type == "tensor(int64)"
    assert [x.name for x in decoder.get_outputs()] == [
        "iou_scores",
        "pred_masks",
        "object_score_logits",
    ]
    # As transformers.js does where only boxes are given.
    pixels = LAYOUTS["transformers"].pixels(predictor.network, IMAGE).numpy()
    levels = dict(zip(maps, encoder.run(list(maps), {"pixel_values": pixels}), strict=True))
    boxes = np.array([[box.box_xyxy for box in BOXES]]) * np.tile([416 / 128, 320 / 96], 2)
    found = decoder.run(
        None,
        {
            "input_points": np.zeros((1, 1, 0, 2), np.float32),
            "input_labels": np.zeros((1, 2, 0), np.int64),
            "input_boxes": boxes.astype(np.float32),
            **levels,
        },
    )
    expected = predictor.predict(IMAGE, BOXES, candidates=3)
    np.testing.assert_allclose(found[0].flatten(), expected.scores, atol=1e-4)
    about = json.loads((folder / "samkit.json").read_text())
    assert about["parity"]["images"]["masks"] == 36  # 2 photographs, 2 kinds of 3 prompts, 3 each
    size = json.loads((folder / "preprocessor_config.json").read_text())["size"]
    assert size == {"height": 320, "width": 416}
    assert {*about["files"]} >= {"config.json", "preprocessor_config.json"}
