"""Arrays of any usual kind to (H, W, 3) uint8 RGB."""

import math
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from samkit.errors import ImageError, InputError, shown
from samkit.limits import check_image_size

__all__ = [
    "Scale",
    "checked_bands",
    "checked_scale",
    "is_tensor",
    "rgb_from_array",
    "rgb_from_tensor",
    "spread_of",
    "warn_of_range",
]

Scale: TypeAlias = Literal["full", "minmax", "percentile"] | tuple[float, float]
"""Which values become 0 and 255; see `rgb_from_array`."""

_CHANNELS = (1, 3, 4)
# What rounding in a resize or a colour conversion may add to the range 0..1.
_FLOAT_TOLERANCE = 1e-3
_PERCENTILES = (1.0, 99.0)
_SAMPLE = 2**20  # values that percentiles are taken of
_BAND = 2**18  # values that are scaled at a time
_LARGEST = float(np.finfo(np.float64).max)
_MINMAX = 'read_image(..., scale="minmax"), in a command --scale minmax'
# Of a type's range; less of it in use is worth a warning.
_DARK = 16


def rgb_from_array(
    array: npt.NDArray[Any],
    name: str = "array",
    *,
    bands: Sequence[int] | None = None,
    scale: Scale = "full",
    top: int | None = None,
    missing: float | None = None,
) -> npt.NDArray[np.uint8]:
    """Convert an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) to (H, W, 3) uint8 RGB.

    One channel is grey, a fourth channel is alpha and is dropped. With ``bands`` there may be any
    number of channels. Values by type, for ``scale="full"``:

    - bool: False is 0, True is 255;
    - uint8: as they are;
    - uint16: 0..65535, divided by 257 and rounded;
    - other integers: have to lie in 0..255;
    - floats: have to lie in 0..1, multiplied by 255 and rounded. Up to 0.001 outside is rounding
      and is clipped; anything else (NaN, infinite, 0..255) is an error and is never guessed at.

    A warning gives the range of integers that use less than a sixteenth of what they may: such an
    image is nearly of one shade to a network. Arrays of uint8 are not warned of.

    Any other ``scale`` takes all numbers; what is NaN becomes 0, and what lies outside of the range
    is clipped. What a masked array masks becomes 0, and does not count for the range.

    Args:
        array: any strides and byte order, not changed.
        name: what error messages call the array.
        bands: one channel (grey) or three (red, green, blue), by number from 0.
        scale: "minmax": from the smallest to the largest finite value of the chosen channels;
            "percentile": from the 1st to the 99th percentile (of about a million of the values),
            or where these are the same, as of a few bright spots, as "minmax"; or the two values
            (low, high) that become 0 and 255.
        top: the largest value of unsigned integers that do not use all of their type.
        missing: a value that stands for none; it becomes 0 and does not count for the range.

    Returns:
        A new C-contiguous array that shares no memory with ``array``.

    Raises:
        ImageError: another shape, an empty image or one larger than `samkit.limits` allows, no such
            channel, or values outside the range of their type.
    """
    # As a plain array, because a matrix would stay of two axes.
    array = np.asarray(_unmasked(array, scale) if isinstance(array, np.ma.MaskedArray) else array)
    _check_shape(array, name, bands)
    if array.ndim == 3:
        if bands is not None:
            array = array[:, :, list(bands)]
        array = array[:, :, 0] if array.shape[2] == 1 else array[:, :, :3]
    grey_or_rgb = _to_uint8(array, name, scale, top, missing)
    if grey_or_rgb is not array and grey_or_rgb.ndim == 3 and grey_or_rgb.flags.c_contiguous:
        return grey_or_rgb
    rgb = np.empty((*grey_or_rgb.shape[:2], 3), np.uint8)
    rgb[...] = grey_or_rgb[:, :, None] if grey_or_rgb.ndim == 2 else grey_or_rgb
    return rgb


def rgb_from_tensor(
    tensor: Any, *, bands: Sequence[int] | None = None, scale: Scale = "full"
) -> npt.NDArray[np.uint8]:
    """Convert a torch tensor (3, H, W), (H, W, 3) or (H, W) to (H, W, 3) uint8 RGB.

    One or four channels are accepted in place of three, with ``bands`` any number. When both the
    first and the last axis could be the channels, the first one is taken, as is usual in torch.
    Values as in `rgb_from_array`.

    Raises:
        ImageError: as `rgb_from_array`, or a tensor that has no values to read.
    """
    try:
        dense = tensor.detach().cpu()
        if dense.is_floating_point():
            dense = dense.float()  # numpy has no bfloat16
        array: npt.NDArray[Any] = dense.numpy()
    except (NotImplementedError, RuntimeError, TypeError) as error:
        raise ImageError(f"cannot read the values of the tensor: {error}") from error
    if array.ndim == 3 and (bands is not None or array.shape[0] in _CHANNELS):
        array = array.transpose(1, 2, 0)
    return rgb_from_array(array, "tensor", bands=bands, scale=scale)


