"""What docs/images.md says of limits is so."""

import re
from dataclasses import asdict
from pathlib import Path

from samkit.limits import Limits

PAGE = (Path(__file__).parents[2] / "docs" / "images.md").read_text(encoding="utf-8")


def test_limits_are_all_there_with_their_defaults() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\S+)", PAGE.split("## Limits")[1], re.M))
    shown = {
        "image_pixels": "2^29,",
        "image_side": "2^20",
        "mask_pixels": "2^32",
        "header_bytes": "64",
        "download_bytes": "16",
        "nesting": "64",
    }
    assert rows == shown
    assert asdict(Limits()) == {
        "image_pixels": 2**29,
        "image_side": 2**20,
        "mask_pixels": 2**32,
        "header_bytes": 64 * 2**20,
        "download_bytes": 16 * 2**30,
        "nesting": 64,
    }
