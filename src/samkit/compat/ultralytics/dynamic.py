"""Objects that are prompted in some images, found in others."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samkit.compat.ultralytics.base import BasePredictor, Look
from samkit.compat.ultralytics.delivery import Callbacks
from samkit.compat.ultralytics.features import Features, features_of
from samkit.compat.ultralytics.object_ids import as_dict, ids_of, presence, together
from samkit.compat.ultralytics.prompts import ObjectPrompts
from samkit.compat.ultralytics.results import Results
from samkit.compat.ultralytics.settings import DEFAULT_CFG
from samkit.compat.ultralytics.sources import check_source
from samkit.errors import InputError
from samkit.image_predictor import ImagePredictor
from samkit.masks import Masks
from samkit.memory.arguments import network_with_memory
from samkit.memory_predictor import MemoryPredictor
from samkit.memory_predictor.entries import Entry

__all__ = ["SAM2DynamicInteractivePredictor"]


class SAM2DynamicInteractivePredictor(BasePredictor):
    """Shows SAM 2 (2408.00714) objects in some images, and finds the same ones in others.

        predictor = SAM2DynamicInteractivePredictor(overrides={"model": "sam2.1_t.pt"})
        predictor("one.jpg", bboxes=[[10, 20, 90, 80]], obj_ids=[7], update_memory=True)
        results = predictor("two.jpg")

    The class of a result, and its `boxes.id`, is the object's id; its score is the probability that
    the object is there. The predicted IoU is in `core.scores`.

    Args:
        cfg, overrides, _callbacks: as for `BasePredictor`.
        max_obj_num: how many objects are expected. There may be more.
        max_entries: how many images are remembered; beyond it the oldest goes. None for no limit.
    """

    default_model = "sam2.1_b.pt"
    needs_sam2 = True

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

    def _take(self, core: ImagePredictor) -> None:
        network_with_memory(core, "memory across images")
        self._memory = MemoryPredictor(core, self.max_entries)

    @property
    def memory(self) -> MemoryPredictor:
        """samkit's own memory, which does the work."""
        if self._core is None:
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
        return {number: i for i, number in enumerate(ids)}

    @property
    def obj_idx_to_id(self) -> dict[int, int]:
        """Index in results -> object id."""
        return {i: number for number, i in self.obj_id_to_idx.items()}

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

    # Looking

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
        """Find all remembered objects in images, and remember what is said of some.

        Clicks on an object that is remembered from other images correct what memory finds; further
        clicks in the same image add up.

        Args:
            source: as for `setup_source`; None for the image that was set, or the source.
            bboxes, points, labels, masks: as for `Predictor`, of the objects `obj_ids`; with
                `obj_ids` also those of `set_prompts`.
            obj_ids: an integer of 64 bits for each object that is prompted.
            update_memory: remember the prompts. Without it they count for these images only.
            stream: give results one by one instead of a list.

        Returns:
            Results for each image, a list or a generator, with one mask for each object, in the
            order in which they were first prompted.

        Raises:
            InputError: no object is known, or `obj_ids` and prompts do not belong together.
            PromptError, ImageError: the message says what was expected.
        """
        stored = None if obj_ids is None else self._stored
        said = ObjectPrompts.read(bboxes, points, labels, masks, stored=stored)
        ids = ids_of(obj_ids, said, update_memory)
        if source is not None:
            check_source(source)
        results = self._deliver(self._found(source, said, ids, update_memory), self)
        return results if stream else list(results)

    def _found(
        self, source: Any, said: ObjectPrompts, ids: list[int], update: bool
    ) -> Iterator[Results]:
        if not ids and not self.memory.object_ids:
            raise InputError(
                "no object is remembered: call with bboxes, points or masks, obj_ids and "
                "update_memory=True first"
            )
        for look in self._looks(source):
            masks = self._masks(look, said, ids, update)
            scores = presence(masks)
            yield self._result(look.shot, masks, scores, has_ids=True, preprocess=look.speed)

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
        stored = None if obj_ids is None else self._stored
        said = ObjectPrompts.read(bboxes, points, labels, masks, stored=stored)
        ids = ids_of(obj_ids, said, update_memory)
        if not ids and not self.memory.object_ids:
            raise InputError("no object is remembered: update_memory first")
        found = self._masks(self._look_of(im), said, ids, update_memory)
        assert found.logits is not None
        return torch.from_numpy(np.array(found.logits)), torch.from_numpy(presence(found))

    def update_memory(
        self,
        obj_ids: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        *,
        bboxes: Any = None,
    ) -> None:
        """Remember what is said of objects in the image that was set.

        Args:
            obj_ids: an integer of 64 bits for each object.
            points, labels, masks, bboxes: as in a call.

        Raises:
            InputError: no image, no objects, or no prompts.
        """
        said = ObjectPrompts.read(bboxes, points, labels, masks)
        ids = ids_of(obj_ids, said, True)
        self._masks(self._current(), said, ids, True)

    def track_step(
        self,
        obj_idx: int | None = None,
        point: Any = None,
        label: Any = None,
        mask: Any = None,
    ) -> dict[str, Tensor]:
        """What the network says of objects in the image that was set. Nothing is remembered.

        Args:
            obj_idx: index of the object; None for all.
            point, label, mask: a prompt of the one object, (P, 2), (P,) and (H, W).

        Returns:
            pred_masks (N, 1, h, w): logits at low resolution; pred_masks_high_res (N, 1, H, W): of
            the input's size; obj_ptr (N, C); object_score_logits (N, 1).

        Raises:
            InputError: no image, no such object, or a prompt for all of them.
        """
        look = self._current()
        known = self.obj_idx_to_id
        if obj_idx is not None and obj_idx not in known:
            raise InputError(f"obj_idx: expected one of {sorted(known)}, got {obj_idx!r}")
        prompt = None
        said = ObjectPrompts.read(None, point, label, mask)
        if said:
            (prompt,) = said.about_one().prompts(look.embedding.transform)
        if not known or (prompt is not None and obj_idx is None):
            raise InputError(f"obj_idx: expected one of {sorted(known)} for a prompt, got None")
        ids = list(known.values()) if obj_idx is None else [known[obj_idx]]
        found = [self.memory.look_for(look.embedding, number, prompt) for number in ids]
        return as_dict(found, look.embedding.transform.input_size)

    def get_maskmem_enc(self) -> tuple[Tensor, Tensor]:
        """Memory as attention gets it: tokens (N, M, c) and their positions (N, M, c).

        N objects in the order of `obj_idx_set`; what an object has less than others is 0.

        Raises:
            InputError: no object is remembered.
        """
        if not self.memory.object_ids:
            raise InputError("no object is remembered: update_memory first")
        network = network_with_memory(self.core, "memory across images")
        reachable = [self.memory.reachable(number) for number in self.memory.object_ids]
        with torch.no_grad():
            memory = network.memory_tokens(reachable)
        return memory.tokens, memory.positions

    def get_im_features(self, img: Any) -> Features:
        """Look at an image, for `update_memory` and `track_step`.

        Args:
            img: preprocessed (1, 3, H, W), or an array (H, W, 3) BGR.

        Returns:
            Its features, as of `SAM2Predictor`.
        """
        self._image = self._look_of(img)
        self.im = self._image.im
        self.features = features_of(self.core.network, self._image.embedding.features)
        return self.features

    # How it is done

    def _current(self) -> Look:
        if self._image is None:
            raise InputError("no image: call set_image or get_im_features first")
        return self._image

    def _masks(self, look: Look, said: ObjectPrompts, ids: Sequence[int], update: bool) -> Masks:
        """Masks of all objects in an image: of those that were prompted there, and of others."""
        memory = self.memory if update else self.memory.copy()
        if not ids:
            return memory.predict(look.embedding)
        prompts = said.prompts(look.embedding.transform)
        if len(prompts) != len(ids):
            raise InputError(
                f"obj_ids: expected {len(prompts)}, one for each prompt, got {len(ids)}"
            )
        masks = memory.remember(look.embedding, together(ids, prompts))
        shown = masks.object_ids.tolist()
        if len(shown) < len(memory.object_ids):
            others = memory.predict(look.embedding)
            unknown = [i for i, number in enumerate(others.object_ids) if number not in shown]
            masks = Masks.concatenate([masks, others[unknown]])
        places = {number: i for i, number in enumerate(masks.object_ids.tolist())}
        return masks[[places[number] for number in memory.object_ids]]
