"""How much an input may ask for. Whoever reads a size asks here before memory is taken.

A file of a few kilobytes can declare a picture of many gigabytes. As that may be meant, each limit
can be raised for the whole process: by `set_limits`, or by an environment variable.

================  ==========================  ====================================================
limit             variable                    what is counted, and the default
================  ==========================  ====================================================
image_pixels      SAMKIT_MAX_IMAGE_PIXELS     height x width of one image; 2**29 (1.6 GB as RGB)
image_side        SAMKIT_MAX_IMAGE_SIDE       its height and its width; 2**20
mask_pixels       SAMKIT_MAX_MASK_PIXELS      masks x height x width that a file holds as pixels;
                                              2**32 (4 GiB)
header_bytes      SAMKIT_MAX_HEADER_BYTES     what describes the tensors of a weight file, unpacked;
                                              2**26 (64 MiB)
download_bytes    SAMKIT_MAX_DOWNLOAD_BYTES   one downloaded file; 2**34 (16 GiB)
nesting           SAMKIT_MAX_NESTING          lists and objects within one another in JSON; 64
================  ==========================  ====================================================

Limits of Pillow and torch are neither asked nor changed.
"""

import os
from dataclasses import asdict, dataclass, replace

from samkit.errors import ImageError, InputError, SamkitError, shown

__all__ = ["Limits", "check_image_size", "check_mask_size", "limits", "set_limits"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Values of all limits; see the module."""

    image_pixels: int = 2**29
    image_side: int = 2**20
    mask_pixels: int = 2**32
    header_bytes: int = 2**26
    download_bytes: int = 2**34
    nesting: int = 64


_set: dict[str, int] = {}


def set_limits(
    *,
    image_pixels: int | None = None,
    image_side: int | None = None,
    mask_pixels: int | None = None,
    header_bytes: int | None = None,
    download_bytes: int | None = None,
    nesting: int | None = None,
) -> None:
    """Set limits for the whole process, before what the environment says; None changes nothing.

    They are described in `samkit.limits`.

    Raises:
        InputError: not a whole number from 1 on.

    >>> set_limits(image_pixels=2**30)
    >>> limits().image_pixels == 2**30
    True
    >>> set_limits(image_pixels=2**29)
    """
    given = {
        "image_pixels": image_pixels,
        "image_side": image_side,
        "mask_pixels": mask_pixels,
        "header_bytes": header_bytes,
        "download_bytes": download_bytes,
        "nesting": nesting,
    }
    wanted = {name: value for name, value in given.items() if value is not None}
    for name, value in wanted.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{name}: expected a whole number from 1 on, got {shown(value)}")
    _set.update(wanted)


def limits() -> Limits:
    """The limits that hold now.

    Raises:
        InputError: a variable of the environment is no whole number from 1 on.
    """
    in_environment = {}
    for name in asdict(Limits()):
        text = os.environ.get(_variable(name), "")
        if text:
            if not (text.isdecimal() and len(text) <= 19 and int(text)):
                raise InputError(
                    f"{_variable(name)}: expected a whole number from 1 on, got {text!r:.80}"
                )
            in_environment[name] = int(text)
    return replace(Limits(), **{**in_environment, **_set})


def check_image_size(
    height: int, width: int, what: str, error: type[SamkitError] = ImageError
) -> None:
    """Check that an image has a pixel, and is within the limits.

    Args:
        height, width: in pixels.
        what: the beginning of the message.
        error: raised otherwise.
    """
    now = limits()
    size = f"{_text(width)} x {_text(height)}"
    if height < 1 or width < 1:
        raise error(f"{what}: expected at least 1 x 1 pixels, got {size}")
    if height * width > now.image_pixels:
        raise error(
            f"{what}: expected at most {now.image_pixels} pixels, got {size} "
            f"({_raise('image_pixels')})"
        )
    if max(height, width) > now.image_side:
        raise error(
            f"{what}: expected sides of at most {now.image_side} pixels, got {size} "
            f"({_raise('image_side')})"
        )


def check_mask_size(
    count: int, height: int, width: int, what: str, error: type[SamkitError] = InputError
) -> None:
    """Check that so many masks of an image may be held as pixels; as `check_image_size`."""
    check_image_size(height, width, what, error)
    most = limits().mask_pixels
    if count * height * width > most:
        raise error(
            f"{what}: expected at most {most} pixels of masks, got {count} x {width} x {height} "
            f"({_raise('mask_pixels')})"
        )


def _variable(name: str) -> str:
    return f"SAMKIT_MAX_{name.upper()}"


def _text(number: int) -> str:
    """Python does not print numbers of thousands of digits."""
    return str(number) if abs(number) < 10**18 else "far more"


def _raise(name: str) -> str:
    return f"samkit.set_limits({name}=...) or {_variable(name)} raises this"