def warn_of_range(low: int, high: int, top: int, name: str) -> None:
    """Warn of an image that uses less than a sixteenth of the values 0 to ``top``."""
    if 0 < high - low < top / _DARK:
        warnings.warn(
            f"{name}: its values are {low} to {high}, of 0 to {top}: nearly one shade to a "
            'network. Stretch them: read_image(..., scale="percentile"), in a command '
            "--scale percentile",
            stacklevel=_outside(),
        )


def spread_of(
    parts: Iterable[npt.NDArray[Any]], count: int, scale: Scale, name: str
) -> tuple[float, float]:
    """The values that become 0 and 255 in an image that comes in parts.

    Args:
        parts: valid values (n, channels).
        count: about how many values there are in all.
        scale: "minmax" or "percentile", as in `rgb_from_array`.
        name: what error messages call the image.

    Raises:
        ImageError: no value is finite.
    """
    low, high, sample = math.inf, -math.inf, []
    for part in parts:
        values = part[np.isfinite(part)]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
            step = max(1, count // _SAMPLE)
            while math.gcd(step, part.shape[1]) > 1:
                step += 1
            sample.append(values[::step].copy())
    if not sample:
        raise ImageError(_no_value(name))
    if scale == "percentile":
        one, most = np.percentile(np.concatenate(sample), _PERCENTILES)
        if one < most:
            return float(one), float(most)
    return low, high


def checked_scale(scale: object) -> Scale:
    """A scale, checked.

    Raises:
        InputError: none of the names, and no two finite numbers in order.
    """
    if isinstance(scale, str) and scale in ("full", "minmax", "percentile"):
        return scale  # type: ignore[return-value]
    if isinstance(scale, (tuple, list)) and len(scale) == 2:
        low, high = map(_number, scale)
        if -_LARGEST <= low < high <= _LARGEST:
            return low, high
    raise InputError(
        'scale: expected "full", "minmax", "percentile" or (low, high) with low below high, '
        f"got {shown(scale)}"
    )


def checked_bands(bands: object) -> tuple[int, ...] | None:
    """Numbers of bands, checked.

    Raises:
        InputError: not one or three whole numbers from 0 on.
    """
    if bands is None:
        return None
    if isinstance(bands, (int, np.integer)):
        bands = (bands,)
    is_row = isinstance(bands, (tuple, list, range)) or getattr(bands, "ndim", 0) == 1
    numbers: tuple[Any, ...] = tuple(bands) if is_row else ()  # type: ignore[arg-type]
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in numbers)
    if len(numbers) not in (1, 3) or not whole or min(numbers) < 0:
        raise InputError(f"bands: expected one or three numbers from 0 on, got {shown(bands)}")
    return tuple(map(int, numbers))


def _number(value: object) -> float:
    """A float, NaN of what is no number or too large for one."""
    is_number = isinstance(value, (int, float, np.integer, np.floating))
    try:
        return float(value) if is_number else math.nan  # type: ignore[arg-type]
    except OverflowError:
        return math.nan


def is_tensor(value: object) -> TypeGuard[Any]:
    """Tell whether a value is a torch tensor, without importing torch."""
    tensor_type = getattr(sys.modules.get("torch"), "Tensor", None)
    return tensor_type is not None and isinstance(value, tensor_type)


def _check_shape(array: npt.NDArray[Any], name: str, bands: Sequence[int] | None) -> None:
    shape = array.shape
    if array.size == 0:
        raise ImageError(f"expected an image of at least 1 x 1 pixels, got {name} {shape}")
    if array.ndim >= 2:  # an array that was broadcast takes no memory itself
        check_image_size(shape[0], shape[1], name)
    if bands is not None:
        if array.ndim not in (2, 3):
            raise ImageError(f"expected an image (H, W, channels), got {name} {shape}")
        count = 1 if array.ndim == 2 else shape[2]
        if max(bands) >= count:
            raise ImageError(
                f"bands: expected numbers below {count}, got {shown(tuple(bands))} of {name}"
            )
        return
    expected = "expected an image (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
    hint = ""
    if array.ndim == 4:
        hint = ": pass the images one by one"
    elif array.ndim == 3 and shape[0] in _CHANNELS:
        hint = ", which has its channels first: use array.transpose(1, 2, 0)"
    elif array.ndim == 3:
        hint = (
            ": choose one or three channels, which come last, with "
            "read_image(..., bands=(0, 1, 2)); or give one page of a stack, array[0]"
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in _CHANNELS):
        raise ImageError(f"{expected}, got {name} {shape}{hint}")


