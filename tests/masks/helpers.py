"""Files of masks: what is written by hand, and what came back."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from samkit.masks import Masks


def labels(masks: Masks) -> np.ndarray:
    index = np.zeros(masks.image_size, int)
    for i in np.argsort(-masks.scores, kind="stable")[::-1]:
        index[masks.masks[i]] = i + 1
    return index


def assert_fields(left: Masks, right: Masks, *names: str) -> None:
    for name in names:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def write(path: Path, data: Any) -> None:
    text = data if isinstance(data, (str, bytes)) else json.dumps(data)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
