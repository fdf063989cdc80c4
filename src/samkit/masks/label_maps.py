"""Pictures whose values are the numbers of objects."""

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from samkit.errors import ImageError
from samkit.media import open_picture

__all__ = ["LabelMap", "read_label_picture"]

_MODES = ("1", "L", "P", "I;16", "I;16B", "I")


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelMap:
    """A picture of one channel as it is stored: of a palette picture, the indices.

    Attributes:
        values: (H, W) bool, uint8, uint16 or int32.
        mode: of the picture, as Pillow calls it.
        format: of the file, as Pillow calls it.
        texts: of a PNG file, by key.
    """

    values: npt.NDArray[Any]
    mode: str
    format: str
    texts: dict[str, str]

    @property
    def is_8_bit(self) -> bool:
        return not self.mode.startswith("I")


def read_label_picture(source: Path | IO[bytes], name: str = "") -> LabelMap:
    """Read a picture of one channel of whole numbers, or of a palette.

    Args:
        source: a file, or a file object.
        name: what error messages call a file object.

    Raises:
        ImageError: missing, damaged, too large (`samkit.limits`), or of another kind.
    """
    # Palette pictures hold their labels as indices, which Pillow keeps and OpenCV would not.
    with open_picture(source, name) as image:
        if image.mode not in _MODES:
            raise ImageError(
                f"{name or source}: expected a mask of one channel of whole numbers, or a "
                f"palette, got mode {image.mode}"
            )
        return LabelMap(
            values=np.asarray(image),
            mode=image.mode,
            format=image.format or "",
            texts=dict(getattr(image, "text", {})),
        )
