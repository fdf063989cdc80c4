"""Points, boxes and windows in the coordinates of a map, for `samkit predict`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from samkit.cli.parsing import FormatError, parse_numbers
from samkit.cli.streams import name_of
from samkit.cli.usage import usage_error

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from samkit.geometry import Window

__all__ = ["MapCoordinates"]


class MapCoordinates:
    """Coordinates of the map that an image is, and of a window of it, in pixels.

    Attributes:
        window: in pixels; None: the whole image.

    Args:
        image: a GeoTIFF.
        window: X0,Y0,X1,Y1 on the map, or None. The image has pixels there.

    Raises:
        typer.BadParameter: the window is no such text, or is beside the map.
        SamkitError: see `samkit.media.georeference.read_georeference`.
    """

    def __init__(self, image: Path, window: str | None) -> None:
        from samkit.media.georeference import read_georeference

        self._image, self._place = image, read_georeference(image)
        self._text = window
        self.window = None if window is None else self._window(window)

    def points(self, texts: Sequence[str]) -> list[str]:
        """X,Y or X,Y,LABEL on the map, in pixels; what is none stays as it is.

        Raises:
            typer.BadParameter: a point is not on the map, or not in the window.
        """
        moved = []
        for text in texts:
            try:
                x, y, *label = parse_numbers(text, (2, 3))
            except FormatError:
                moved.append(text)
                continue
            pixels = self._in_pixels([(x, y)])
            if not self._are_inside(pixels, self._whole):
                raise self._beside(text, "--point")
            self._check_window(text, pixels, "--point")
            moved.append(",".join(map(repr, [*pixels[0].tolist(), *label])))
        return moved

    def boxes(self, texts: Sequence[str]) -> list[str]:
        """X0,Y0,X1,Y1 on the map as the box around them in pixels; what is none stays as it is.

        Raises:
            typer.BadParameter: a box is beside the map, or not in the window.
        """
        moved = []
        for text in texts:
            try:
                box = self._box(text, "--box")
            except FormatError:
                moved.append(text)
                continue
            self._check_window(text, box, "--box")
            moved.append(",".join(map(repr, box.ravel().tolist())))
        return moved

    def _window(self, text: str) -> Window:
        try:
            (x0, y0), (x1, y1) = self._box(text, "--window").tolist()
        except FormatError:
            raise usage_error(f"expected numbers X0,Y0,X1,Y1, got {text!r}", "--window") from None
        _, _, width, height = self._whole
        return (
            math.floor(max(0, x0)),
            math.floor(max(0, y0)),
            math.ceil(min(width, x1)),
            math.ceil(min(height, y1)),
        )

    def _box(self, text: str, option: str) -> npt.NDArray[np.float64]:
        """X0,Y0,X1,Y1 on the map -> [[x0, y0], [x1, y1]] of the box around them in pixels."""
        import numpy as np

        x0, y0, x1, y1 = parse_numbers(text, (4,))
        if x0 == x1 or y0 == y1:
            raise usage_error(f"expected X0,Y0,X1,Y1 with an area, got {text}", option)
        corners = self._in_pixels([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        box = np.array([corners.min(0), corners.max(0)])
        # So, and not the other way round, because NaN is nowhere.
        if not ((box[1] > 0).all() and (box[0] < self._whole[2:]).all()):
            raise self._beside(text, option)
        return box

    def _in_pixels(self, points: Sequence[tuple[float, float]]) -> npt.NDArray[np.float64]:
        import numpy as np

        with np.errstate(all="ignore"):  # infinity is beside the map
            return self._place.to_pixels(np.array(points))

    @property
    def _whole(self) -> Window:
        height, width = self._place.image_size
        return 0, 0, width, height

    @staticmethod
    def _are_inside(pixels: npt.NDArray[np.float64], window: Window) -> bool:
        import numpy as np

        with np.errstate(all="ignore"):
            rounded = pixels.astype(np.float32)  # as prompts are kept: an edge is inside
        return bool((rounded >= window[:2]).all() and (rounded <= window[2:]).all())

    def _check_window(self, text: str, pixels: npt.NDArray[np.float64], option: str) -> None:
        if self.window is not None and not self._are_inside(pixels, self.window):
            raise usage_error(f"expected it inside --window {self._text}, got {text}", option)

    def _beside(self, text: str, option: str) -> Exception:
        (left, bottom), (right, top) = self._place.bounds.tolist()
        return usage_error(
            f"expected it on {name_of(self._image)}, x from {left:.12g} to {right:.12g} and y from "
            f"{bottom:.12g} to {top:.12g} in {self._place.crs_name}, got {text}",
            option,
        )
