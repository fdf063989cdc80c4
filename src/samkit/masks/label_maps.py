"""Pictures whose values are the numbers of objects."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from samkit.errors import ImageError
from samkit.files import open_file
from samkit.media import open_picture
from samkit.media.deep import deep_values
from samkit.media.tiff import TiffPages, is_tiff

__all__ = ["LabelMap", "read_label_picture"]

_MODES = ("1", "L", "P", "I;16", "I;16B", "I")
_LOSSY = ("JPEG", "MPO", "AVIF", "WEBP")
_MOST = 2**31 - 1  # larger numbers of objects are none


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

    @property
    def is_lossy(self) -> bool:
        """Whether its format may have changed values, so that they are no numbers of objects."""
        return self.format in _LOSSY


def read_label_picture(source: Path | IO[bytes], name: str = "") -> LabelMap:
    """Read a picture of one channel of whole numbers, or of a palette.

    Args:
        source: a file, or a file object.
        name: what error messages call a file object.

    Raises:
        ImageError: missing, damaged, too large (`samkit.limits`), of several pictures, or of
            another kind. A TIFF where white is zero is one: it does not say what an object is.
    """
    with ExitStack() as stack:
        if isinstance(source, Path):
            source, name = stack.enter_context(open_file(source, ImageError)), str(source)
        try:
            return _of_tiff(source, name) if is_tiff(source) else _of_picture(source, name)
        except OSError as error:
            raise ImageError(f"cannot read {name}: {error.strerror or error}") from error


def _of_picture(file: IO[bytes], name: str) -> LabelMap:
    file.seek(0)
    # Palette pictures hold their labels as indices, which Pillow keeps and OpenCV would not.
    with open_picture(file, name) as image:
        if image.mode not in _MODES:
            raise _unfit(name, f"mode {image.mode}")
        if (count := getattr(image, "n_frames", 1)) > 1:
            raise ImageError(f"{name}: expected one picture, got {count}")
        found = deep_values(image, file, f"cannot read {name}")  # not stretched to 8 or 16 bits
        return LabelMap(
            values=np.asarray(image) if found is None else found[0].reshape(image.size[::-1]),
            mode=image.mode,
            format=image.format or "",
            texts=dict(getattr(image, "text", {})),
        )


def _of_tiff(file: IO[bytes], name: str) -> LabelMap:
    with TiffPages(file, name) as tiff:
        if tiff.count > 1:
            raise ImageError(f"{name}: expected one picture, got {tiff.count} pages")
        values, is_palette = tiff.read_labels()
    if values.shape[2] != 1 or values.dtype.kind not in "biu":
        raise _unfit(name, f"{values.shape[2]} of {values.dtype}")
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > _MOST:
        raise ImageError(f"{name}: expected labels from 0 to {_MOST}, got {low} to {high}")
    is_8_bit = values.dtype.itemsize == 1
    if not is_8_bit and values.dtype != np.uint16:
        values = values.astype(np.int32)
    kind = "1" if values.dtype.kind == "b" else "L" if is_8_bit else "I"
    return LabelMap(
        values=values[:, :, 0],
        mode="P" if is_palette else kind,
        format="TIFF",
        texts={},
    )


def _unfit(name: str, got: str) -> ImageError:
    return ImageError(
        f"{name}: expected a mask of one channel of whole numbers, or a palette, got {got}"
    )
