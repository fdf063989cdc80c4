"""The result of every prediction, and its ways to files and to other libraries."""

from samkit.masks.formats import FORMATS, format_of
from samkit.masks.result import Masks
from samkit.rle import RLE

__all__ = ["FORMATS", "RLE", "Masks", "format_of"]
