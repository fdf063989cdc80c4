"""Masks drawn on pictures."""

import cv2
import numpy as np
import numpy.typing as npt

from samkit.geometry import mask_boxes
from samkit.masks.fields import Fields
from samkit.masks.storage import Storage

Colour = tuple[int, int, int]
Picture = npt.NDArray[np.uint8]

# Okabe and Ito's colours, made to be told apart with any colour vision, without black. Blue comes
# first because few things in photographs are blue.
_BASE: tuple[Colour, ...] = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (240, 228, 66),
    (213, 94, 0),
)
_SHADES = ((0, 0.0), (255, 0.45), (0, 0.4))  # (towards black or white, how far)


def colour_of(object_id: int) -> Colour:
    """Return the RGB colour of an object: always the same one, 21 before they repeat."""
    shade, base = divmod(object_id % (len(_BASE) * len(_SHADES)), len(_BASE))
    towards, part = _SHADES[shade]
    red, green, blue = (round(value + (towards - value) * part) for value in _BASE[base])
    return red, green, blue


def painting_order(scores: npt.NDArray[np.float32]) -> list[int]:
    """Indices from the bottom to the top: the best score on top, of equals the first."""
    order: list[int] = np.argsort(-scores, kind="stable")[::-1].tolist()
    return order


def draw(
    picture: Picture,
    masks: Storage,
    fields: Fields,
    *,
    alpha: float,
    outline: bool,
    boxes: bool,
    labels: bool,
) -> None:
    """Draw masks into a picture (H, W, 3) of their size in place; see `Masks.overlay`."""
    order, ids, scores = painting_order(fields.scores), fields.object_ids, fields.scores
    for i in order:
        _paint(picture, masks[i], colour_of(int(ids[i])), alpha, outline)
    if not (boxes or labels):
        return
    frames = fields.boxes_of(masks)
    for i in order:
        if (frames[i, 2:] <= frames[i, :2]).any():
            continue
        colour = colour_of(int(ids[i]))
        if boxes:
            draw_box(picture, frames[i], colour)
        if labels:
            name = ids[i] if fields.names is None else fields.names[i]
            draw_label(picture, frames[i], f"{name}: {scores[i]:.2f}", colour)


def _paint(
    picture: Picture, mask: npt.NDArray[np.bool_], colour: Colour, alpha: float, outline: bool
) -> None:
    width = _line_width(picture)
    window = _window(mask, width)
    part, inside = picture[window], mask[window]
    if part.size == 0:
        return
    levels = np.arange(256)[:, None] * (1 - alpha) + np.array(colour) * alpha
    blended = cv2.LUT(part, np.rint(levels).astype(np.uint8)[None])
    cv2.copyTo(blended, inside.view(np.uint8), part)
    if outline:
        part[_rim(inside, width)] = colour


def draw_box(picture: Picture, box: npt.NDArray[np.float32], colour: Colour) -> None:
    """Draw the frame of a box xyxy (far edge exclusive) into a picture in place."""
    height, width = picture.shape[:2]
    limits = (2 * width, 2 * height) * 2  # OpenCV draws with 16-bit coordinates
    x0, y0, x1, y1 = (int(value) for value in np.rint(np.clip(box, np.negative(limits), limits)))
    corner = (max(x1 - 1, x0), max(y1 - 1, y0))
    cv2.rectangle(picture, (x0, y0), corner, colour, _line_width(picture))


def draw_label(picture: Picture, box: npt.NDArray[np.float32], text: str, colour: Colour) -> None:
    """Write a text on a ground of the given colour at the top left of a box, in place."""
    height, width = picture.shape[:2]
    scale, thickness = max(0.4, max(height, width) / 1600), _line_width(picture)
    font = cv2.FONT_HERSHEY_SIMPLEX
    (text_width, text_height), below = cv2.getTextSize(text, font, scale, thickness)
    pad = thickness + 1
    x = int(np.clip(box[0], 0, max(0, width - text_width - 2 * pad)))
    y = int(np.clip(box[1], 0, max(0, height - text_height - below - 2 * pad)))
    far = (x + text_width + 2 * pad, y + text_height + below + 2 * pad)
    cv2.rectangle(picture, (x, y), far, colour, -1)
    dark_ground = np.dot(colour, (0.299, 0.587, 0.114)) < 128
    ink = (255, 255, 255) if dark_ground else (0, 0, 0)
    cv2.putText(
        picture, text, (x + pad, y + pad + text_height), font, scale, ink, thickness, cv2.LINE_AA
    )


def _line_width(picture: Picture) -> int:
    height, width = picture.shape[:2]
    line: int = max(1, round(max(height, width) / 500))
    return line


def _window(mask: npt.NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """The box of a mask with a margin (so that the rim sees the outside), cut to the image."""
    x0, y0, x1, y1 = mask_boxes(mask[None])[0].astype(int).tolist()
    if x0 == x1:
        return slice(0), slice(0)
    return slice(max(0, y0 - margin), y1 + margin), slice(max(0, x0 - margin), x1 + margin)


def _rim(mask: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.bool_]:
    """The outermost pixels of a mask; the border of the image is no rim."""
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    inner = cv2.erode(mask.view(np.uint8), kernel)
    rim: npt.NDArray[np.bool_] = mask & (inner == 0)
    return rim
