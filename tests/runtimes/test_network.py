"""What lies between the parts of an export, with the parts themselves in the places of engines."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tiny import CONFIGS, make
from torch import Tensor, nn

from samkit import ImagePredictor, Prompt, VideoPredictor
from samkit.exporter.parts import Part, decoder, encoder, memory_parts
from samkit.nn import Network, Sam2
from samkit.runtimes import WEIGHTS, ExportedFolder, load_exported, network, weights_between
from samkit.weights.tensor_file import write_safetensors

IMAGE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
FRAMES = [np.roll(IMAGE, 4 * i, 1) for i in range(4)]


class PartAsEngine(nn.Module):
    """Takes and gives what the file of a part does."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.part, self.outputs = part, list(part.outputs)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        assert inputs.keys() == self.part.inputs.keys()
        for name, example in self.part.inputs.items():
            free = self.part.axes.get(name, {}).keys() | {self.part.shared.get(name)}
            assert inputs[name].dtype == example.dtype
            for axis, length in enumerate(example.shape):
                assert axis in free or inputs[name].shape[axis] == length
        found = self.part.module(*(inputs[name] for name in self.part.inputs))
        return dict(zip(self.outputs, found, strict=True))


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def pair(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[ImagePredictor, ImagePredictor]:
    """A network, and what an export of it would be."""
    expected = make(request.param)
    memory = memory_parts(expected) if isinstance(expected, Sam2) else []
    parts = {f"{p.name}.onnx": p for p in (encoder(expected), decoder(expected), *memory)}
    monkeypatch.setattr(network, "Engine", lambda path, *_: PartAsEngine(parts[path.name]))
    write_safetensors(tmp_path / WEIGHTS, weights_between(expected), {})
    folder = ExportedFolder(
        path=tmp_path,
        config=expected.config,
        weights="float32",
        checksums=dict.fromkeys([*parts, WEIGHTS], ""),
    )
    return predictor_of(load_exported(folder, "onnx")), predictor_of(expected)


def predictor_of(network: Network) -> ImagePredictor:
    return ImagePredictor(network, device="cpu", dtype="float32")


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_an_image(pair: tuple[ImagePredictor, ImagePredictor]) -> None:
    prompts = [Prompt.point(30, 40), Prompt.box(10, 20, 100, 80), Prompt.mask(IMAGE[..., 0] > 99)]
    found, expected = (p.predict(IMAGE, prompts, candidates=3) for p in pair)
    assert_same(found.logits, expected.logits)
    assert_same(found.scores, expected.scores)


@pytest.mark.parametrize("pair", [CONFIGS["pico"], CONFIGS["edge-tam"]], indirect=True)
def test_a_video(pair: tuple[ImagePredictor, ImagePredictor]) -> None:
    found, expected = (track(predictor) for predictor in pair)
    assert len(found) == len(FRAMES)
    for one, other in zip(found, expected, strict=True):
        assert (one == other).mean() > 0.999


def track(predictor: ImagePredictor) -> list[np.ndarray]:
    tracker = VideoPredictor(predictor, FRAMES)
    tracker.prompt(0, 1, Prompt.point(30, 40))
    tracker.prompt(0, 2, Prompt.box(10, 20, 100, 80))
    return [masks.masks for _, masks in tracker.track()]
