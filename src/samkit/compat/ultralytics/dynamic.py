"""Objects that are prompted in some images, found in others."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from samkit.arguments import switch, whole_number
from samkit.compat.arrays import array_of
from samkit.compat.ultralytics.arrays import cpu_tensor
from samkit.compat.ultralytics.base import BasePredictor, EncodedImage
from samkit.compat.ultralytics.delivery import Callbacks
from samkit.compat.ultralytics.features import Features
from samkit.compat.ultralytics.prompts import PromptArrays
from samkit.compat.ultralytics.results import Results
from samkit.compat.ultralytics.settings import DEFAULT_CFG
from samkit.errors import InputError, shown
from samkit.image_predictor import ImagePredictor
from samkit.image_predictor.device import own_dtypes
from samkit.masks import Masks
from samkit.memory.arguments import checked_id, network_with_memory
from samkit.memory_predictor import MemoryPredictor
from samkit.memory_predictor.entries import Entry
from samkit.prompts import Prompt
from samkit.sizes import Sam2Config

__all__ = ["SAM2DynamicInteractivePredictor"]

_NO_OBJECT = (
    "no object is remembered: call with bboxes, points or masks, obj_ids and "
    "update_memory=True first"
)


class SAM2DynamicInteractivePredictor(BasePredictor):
    """Remembers objects prompted in some images with SAM 2 (2408.00714), and finds them in others.

        predictor = SAM2DynamicInteractivePredictor(overrides={"model": "sam2.1_t.pt"})
        predictor("one.jpg", bboxes=[[10, 20, 90, 80]], obj_ids=[7], update_memory=True)
        results = predictor("two.jpg")

    The class of a result, and its `boxes.id`, is the object's id; its score is the probability that
    the object is present. The predicted IoU is in `core.scores`.

    Args:
        cfg, overrides, _callbacks: as for `BasePredictor`.
        max_obj_num: how many objects are expected. There may be more.
        max_entries: how many images are remembered; beyond it the oldest goes. None for no limit.
    """

    default_model = "sam2.1_b.pt"
    kind = Sam2Config
    needs_memory = True
    _has_object_ids = True

    def __init__(
        self,
        cfg: Any = DEFAULT_CFG,
        overrides: Mapping[str, Any] | None = None,
        max_obj_num: int = 3,
        _callbacks: Callbacks | None = None,
        *,
        max_entries: int | None = None,
    ) -> None:
        super().__init__(cfg, overrides, _callbacks)
        self.max_obj_num = max_obj_num
        self.max_entries = max_entries
        self._memory: MemoryPredictor | None = None

    def _prepare(self, core: ImagePredictor) -> None:
        self._memory = MemoryPredictor(core, self.max_entries)

    @property
    def memory(self) -> MemoryPredictor:
        """samkit's own memory, which does the work."""
        if self._memory is None:
            self.setup_model()
        assert self._memory is not None
        return self._memory

    # What is remembered

    @property
    def memory_bank(self) -> list[Entry]:
        """The images that are remembered, the oldest first."""
        return [] if self._memory is None else list(self._memory.entries)

    @property
    def obj_id_to_idx(self) -> dict[int, int]:
        """Object id -> its index in results."""
        ids = () if self._memory is None else self._memory.object_ids
        return {obj_id: i for i, obj_id in enumerate(ids)}

    @property
    def obj_idx_to_id(self) -> dict[int, int]:
        """Index in results -> object id."""
        return {i: obj_id for obj_id, i in self.obj_id_to_idx.items()}

    @property
    def obj_idx_set(self) -> set[int]:
        """Indices of the objects that are remembered."""
        return set(self.obj_idx_to_id)

    def forget(self, obj_id: int) -> None:
        """Forget an object, as if it had never been prompted.

        Raises:
            InputError: there is no such object.
        """
        self.memory.forget(obj_id)

    # Prediction

    def __call__(
        self,
        source: Any = None,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        obj_ids: Any = None,
        update_memory: bool = False,
        stream: bool = False,
    ) -> list[Results] | Iterator[Results]:
        """Find all remembered objects in images, and remember those that are prompted.

        Points on an object that is remembered from other images correct the mask found by memory;
        further points in the same image add up.

        Args:
            source: as for `setup_source`; by default the image of `set_image`, else that source.
            bboxes, points, labels, masks: as for `Predictor`, of the objects `obj_ids`; with
                `obj_ids` also those of `set_prompts`.
            obj_ids: an integer of 64 bits for each object that is prompted. An id that occurs
                twice has both prompts.
            update_memory: remember the prompts. Otherwise they apply to these images only.
            stream: give results one by one instead of a list.

        Returns:
            Results for each image, a list or a generator, with one mask for each object, in the
            order in which they were first prompted.

        Raises:
            InputError: no object is known, or `obj_ids` and prompts do not match.
            PromptError, ImageError: the message says what was expected.
        """
        prompts, ids = self._prompts(bboxes, points, labels, masks, obj_ids, update_memory)

        def predict(image: EncodedImage) -> Masks:
            return self._masks(image, prompts, ids, update_memory)

        return self._predict_images(source, predict, stream)

    def inference(
        self,
        im: Tensor,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        obj_ids: Any = None,
        update_memory: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """As a call, on a preprocessed image.

        Returns:
            Masks (C, h, w), logits at low resolution, and scores (C,), in the order of
            `obj_idx_set`.
        """
        prompts, ids = self._prompts(bboxes, points, labels, masks, obj_ids, update_memory)
        found = self._masks(self._encode_input(im), prompts, ids, update_memory)
        assert found.logits is not None
        return cpu_tensor(found.logits), cpu_tensor(self._scores(found))

    def update_memory(
        self,
        obj_ids: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        *,
        bboxes: Any = None,
    ) -> None:
        """Remember objects that are prompted in the image that was set.

        Args:
            obj_ids, points, labels, masks, bboxes: as in a call.

        Raises:
            InputError: no image, no objects, or no prompts.
        """
        prompts = PromptArrays.from_arguments(bboxes, points, labels, masks)
        ids = _checked_ids(obj_ids, prompts, update=True)
        self._masks(self._current_image(), prompts, ids, update=True)

    def track_step(
        self,
        obj_idx: int | None = None,
        point: Any = None,
        label: Any = None,
        mask: Any = None,
    ) -> dict[str, Tensor]:
        """The network's prediction for objects in the image that was set. Nothing is remembered.

        Args:
            obj_idx: index of the object; None for all.
            point, label, mask: a prompt of the one object, (P, 2), (P,) and (H, W).

        Returns:
            pred_masks (N, 1, h, w): logits at low resolution; pred_masks_high_res (N, 1, H, W): of
            the input's size; obj_ptr (N, C); object_score_logits (N, 1).

        Raises:
            InputError: no image, no such object, or a prompt for all of them.
        """
        embedding = self._current_image().embedding
        known = self.obj_idx_to_id
        if obj_idx is not None and whole_number("obj_idx", obj_idx) not in known:
            raise InputError(f"obj_idx: expected one of {sorted(known)}, got {shown(obj_idx)}")
        prompts = PromptArrays.from_arguments(None, point, label, mask)
        prompt = None
        if prompts:
            (prompt,) = prompts.for_one_object().to_prompts(embedding.transform)
        if not known or (prompt is not None and obj_idx is None):
            raise InputError(f"obj_idx: expected one of {sorted(known)} for a prompt, got None")
        ids = list(known.values()) if obj_idx is None else [known[obj_idx]]
        found = [self.memory.look_for(embedding, obj_id, prompt) for obj_id in ids]
        logits = torch.cat([one.logits for one in found])[:, None]
        input_size = embedding.transform.input_size
        return {
            "pred_masks": logits,
            "pred_masks_high_res": F.interpolate(logits, input_size, mode="bilinear"),
            "obj_ptr": torch.cat([one.pointer for one in found]),
            "object_score_logits": torch.cat([one.object_score for one in found]),
        }

    def get_maskmem_enc(self) -> tuple[Tensor, Tensor]:
        """The input of memory attention: tokens (N, M, c) and their positions (N, M, c).

        N objects in the order of `obj_idx_set`; shorter memories are filled up with zeros.

        Raises:
            InputError: no object is remembered.
        """
        if not self.obj_idx_set:
            raise InputError(_NO_OBJECT)
        network = network_with_memory(self.core, "memory across images")
        reachable = [self.memory.reachable(obj_id) for obj_id in self.memory.object_ids]
        with torch.no_grad(), own_dtypes(network):
            memory = network.memory_tokens(reachable, network.config.grid)
        return memory.tokens, memory.positions

    def get_im_features(self, img: Any) -> Features:
        """Encode an image and set it, for `update_memory` and `track_step`.

        Args:
            img: preprocessed (1, 3, H, W), or an array (H, W, 3) BGR.

        Returns:
            Its features, as of `SAM2Predictor`.
        """
        return self._set_image(self._encode_input(img))

    def _current_image(self) -> EncodedImage:
        if self._image is None:
            raise InputError("no image: call set_image or get_im_features first")
        return self._image

    def _prompts(
        self, bboxes: Any, points: Any, labels: Any, masks: Any, obj_ids: Any, update: bool
    ) -> tuple[PromptArrays, list[int]]:
        """The prompts of a call, and the id of the object of each; both may be empty."""
        defaults = None if obj_ids is None else self._stored
        prompts = PromptArrays.from_arguments(bboxes, points, labels, masks, defaults=defaults)
        ids = _checked_ids(obj_ids, prompts, update)
        if not ids and not self.obj_idx_set:
            raise InputError(_NO_OBJECT)
        return prompts, ids

    def _masks(
        self, image: EncodedImage, prompts: PromptArrays, ids: Sequence[int], update: bool
    ) -> Masks:
        """Masks of all objects in an image: of those prompted there, and of others by memory."""
        memory = self.memory if update else self.memory.copy()
        if not ids:
            return memory.predict(image.embedding)
        each = prompts.to_prompts(image.embedding.transform)
        if len(each) != len(ids):
            raise InputError(f"obj_ids: expected {len(each)}, one for each prompt, got {len(ids)}")
        by_id: dict[int, Prompt] = {}
        for obj_id, prompt in zip(ids, each, strict=True):
            by_id[obj_id] = by_id[obj_id] + prompt if obj_id in by_id else prompt
        masks = memory.remember(image.embedding, by_id)
        prompted = masks.object_ids.tolist()
        if len(prompted) < len(memory.object_ids):
            found = memory.predict(image.embedding)
            others = [i for i, obj_id in enumerate(found.object_ids) if obj_id not in prompted]
            masks = Masks.concatenate([masks, found[others]])
        index = {obj_id: i for i, obj_id in enumerate(masks.object_ids.tolist())}
        return masks[[index[obj_id] for obj_id in memory.object_ids]]

    def _scores(self, masks: Masks) -> NDArray[np.float32]:
        """Presence: the probability that each object is in the image."""
        assert masks.presence is not None
        return np.array(masks.presence)


def _checked_ids(obj_ids: Any, prompts: PromptArrays, update: bool) -> list[int]:
    """Ids of the prompted objects; none where there are no prompts.

    Raises:
        InputError: prompts without ids, ids without prompts, or neither with `update_memory`.
    """
    update = switch("update_memory", update)
    values = _plain(obj_ids)
    is_list = isinstance(values, Sequence) and not isinstance(values, (str, bytes))
    each = [] if values is None else list(map(_plain, values)) if is_list else [values]
    if bool(prompts) != bool(each):
        has, lacks = ("prompts", "obj_ids") if prompts else ("obj_ids", "prompts")
        raise InputError(f"{lacks}: expected one for each of the {has}, got none")
    if update and not each:
        raise InputError("update_memory: expected prompts and their obj_ids, got none")
    return [checked_id(one) for one in each]


def _plain(value: Any) -> Any:
    """The numbers of an array or a tensor as Python's; anything else as it is."""
    is_array = isinstance(value, (np.ndarray, Tensor))
    return array_of(value, "obj_ids", InputError).tolist() if is_array else value
