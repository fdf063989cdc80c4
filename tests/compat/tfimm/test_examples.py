"""The examples of docs/coming-from-tfimm.md, typed as written, on a photograph."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samkit.compat import tfimm
from samkit.compat.tfimm import SegmentAnythingModel

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/coming-from-tfimm.md").read_text()


def test_examples(
    make: Callable[..., SegmentAnythingModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    def create_model(
        name: str,
        pretrained: bool = False,
        *,
        in_channels: int = 3,
        input_size: tuple[int, int] = (1024, 1024),
    ) -> SegmentAnythingModel:
        """A small network with random weights in place of the released one."""
        assert (name, pretrained) == ("sam_vit_b", True)
        assert input_size[0] % 512 == 0
        return make(in_channels=in_channels, input_size=(128, 128))

    monkeypatch.setattr(tfimm, "create_model", create_model)
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    exec(compile(blocks[0], "an image", "exec"), names)
    height, width = names["image"].shape[:2]
    assert names["masks"].shape == (2, 3, height, width)
    assert names["scores"].shape == (2, 3)
    assert names["logits"].shape == (2, 3, 32, 32)
    assert names["finer"].masks.shape == (3, height, width)

    exec(compile(blocks[1], "a batch", "exec"), names)
    assert names["masks"].shape == (2, 3, height, width)
    assert names["masks"].dtype == np.bool_
    # The batch gives what the predictor gives.
    predictor = names["predictor"]
    for i, point in enumerate(([290, 150], [290, 60])):
        alone = predictor([point], boxes=[[172, 18, 424, 285]])
        np.testing.assert_allclose(names["scores"][i], alone.scores, rtol=1e-4, atol=1e-5)
        assert (names["masks"][i] != alone.masks).mean() < 1e-3

    exec(compile(blocks[2], "sizes", "exec"), names)
    assert names["small"].cfg.in_channels == 1
    images = np.zeros((1, 80, 48, 3), np.float32)
    assert names["any_size"]({"images": images}).masks.shape == (1, 1, 80, 48)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert "://" in target or (ROOT / "docs" / target).exists(), target
