"""What the parity tests share: random weights, prompts for both sides, and the comparison."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from samkit.nn import PromptTensors, TokenLabel

TOLERANCE = 1e-4

CASES = (
    "point",
    "points",
    "box",
    "many boxes",
    "mask",
    "point and mask",
    "box and point",
    "box and mask",
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """The same prompts for transformers (keyword arguments) and for samkit."""

    theirs: dict[str, Tensor]
    ours: PromptTensors


@pytest.fixture(params=CASES)
def case_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_case() -> Callable[..., Case]:
    return _make_case


@pytest.fixture
def randomise() -> Callable[[nn.Module], None]:
    return _randomise


@pytest.fixture
def assert_close() -> Callable[..., None]:
    return _assert_close


def _make_case(name: str, *, size: int, family: str, stride: int = 16) -> Case:
    """Two prompts, ten if many, one with a mask; on an input of size x size pixels."""
    generator = torch.Generator().manual_seed(len(name))
    prompts = 1 if "mask" in name else 10 if "many" in name else 2
    theirs: dict[str, Any] = {}
    points = torch.zeros(prompts, 0, 2)
    labels = torch.zeros(prompts, 0, dtype=torch.long)
    if "point" in name:
        count = 3 if "points" in name else 1
        points = torch.rand(prompts, count, 2, generator=generator) * size
        labels = torch.tensor([1, 0, 1])[:count].expand(prompts, -1)
        theirs |= {"input_points": points[None], "input_labels": labels[None].int()}
    if "box" in name:
        low = torch.rand(prompts, 2, generator=generator) * size / 2
        corners = torch.stack([low, low + size / 3], 1)
        theirs["input_boxes"] = corners.flatten(1)[None]
        kinds = [TokenLabel.BOX_TOP_LEFT, TokenLabel.BOX_BOTTOM_RIGHT]
        points = torch.cat([points, corners], 1)
        labels = torch.cat([labels, torch.tensor(kinds).expand(prompts, -1)], 1)
    # SAM pads prompts without a box, if there are points at all; SAM 2 pads every prompt, and
    # transformers gives it a point that is none where there is nothing but a mask.
    padding = 0
    if family == "sam2":
        padding = 2 if name == "mask" else 1
    elif "box" not in name and name != "mask":
        padding = 1
    points = torch.cat([points, points.new_zeros(prompts, padding, 2)], 1)
    labels = torch.cat([labels, labels.new_full((prompts, padding), TokenLabel.NOT_A_POINT)], 1)
    masks = None
    if "mask" in name:
        side = size // stride * 4
        masks = torch.randn(1, 1, side, side, generator=generator) * 5
        theirs["input_masks"] = masks
    return Case(theirs=theirs, ours=PromptTensors(points=points, labels=labels, masks=masks))


def _randomise(model: nn.Module) -> None:
    """Give every parameter and buffer a value, so that no difference hides behind a zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "positional_embedding" in name or not tensor.is_floating_point():
                continue  # random already, and the copies have to stay equal; or a count
            fan_in = tensor[0].numel() if tensor.ndim > 1 else 25
            tensor.normal_(0, max(0.02, fan_in**-0.5), generator=generator)
            if "norm" in name and name.endswith("weight"):
                tensor.mul_(0.2).add_(1)
    if hasattr(model, "prompt_encoder"):
        shared = model.shared_image_embedding.positional_embedding
        model.prompt_encoder.shared_embedding.positional_embedding.data.copy_(shared.data)


def _assert_close(ours: Tensor, theirs: Tensor, what: str) -> float:
    """Equal up to 1e-4 of the largest value -> the difference, in the same unit."""
    assert ours.shape == theirs.shape, what
    scale = float(theirs.abs().max())
    assert scale > 0, f"{what} is all zeros: the test would prove nothing"
    difference = float((ours - theirs).abs().max()) / scale
    assert difference <= TOLERANCE, f"{what} differs by {difference:.2e} of its scale"
    return difference
