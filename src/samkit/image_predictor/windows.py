"""A window of an image, and prompts of the image as prompts of the window."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samkit.errors import PromptError
from samkit.geometry import Window, checked_window
from samkit.media.windows import WindowedImage
from samkit.prompts import Prompt

__all__ = ["prompts_in_window", "read_window"]


def read_window(
    image: Any, window: Sequence[int]
) -> tuple[NDArray[np.generic], Window, tuple[int, int]]:
    """The pixels of a window, the window as it was checked, and the size of the image (H, W).

    Args:
        image: what `samkit.read_image` takes, an open `WindowedImage`, or an array of any channels,
            which stay as they are.
        window: xyxy in whole pixels.

    Raises:
        ImageError, InputError: the image cannot be read, or the window is not inside of it.
    """
    if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] != 3:
        x0, y0, x1, y1 = inside = checked_window(window, (image.shape[0], image.shape[1]))
        return image[y0:y1, x0:x1], inside, (image.shape[0], image.shape[1])
    opened = nullcontext(image) if isinstance(image, WindowedImage) else WindowedImage(image)
    with opened as whole:
        inside = checked_window(window, whole.image_size)
        return whole.read(inside), inside, whole.image_size


def prompts_in_window(prompts: Sequence[Prompt], window: Window) -> list[Prompt]:
    """The same prompts in pixels of the window.

    Args:
        prompts: points and boxes in pixels of the image.
        window: xyxy.

    Raises:
        PromptError: a point or box is not inside of the window, or a prompt has a mask.
    """
    corner, far = np.array(window[:2], np.float32), np.array(window[2:], np.float32)
    moved = []
    for i, prompt in enumerate(prompts):
        if prompt.mask_input is not None:
            raise PromptError(
                f"prompt {i}: expected points and boxes with a window, got a mask, which covers "
                "all of the image that is looked at: read the window with read_image(..., window=) "
                "and predict on that"
            )
        box = prompt.box_xyxy
        corners = np.zeros((0, 2), np.float32) if box is None else box.reshape(2, 2)
        for xy in np.concatenate([prompt.point_coords, corners]):
            if (xy < corner).any() or (xy > far).any():
                raise PromptError(
                    f"prompt {i}: expected coordinates inside the window {window}, in pixels of "
                    f"the image, got x {xy[0]:g}, y {xy[1]:g}"
                )
        moved.append(
            replace(
                prompt,
                point_coords=prompt.point_coords - corner,
                box_xyxy=None if box is None else box - np.tile(corner, 2),
            )
        )
    return moved
