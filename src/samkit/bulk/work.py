"""The unit of work of a bulk run, whatever engine schedules it: a shard becomes a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from samkit.bulk.places import Place
from samkit.bulk.prompt_tables import joined
from samkit.bulk.shards import Shard, shard_name
from samkit.bulk.sources import Item
from samkit.bulk.tables import Origin, Row, Table, error_rows, rows_of
from samkit.errors import SamkitError
from samkit.image_predictor import ImagePredictor, load
from samkit.mask_generator import AutomaticMaskGenerator
from samkit.media import read_image
from samkit.nn import Network
from samkit.processes import Ended
from samkit.video import VideoPredictor
from samkit.weights.tensor_file import fingerprint

__all__ = ["Kind", "Outcome", "Segmenter", "Task", "process_shard"]

Kind = Literal["everything", "predict", "track"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is done with every shard; it can be pickled.

    Attributes:
        kind: all masks of images; masks of what prompts point at; objects through videos.
        dest: the folder of the run.
        origin: which the files name; without a fingerprint whatever the model has will do.
        model, device, dtype: as `samkit.load` takes them.
        settings: of `samkit.AutomaticMaskGenerator`.
        label: what masks are of, unless a prompt says it.
    """

    kind: Kind
    dest: Place
    origin: Origin
    model: str
    device: str = "auto"
    dtype: str = "auto"
    settings: dict[str, Any] = field(default_factory=dict)
    label: str = "object"


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

    Attributes:
        network: of its model.
        fingerprint: of the network.
        runs_on_cpu: whether it does.

    Raises:
        SamkitError: the model cannot be loaded, or does not do such tasks.
    """

    def __init__(self, task: Task, network: Network | None = None) -> None:
        self._label = task.label
        if network is None:
            self._predictor = load(task.model, device=task.device, dtype=task.dtype)
        else:
            self._predictor = ImagePredictor(network, device=task.device, dtype=task.dtype)
        self.network = self._predictor.network
        self.fingerprint = fingerprint(self.network)
        if task.origin.fingerprint not in ("", self.fingerprint):
            raise SamkitError(f"{task.model} has other weights here than where the run began")
        self.runs_on_cpu = self._predictor.device.type == "cpu"
        self._do: Callable[[Item], list[Row]] = getattr(self, f"_{task.kind}")
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

    def _everything(self, item: Item) -> list[Row]:
        masks = self._generator(read_image(item.read()))
        return rows_of(masks, [self._label] * len(masks))

    def _predict(self, item: Item) -> list[Row]:
        asked = joined(item.prompts)[0]
        ids = list(asked.prompts)
        masks = self._predictor.predict(read_image(item.read()), list(asked.prompts.values()))
        masks = masks.with_object_ids([ids[i] for i in masks.prompt_index.tolist()])
        names = [asked.categories.get(i, self._label) for i in masks.object_ids.tolist()]
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
                labels = [names.get(i, self._label) for i in masks.object_ids.tolist()]
                rows += rows_of(masks, labels, frame)
        return rows


def process_shard(
    segment: Callable[[Item], list[Row] | Ended], task: Task, shard: Shard
) -> Outcome:
    """Make the file of a shard; to do it twice, or twice at once, gives the same file.

    Args:
        segment: a `Segmenter`, or what does the same in another process.
        task: of the run.
        shard: one of it.
    """
    table = Table(task.origin)
    for item in shard.items:
        rows = segment(item)
        if isinstance(rows, Ended):
            rows = error_rows(f"two processes ended in the middle of it ({rows.reason})")
        table.add(item.image_id, str(item.place), rows)
    data = table.finish(shard.digest)
    try:
        (task.dest / shard_name(shard.number)).write(data)
    except SamkitError as error:
        return Outcome(number=shard.number, error=str(error))
    return Outcome(number=shard.number, images=table.images, failed=table.failed, masks=table.masks)
