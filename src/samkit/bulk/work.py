"""The unit of work of a bulk run, whatever engine schedules it: a shard becomes a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from samkit.bulk.places import Place
from samkit.bulk.prompt_tables import joined
from samkit.bulk.shards import Shard, shard_name
from samkit.bulk.sources import Item
from samkit.bulk.tables import Origin, Row, Table, error_rows, rows_of
from samkit.errors import InputError, SamkitError
from samkit.image_predictor import ImageEmbedding, ImagePredictor, load
from samkit.mask_generator import AutomaticMaskGenerator
from samkit.media import read_image
from samkit.nn import Network
from samkit.nn.detector import Detector
from samkit.processes import Ended
from samkit.video import VideoPredictor
from samkit.weights.tensor_file import fingerprint

__all__ = ["Kind", "Outcome", "Segmenter", "Task", "process_shard"]

Kind = Literal["everything", "predict", "track"]

_TOGETHER = 8  # images that a GPU embeds at a time


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is done with every shard; it can be pickled.

    Attributes:
        kind: all masks of images; masks of what prompts ask for; objects through videos.
        dest: the folder of the run.
        origin: which the files name; without a fingerprint whatever the model has will do.
        model, device, dtype: as `samkit.load` takes them.
        settings: of `samkit.AutomaticMaskGenerator`; of words those of `ImagePredictor.find`.
        label: what masks are of, unless a prompt says it.
        has_words: whether there are prompts with words.
    """

    kind: Kind
    dest: Place
    origin: Origin
    model: str
    device: str = "auto"
    dtype: str = "auto"
    settings: dict[str, Any] = field(default_factory=dict)
    label: str = "object"
    has_words: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a shard.

    Attributes:
        number: of the shard.
        images, failed, masks: as in its `Footer`.
        error: why its file could not be written.
        ended: how the processes ended that had it, if they did.
    """

    number: int
    images: int = 0
    failed: int = 0
    masks: int = 0
    error: str | None = None
    ended: str | None = None


class Segmenter:
    """A model that was loaded for a task: image or video -> rows.

    Args:
        task: the task.
        network: of its model, where it is there already; None: it is loaded.
        detector: loads the detector of this network, if the task needs it.

    Attributes:
        network: of its model.
        detector: of its model, if the task needs it.
        fingerprint: of these weights.
        runs_on_cpu: whether it does.

    Raises:
        SamkitError: the model cannot be loaded, or does not do such tasks.
    """

    def __init__(
        self,
        task: Task,
        network: Network | None = None,
        detector: Callable[[], Detector] | None = None,
    ) -> None:
        self._task = task
        if network is None:
            self._predictor = load(task.model, device=task.device, dtype=task.dtype)
        else:
            self._predictor = ImagePredictor(
                network, device=task.device, dtype=task.dtype, detector=detector
            )
        self.network = self._predictor.network
        if task.has_words and not self._predictor.can_find:
            raise InputError(
                f"prompts: {task.model} cannot find by words; SAM 3 alone can: model sam3"
            )
        self.detector = self._predictor.load_detector() if task.has_words else None
        # Of the given network and not of a copy in float16, which has another one.
        self.fingerprint = fingerprint(network or self.network, self.detector)
        if task.origin.fingerprint not in ("", self.fingerprint):
            raise SamkitError(f"{task.model} has other weights here than where the run began")
        self.runs_on_cpu = self._predictor.device.type == "cpu"
        self._ahead: dict[str, tuple[Any, ImageEmbedding]] = {}
        if task.kind == "everything":
            self._generator = AutomaticMaskGenerator(self._predictor, **task.settings)
        if task.kind == "track":
            VideoPredictor(self._predictor).close()  # tells whether it can

    def __call__(self, item: Item) -> list[Row]:
        """The rows of an image or video; whatever is wrong with it is one row."""
        try:
            return self._do(item)
        except (SamkitError, OSError) as error:
            return error_rows(str(error))
        except Exception as error:  # among a million images one finds every mistake
            return error_rows(f"{type(error).__name__}: {error}")

    def _do(self, item: Item) -> list[Row]:
        if self._task.kind == "everything":
            return self._everything(item)
        return self._predict(item) if self._task.kind == "predict" else self._track(item)

    def shard(self, shard: Shard) -> Outcome:
        """Make the file of a shard."""
        return process_shard(self._over(shard.items), self._task, shard)

    def _over(self, items: Sequence[Item]) -> Iterator[list[Row]]:
        """The rows of each in turn; on a GPU images are embedded several at a time."""
        if self.runs_on_cpu or self._task.kind == "track":
            yield from map(self, items)
            return
        for start in range(0, len(items), _TOGETHER):
            some = items[start : start + _TOGETHER]
            self._embed_ahead(some)
            yield from map(self, some)

    def _embed_ahead(self, items: Sequence[Item]) -> None:
        """Embed images together. Those that fail are left out, to fail alone."""
        pixels: dict[str, Any] = {}
        for item in items:
            with suppress(Exception):
                pixels[item.image_id] = read_image(item.read())
        with suppress(Exception):  # such as too little memory for all of them
            embeddings = self._predictor.embed_batch(list(pixels.values()))
            pairs = zip(pixels.items(), embeddings, strict=True)
            self._ahead = {name: (image, embedding) for (name, image), embedding in pairs}

    def _embedded(self, item: Item) -> tuple[Any, ImageEmbedding]:
        if item.image_id in self._ahead:
            return self._ahead.pop(item.image_id)
        pixels = read_image(item.read())
        return pixels, self._predictor.embed(pixels)

    def _everything(self, item: Item) -> list[Row]:
        pixels, embedding = self._embedded(item)
        masks = self._generator(pixels, embedding=embedding)
        return rows_of(masks, [self._task.label] * len(masks))

    def _predict(self, item: Item) -> list[Row]:
        asked = joined(item.prompts)[0]
        _, embedding = self._embedded(item)
        if asked.words:
            masks = self._predictor.find(embedding, list(asked.words), **self._task.settings)
            called = list(asked.words.values())
            return rows_of(masks, [called[i] for i in masks.prompt_index.tolist()])
        ids = list(asked.prompts)
        masks = self._predictor.predict(embedding, list(asked.prompts.values()))
        masks = masks.with_object_ids([ids[i] for i in masks.prompt_index.tolist()])
        names = [asked.categories.get(i, self._task.label) for i in masks.object_ids.tolist()]
        return rows_of(masks, names)

    def _track(self, item: Item) -> list[Row]:
        names: dict[int, str] = {}
        rows = []
        with item.local_file() as path, VideoPredictor(self._predictor, path) as tracker:
            for frame, asked in sorted(joined(item.prompts).items()):
                for object_id, prompt in asked.prompts.items():
                    tracker.prompt(frame, object_id, prompt)
                names |= asked.categories
            for frame, masks in tracker.track():
                labels = [names.get(i, self._task.label) for i in masks.object_ids.tolist()]
                rows += rows_of(masks, labels, frame)
        return rows


def process_shard(found: Iterable[list[Row] | Ended], task: Task, shard: Shard) -> Outcome:
    """Make the file of a shard; to do it twice, or twice at once, gives the same file.

    Args:
        found: by a `Segmenter` over the shard's items, in this process or in another.
        task: of the run.
        shard: one of it.
    """
    table = Table(task.origin)
    for item, rows in zip(shard.items, found, strict=True):
        if isinstance(rows, Ended):
            rows = error_rows(f"two processes ended in the middle of it ({rows.reason})")
        table.add(item.image_id, str(item.place), rows)
    data = table.finish(shard.digest)
    try:
        (task.dest / shard_name(shard.number)).write(data)
    except SamkitError as error:
        return Outcome(number=shard.number, error=str(error))
    return Outcome(number=shard.number, images=table.images, failed=table.failed, masks=table.masks)
