"""The image and its crops (2304.02643, appendix B)."""

import math
from dataclasses import dataclass

__all__ = ["Crop", "crops_of"]


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A part of an image.

    Attributes:
        layer: 0 for the whole image; layer n has 4^n crops.
        box: xyxy in pixels, far edges exclusive.
    """

    layer: int
    box: tuple[int, int, int, int]

    @property
    def area(self) -> int:
        """Pixels."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * (y1 - y0)


def crops_of(image_size: tuple[int, int], layers: int, overlap_ratio: float) -> list[Crop]:
    """The whole image and its crops, layer by layer, column by column.

    Crops of a layer are equal in size, but for the last ones, which end with the image. In an
    image of few pixels crops without a pixel are left out.
    """
    height, width = image_size
    crops = [Crop(layer=0, box=(0, 0, width, height))]
    for layer in range(1, layers + 1):
        side = 2**layer
        overlap = int(overlap_ratio * min(height, width) * 2 / side)
        w = math.ceil((overlap * (side - 1) + width) / side)
        h = math.ceil((overlap * (side - 1) + height) / side)
        for i in range(side):
            for j in range(side):
                x, y = (w - overlap) * i, (h - overlap) * j
                box = (x, y, min(x + w, width), min(y + h, height))
                if box[0] < box[2] and box[1] < box[3]:
                    crops.append(Crop(layer=layer, box=box))
    return crops
