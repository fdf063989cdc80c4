"""Prompts on some images to masks in others."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from samkit.arguments import switch, whole_number
from samkit.errors import InputError, count_of
from samkit.image_predictor import ImageEmbedding, ImagePredictor, prompts_at_once
from samkit.masks import Masks
from samkit.memory.arguments import (
    check_known,
    checked_id,
    checked_prompt,
    checked_prompts,
    network_with_memory,
)
from samkit.memory.masks import masks_of
from samkit.memory.prediction import (
    PromptedObject,
    predict_from_memory,
    predict_prompted,
    starts_anew,
)
from samkit.memory_predictor import files
from samkit.memory_predictor.entries import Entry, image_signature, reachable_memory
from samkit.nn import ImageFeatures
from samkit.nn.memory import ObjectPrediction, ReachableMemory
from samkit.prompts import Prompt

__all__ = ["MemoryPredictor"]

# Working memory of one call of the memory attention; more objects take several calls.
_ATTENTION_BYTES = 2**30


class MemoryPredictor:
    """Prompt objects in some images, and find them in others (memory of SAM 2, 2408.00714).

    Images may differ in size and need no order. Each remembered image is an entry, with the objects
    that were prompted in it. With SAM 3, an object is found by the last four of its entries.

        memory = samkit.MemoryPredictor(samkit.load("sam2.1-tiny"))
        memory.remember("monday.jpg", {1: samkit.Prompt.box(10, 20, 300, 400)})
        masks = memory.predict("tuesday.jpg")

    Args:
        predictor: of a SAM 2 network with memory.
        max_entries: how many images are remembered; None for no limit. Beyond it the oldest entry
            is dropped, with the objects that were prompted nowhere else.
        non_overlapping: give each pixel to the object with the highest logit there.

    Raises:
        InputError: the network has no memory, or `max_entries` is not at least 1.
    """

    def __init__(
        self,
        predictor: ImagePredictor,
        max_entries: int | None = 16,
        *,
        non_overlapping: bool = False,
    ) -> None:
        self._network = network_with_memory(predictor, "memory across images")
        if max_entries is not None:
            whole_number("max_entries", max_entries, 1)
        self.predictor = predictor
        self.max_entries = max_entries
        self.non_overlapping = switch("non_overlapping", non_overlapping)
        self._entries: dict[int, Entry] = {}
        self._order: tuple[int, ...] = ()
        self._next = 0

    def __repr__(self) -> str:
        limit = "" if self.max_entries is None else f" of at most {self.max_entries}"
        objects = count_of(len(self._order), "object")
        images = count_of(len(self._entries), "image")
        return f"<MemoryPredictor: {objects} in {images}{limit}>"

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of the remembered objects, in the order in which they were first prompted."""
        return self._order

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What is remembered, the oldest image first."""
        return tuple(self._entries.values())

    def remember(
        self, image: Any, prompts: Mapping[int, Prompt], *, entry: int | None = None
    ) -> Masks:
        """Prompt objects in an image, and remember them.

        A box or a mask replaces earlier prompts of the object in the same image. Clicks are added
        to them, and refine the mask. In an image where the object was not prompted yet, clicks
        correct what memory finds there, if it is remembered from other images. A mask alone is
        remembered unchanged; an empty one means that the object is absent.

        An image that is remembered already is recognised, and its entry is updated: its other
        objects stay. An error changes nothing.

        Args:
            image: an `ImageEmbedding` of this predictor, or any image, which is then embedded.
            prompts: object id -> prompt; ids are integers of 64 bits.
            entry: number of the entry that this image is, where recognition fails because the
                image was embedded on another machine, or with other rounding.

        Returns:
            Masks of all objects that were ever prompted in this image, in the order of
            `object_ids`, with their `presence`.

        Raises:
            InputError: no prompts, an id that is no integer, no such entry, or an image of another
                size than the entry's; ImageError, PromptError: not an image, or not a prompt.
        """
        checked = checked_prompts(prompts)
        if not checked:
            raise InputError("prompts: expected at least one object, got none")
        if entry is not None:
            self._entry(entry)  # an error before the image is embedded, which takes long
        embedding = self._embed(image)
        known = self._entry_of(embedding, entry)
        new = {
            object_id: self._prompted(known, object_id, prompt, embedding)
            for object_id, prompt in checked.items()
        }
        known = replace(known, objects={**known.objects, **new})
        order = tuple(dict.fromkeys((*self._order, *new)))
        predictions = {i: known.objects[i].prediction for i in order if i in known.objects}
        masks = masks_of(predictions, embedding.transform, non_overlapping=self.non_overlapping)
        self._keep({**self._entries, known.number: known}, order)
        self._next = max(self._next, known.number + 1)
        return masks

    def predict(self, image: Any) -> Masks:
        """Find all remembered objects in an image. Nothing is remembered of it.

        Args:
            image: an `ImageEmbedding` of this predictor, or any image, which is then embedded.

        Returns:
            One mask for each object, in the order of `object_ids`. `presence` is the probability
            that the object is in the image; below 0.5 its mask is empty. `scores` are the predicted
            IoUs.

        Raises:
            InputError: no object is remembered; ImageError: not an image.
        """
        if not self._order:
            raise InputError("nothing to find: remember an object in some image first")
        embedding = self._embed(image)
        reachable = [self.reachable(object_id) for object_id in self._order]
        predictions: list[ObjectPrediction] = []
        step = self._objects_at_once(reachable, embedding.features)
        for start in range(0, len(reachable), step):
            part = reachable[start : start + step]
            predictions += predict_from_memory(self._network, embedding.features, part).each()
        return masks_of(
            dict(zip(self._order, predictions, strict=True)),
            embedding.transform,
            non_overlapping=self.non_overlapping,
        )

    def look_for(
        self, image: Any, object_id: int, prompt: Prompt | None = None
    ) -> ObjectPrediction:
        """The prediction of one object in an image, as tensors. Nothing is remembered.

        Args:
            image: an `ImageEmbedding` of this predictor, or any image, which is then embedded.
            object_id: the object.
            prompt: as in `remember`; None to find it by memory alone.

        Raises:
            InputError: nothing is remembered of the object, and there is no prompt.
        """
        number = checked_id(object_id)
        if prompt is None:
            reachable = [self.reachable(number)]
            embedding = self._embed(image)
            return predict_from_memory(self._network, embedding.features, reachable)
        checked = checked_prompt(prompt)
        embedding = self._embed(image)
        entry = self._entry_of(embedding, None)
        return self._prompted(entry, number, checked, embedding).prediction

    def copy(self) -> "MemoryPredictor":
        """A copy that changes independently. Tensors are shared."""
        other = MemoryPredictor(
            self.predictor, self.max_entries, non_overlapping=self.non_overlapping
        )
        other._entries, other._order, other._next = dict(self._entries), self._order, self._next
        return other

    def forget(self, object_id: int, *, entry: int | None = None) -> None:
        """Forget an object, as if it had never been prompted. Its id may be used again.

        Args:
            object_id: the object.
            entry: number of the entry from which to forget it; None for all. Corrections in other
                images that were predicted from this one do not change.

        Raises:
            InputError: the object is not known, or not there.
        """
        number = checked_id(object_id)
        check_known(number, self._order)
        chosen = self.entries if entry is None else (self._entry(entry),)
        changed = dict(self._entries)
        for one in chosen:
            if number in one.objects:
                others = {i: other for i, other in one.objects.items() if i != number}
                changed[one.number] = replace(one, objects=others)
            elif entry is not None:
                ids = ", ".join(map(str, one.objects))
                raise InputError(
                    f"object_id: expected an object of entry {one.number} ({ids}), got {object_id}"
                )
        self._keep(changed, self._order)

    def clear(self) -> None:
        """Forget everything."""
        self._keep({}, ())

    def reachable(self, object_id: int, *, without_entry: int | None = None) -> ReachableMemory:
        """The memories of an object, as the network takes them.

        Args:
            object_id: the object.
            without_entry: number of an entry to leave out.

        Raises:
            InputError: nothing is remembered of the object in the other entries.
        """
        number = checked_id(object_id)
        if without_entry is not None:
            without_entry = whole_number("without_entry", without_entry)
        memories = [
            one.objects[number].memory
            for one in self._entries.values()
            if number in one.objects and one.number != without_entry
        ]
        if not memories:
            raise InputError(f"object_id: nothing is remembered of object {object_id}")
        sizes = self._network.config.memory
        memories = memories[-sizes.nearest_prompts :]  # 0: all
        return reachable_memory(memories, slots=sizes.slots, pointers=sizes.pointers)

    def save(self, path: str | Path) -> None:
        """Write all that is remembered to a safetensors file, whole or not at all.

        Raises:
            InputError: the file cannot be written.
        """
        files.save(path, self._network, self.entries, self._order)

    @classmethod
    def load(
        cls,
        path: str | Path,
        predictor: ImagePredictor,
        max_entries: int | None = 16,
        *,
        non_overlapping: bool = False,
    ) -> "MemoryPredictor":
        """Read what `save` wrote; the other arguments are those of `MemoryPredictor`.

        Raises:
            InputError: the file is missing, damaged, of another network, or holds more than
                `max_entries` entries.
        """
        memory = cls(predictor, max_entries, non_overlapping=non_overlapping)
        entries, order = files.load(path, memory._network, predictor.device)
        if max_entries is not None and len(entries) > max_entries:
            raise InputError(
                f"{path} holds {len(entries)} entries, which is more than max_entries={max_entries}"
            )
        memory._keep({one.number: one for one in entries}, order)
        memory._next = max(memory._entries, default=-1) + 1
        return memory

    def _embed(self, image: Any) -> ImageEmbedding:
        if not isinstance(image, ImageEmbedding):
            return self.predictor.embed(image)
        self.predictor.check_embedding(image)
        return image.to(self.predictor.device)

    def _entry(self, number: int) -> Entry:
        entry = self._entries.get(whole_number("entry", number))
        if entry is None:
            known = ", ".join(map(str, self._entries)) or "none"
            raise InputError(f"entry: expected a known one ({known}), got {number}")
        return entry

    def _entry_of(self, embedding: ImageEmbedding, number: int | None) -> Entry:
        """The entry of that number, else the one of the same image, else a new one."""
        if number is not None:
            entry = self._entry(number)
            if embedding.image_size != entry.image_size:
                raise InputError(
                    f"entry {entry.number}: expected its image of size {entry.image_size} "
                    f"(height, width), got one of size {embedding.image_size}"
                )
            return entry
        signature = image_signature(embedding)
        for entry in self._entries.values():
            if entry.signature == signature:
                return entry
        return Entry(
            number=self._next, image_size=embedding.image_size, signature=signature, objects={}
        )

    def _keep(self, entries: Mapping[int, Entry], order: Iterable[int]) -> None:
        """Replace the entries, without those that are empty or beyond the limit."""
        kept = [one for one in entries.values() if one.objects]
        if self.max_entries is not None:
            kept = kept[-self.max_entries :]
        known = {object_id for one in kept for object_id in one.objects}
        self._entries = {one.number: one for one in kept}
        self._order = tuple(object_id for object_id in order if object_id in known)

    def _prompted(
        self, entry: Entry, object_id: int, prompt: Prompt, embedding: ImageEmbedding
    ) -> PromptedObject:
        """An object in an image, from a prompt and its memory in other images."""
        before = entry.objects.get(object_id)
        reachable = None
        if not starts_anew(prompt) and (before is None or before.corrects):
            others = (one for one in self._entries.values() if one.number != entry.number)
            if any(object_id in one.objects for one in others):
                reachable = self.reachable(object_id, without_entry=entry.number)
        return predict_prompted(
            self._network,
            embedding,
            prompt,
            before=before,
            current=None if before is None else before.prediction,
            reachable=reachable,
        )

    def _objects_at_once(self, reachable: list[ReachableMemory], features: ImageFeatures) -> int:
        """How many objects fit the working memory."""
        height, width = features.embedding.shape[-2:]
        longest = max(len(one.memories) for one in reachable)
        # Keys and values, each with a copy that is rotated or in another layout.
        each = 4 * longest * height * width * self._network.config.dim * 4
        fits = max(1, _ATTENTION_BYTES // each)
        return min(fits, prompts_at_once(features, self._network, tokens=None))
