"""Which objects prompts are about, and what a network says of them as a dict."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from samkit.compat.ultralytics.prompts import ObjectPrompts
from samkit.errors import InputError
from samkit.masks import Masks
from samkit.memory.arguments import checked_id
from samkit.nn.memory import ObjectPrediction
from samkit.prompts import Prompt

__all__ = ["as_dict", "ids_of", "presence", "together"]


def ids_of(obj_ids: Any, said: ObjectPrompts, update: bool) -> list[int]:
    """Ids of the objects that prompts are about; none where there are no prompts.

    Raises:
        InputError: prompts without ids, ids without prompts, or neither with `update_memory`.
    """
    listed = obj_ids is None or isinstance(obj_ids, (Sequence, np.ndarray, Tensor))
    each = [] if obj_ids is None else list(obj_ids) if listed else [obj_ids]
    each = [one.item() if isinstance(one, Tensor) else one for one in each]
    if bool(said) != bool(each):
        has, lacks = ("prompts", "obj_ids") if said else ("obj_ids", "prompts")
        raise InputError(f"{lacks}: expected one for each of the {has}, got none")
    if update and not each:
        raise InputError("update_memory: expected prompts and their obj_ids, got none")
    return [checked_id(one) for one in each]


def together(ids: Sequence[int], prompts: Sequence[Prompt]) -> dict[int, Prompt]:
    """What is said of each object; an id that comes twice has all that is said of it."""
    said: dict[int, Prompt] = {}
    for number, prompt in zip(ids, prompts, strict=True):
        said[number] = said[number] + prompt if number in said else prompt
    return said


def presence(masks: Masks) -> NDArray[np.float32]:
    """(N,): how probable it is that each object is there."""
    assert masks.presence is not None
    return np.array(masks.presence)


def as_dict(found: list[ObjectPrediction], input_size: tuple[int, int]) -> dict[str, Tensor]:
    """See `SAM2DynamicInteractivePredictor.track_step`."""
    logits = torch.cat([one.logits for one in found])[:, None]
    return {
        "pred_masks": logits,
        "pred_masks_high_res": F.interpolate(logits, input_size, mode="bilinear"),
        "obj_ptr": torch.cat([one.pointer for one in found]),
        "object_score_logits": torch.cat([one.object_score for one in found]),
    }