def _unmasked(array: Any, scale: Scale) -> npt.NDArray[Any]:
    """A masked array with 0, or where the range is looked for NaN, in place of what is masked."""
    kind = array.dtype.kind
    if kind == "b" or (kind in "iuf" and scale == "full"):
        return array.filled(0)  # type: ignore[no-any-return]
    if kind in "iuf":
        values = array.astype(np.float64) if kind in "iu" else array
        return values.filled(np.nan)  # type: ignore[no-any-return]
    return array  # type: ignore[no-any-return]


def _to_uint8(
    array: npt.NDArray[Any], name: str, scale: Scale, top: int | None, missing: float | None
) -> npt.NDArray[np.uint8]:
    """Values of a non-empty array to 0..255, the shape as it was."""
    dtype = array.dtype.newbyteorder("=")
    if dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if dtype.kind not in "iuf":  # to numpy, spans of time are integers too
        raise ImageError(f"expected {name} of bool, integers or floats, got {dtype}")
    if scale != "full":
        return _scaled(array, *_range(array, name, scale, missing), missing)
    if dtype == np.uint8 and top is None:
        return array
    if missing is not None:
        array = np.where(array == missing, dtype.type(0), array)
    low, high = array.min(), array.max()
    if np.issubdtype(dtype, np.integer):
        if top is None:
            top = 65535 if dtype == np.uint16 else 255
        if low < 0 or high > top:
            raise ImageError(
                f"expected {name} of {dtype} with values 0..{top}, got {low}..{high}: "
                f"scale it ({_MINMAX}), or use uint16 for 0..65535"
            )
        warn_of_range(int(low), int(high), top, name)
        if top == 255:
            return array.astype(np.uint8, copy=False)
        if top == 65535:
            return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return _scaled(array, 0, top, None)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(
            f"expected {name} of finite values, got NaN or infinity, which other scales take "
            f"({_MINMAX})"
        )
    if low < -_FLOAT_TOLERANCE or high > 1 + _FLOAT_TOLERANCE:
        raise ImageError(
            f"expected {name} of {dtype} with values 0..1, got {low:g}..{high:g}: "
            f"scale it ({_MINMAX}), or use uint8 for 0..255"
        )
    return _scaled(array, 0, 1, None)


def _range(
    array: npt.NDArray[Any], name: str, scale: Scale, missing: float | None
) -> tuple[float, float]:
    """The values that become 0 and 255."""
    if isinstance(scale, tuple):
        return scale
    if scale == "percentile":
        step = -(-array.size // _SAMPLE)
        while step > 1 and math.gcd(step, array[0].size) > 1:  # in step with columns or channels
            step += 1
        sample = array.reshape(-1)[::step] if step > 1 else array
        low, high = _spread(sample, missing)
        if low < high:
            return low, high
    values = _valid(array, missing)
    if values.size == 0:
        raise ImageError(_no_value(name))
    return float(values.min()), float(values.max())


def _spread(array: npt.NDArray[Any], missing: float | None) -> tuple[float, float]:
    """Percentiles of the valid values; twice the same where there are none."""
    values = _valid(array, missing)
    if values.size == 0:
        return 0.0, 0.0
    low, high = np.percentile(values, _PERCENTILES)
    return float(low), float(high)


def _valid(array: npt.NDArray[Any], missing: float | None) -> npt.NDArray[Any]:
    """The finite values that do not stand for none."""
    valid = np.isfinite(array)
    if missing is not None:
        valid &= array != missing
    return array if valid.all() else array[valid]


def _no_value(name: str) -> str:
    return f"{name}: expected some finite value to scale by, got none"


def _scaled(
    array: npt.NDArray[Any], low: float, high: float, missing: float | None
) -> npt.NDArray[np.uint8]:
    """Values from low to high to 0..255, a few rows at a time, as each is held in 64 bits."""
    result = np.zeros(array.shape, np.uint8)
    if low == high:
        return result
    unit = 1.0 if math.isfinite(high - low) else 0.25  # float64 has no such difference
    low, high = low * unit, high * unit
    rows = max(1, _BAND // (array[0].size or 1))
    with np.errstate(all="ignore"):  # of ranges that float64 has no difference or quotient for
        for top in range(0, len(array), rows):
            part = array[top : top + rows]
            values = (np.clip(part.astype(np.float64) * unit, low, high) - low) / (high - low) * 255
            without = ~np.isfinite(values)
            if missing is not None:
                without |= part == missing
            values[without] = 0
            result[top : top + rows] = np.rint(values)
    return result


def _outside() -> int:
    """How many callers up the first one outside of samkit is, for a warning."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("samkit"):
        level, frame = level + 1, frame.f_back
    return level
