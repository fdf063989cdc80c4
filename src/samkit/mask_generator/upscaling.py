"""Low-resolution logits to run lengths of the image, computed only where a mask can be."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from samkit import rle
from samkit.transforms import ImageTransform

__all__ = ["FullMask", "Upscaler"]


@dataclass(frozen=True, kw_only=True)
class FullMask:
    """One mask at the size of the image.

    Attributes:
        counts: compressed run lengths, as `samkit.rle` holds them.
        box: xyxy of the first and last pixels, far ones inclusive; the crop's corner if
            empty.
        stability: IoU of the mask cut above and below its threshold; NaN if both are empty.
    """

    counts: bytes
    box: tuple[int, int, int, int]
    stability: float


class Upscaler:
    """Scales the logits of one crop up into its image, mask by mask.

    Pixels are those of `ImageTransform.masks_to_image`, computed only in the part of the image
    that can be above the lowest threshold: bilinear values lie between their neighbours'.

    Args:
        transform: how the crop lies in the network's input.
        crop: xyxy of the crop in the image.
        image_size: (height, width) of the image.
        threshold, offset: where logits are cut, and how far off for stability.
    """

    def __init__(
        self,
        transform: ImageTransform,
        crop: tuple[int, int, int, int],
        image_size: tuple[int, int],
        *,
        threshold: float,
        offset: float,
    ) -> None:
        self.transform = transform
        self.crop = crop
        self.image_size = image_size
        self.threshold, self.offset = threshold, offset
        height, width = transform.image_size
        keep_aspect = transform.keep_aspect
        rows, columns = transform.prompt_content_size if keep_aspect else transform.mask_size
        self._rows = _taps(rows, height)
        self._columns = _taps(columns, width)

    def __call__(self, logits: Tensor) -> FullMask:
        """Logits (h, w) -> the mask."""
        source = self._source(logits)
        region = self._region(source)
        if region is None:
            return self._empty(float("nan"))
        (top, bottom), (left, right) = region
        low, high, weight = (v[top:bottom].to(source.device) for v in self._rows)
        rows = torch.lerp(source[low], source[high], weight[:, None])
        low, high, weight = (v[left:right].to(source.device) for v in self._columns)
        # Columns first in memory, as run lengths want them.
        rows = rows.t().contiguous()
        full = torch.lerp(rows[low], rows[high], weight[:, None])  # (columns, rows)
        above = torch.count_nonzero(full > self.threshold + self.offset)
        below = torch.count_nonzero(full > self.threshold - self.offset)
        stability = float(above) / float(below) if below else float("nan")
        mask = (full > self.threshold).cpu().numpy()
        return self._full_mask(mask, left + self.crop[0], top + self.crop[1], stability)

    @property
    def enlarges(self) -> bool:
        """Whether the crop has more rows and columns than there are logits."""
        height, width = self.transform.image_size
        rows, columns = self.transform.mask_size
        return height >= rows and width >= columns

    def cells(self, logits: Tensor) -> Tensor:
        """(N,): how many logits (N, h, w) of the crop are above the threshold."""
        return (self._content(logits) > self.threshold).sum((1, 2))

    def low_resolution_stability(self, logits: Tensor) -> Tensor:
        """Stability (N,) of logits (N, h, w) before scaling; 1 where nothing is above."""
        logits = self._content(logits)
        above = (logits > self.threshold + self.offset).sum((1, 2))
        below = (logits > self.threshold - self.offset).sum((1, 2))
        return torch.where(below > 0, above.float() / below.clamp(min=1), 1.0)

    def _content(self, logits: Tensor) -> Tensor:
        """Without padding."""
        if not self.transform.keep_aspect:
            return logits
        h, w = (
            -(-side * 4 // self.transform.stride) for side in self.transform.prompt_content_size
        )
        return logits[:, :h, :w]

    def _source(self, logits: Tensor) -> Tensor:
        """The logits that are scaled to the image; SAM's are first scaled to the prompt frame."""
        logits = logits.float()
        if not self.transform.keep_aspect:
            return logits
        h, w = self.transform.prompt_content_size
        size = self.transform.prompt_size
        return F.interpolate(logits[None, None], size, mode="bilinear")[0, 0, :h, :w]

    def _region(self, source: Tensor) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """Rows and columns of the crop that can be above the lowest threshold."""
        reached = source > min(self.threshold, self.threshold - self.offset)
        ranges = []
        for axis, taps in ((1, self._rows), (0, self._columns)):
            lines = torch.nonzero(reached.any(axis))[:, 0]
            if not len(lines):
                return None
            first, last = int(lines[0]), int(lines[-1])
            low, high, _ = taps
            start = int(torch.searchsorted(high, first))
            ranges.append((start, int(torch.searchsorted(low, last, right=True))))
        return ranges[0], ranges[1]

    def _full_mask(self, mask: npt.NDArray[np.bool_], x: int, y: int, stability: float) -> FullMask:
        """A mask (columns, rows) whose corner is at x, y of the image."""
        columns, rows = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(columns):
            return self._empty(stability)
        height = self.image_size[0]
        # Where a column's pixels change, from and to background at its ends.
        padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
        padded[:, 1:-1] = mask
        column, row = np.nonzero(np.diff(padded, axis=1))
        places = (column + x) * height + row + y
        # A run that goes on from the end of one column to the start of the next is one run.
        joined = np.flatnonzero(places[1:] == places[:-1])
        places = np.delete(places, np.concatenate([joined, joined + 1]))
        left, right = x + int(columns[0]), x + int(columns[-1])
        box = (left, y + int(rows[0]), right, y + int(rows[-1]))
        return FullMask(counts=self._counts(places), box=box, stability=stability)

    def _empty(self, stability: float) -> FullMask:
        x, y = self.crop[:2]
        return FullMask(counts=self._counts([]), box=(x, y, x, y), stability=stability)

    def _counts(self, changes: npt.ArrayLike) -> bytes:
        height, width = self.image_size
        places = np.concatenate([[0], np.asarray(changes, np.int64), [height * width]])
        runs = np.diff(places)
        if len(runs) > 1 and runs[-1] == 0:
            runs = runs[:-1]
        return rle.compress(runs, self.image_size)


def _taps(source: int, target: int) -> tuple[Tensor, Tensor, Tensor]:
    """Bilinear scaling of a line, pixel centres at halves: neighbours and weight of the second."""
    at = (torch.arange(target, dtype=torch.float64, device="cpu") + 0.5) * (source / target) - 0.5
    at = at.clamp(min=0)
    low = at.floor().long().clamp(max=source - 1)
    high = (low + 1).clamp(max=source - 1)
    return low, high, (at - low).float()
