"""Bulk runs: which shards there are, which are left, and who does them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

from samkit.arguments import checked_text, whole_number
from samkit.bulk.engines import Engine, all_outcomes, by_processes
from samkit.bulk.places import Place, arrow
from samkit.bulk.prompt_tables import read_prompts
from samkit.bulk.ray_engine import by_ray, import_ray
from samkit.bulk.shards import RUN_NAME, Shard, hash_of, plan, shard_name, with_prompts
from samkit.bulk.sources import VIDEO_SUFFIXES, Item, list_items
from samkit.bulk.tables import Footer, Origin, read_footer
from samkit.bulk.work import Kind, Outcome, Segmenter, Task
from samkit.errors import InputError, count_of, shown
from samkit.files import parse_json
from samkit.masks.checks import number
from samkit.media import IMAGE_SUFFIXES
from samkit.processes import cpus

__all__ = [
    "EngineName",
    "Status",
    "check_engine",
    "check_settings",
    "checked_kind",
    "read_footers",
    "read_run",
    "run",
]

EngineName = Literal["processes", "ray"]

_READERS = 16  # of footers at once: in an object store each takes a while


@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes:
        shards: how many there are to be.
        images: of all shards, or videos.
        done: shards that are there.
        images_done: of those that are there; of them
        failed: are so many rows with an error.
        masks: of those that are there.
    """

    shards: int
    images: int
    done: int = 0
    images_done: int = 0
    failed: int = 0
    masks: int = 0

    def plus(self, one: Footer | Outcome) -> Status:
        """With one shard more that is there."""
        return replace(
            self,
            done=self.done + 1,
            images_done=self.images_done + one.images,
            failed=self.failed + one.failed,
            masks=self.masks + one.masks,
        )


def run(
    source: str | os.PathLike[str] | Place,
    dest: str | os.PathLike[str] | Place,
    *,
    task: Kind | None = None,
    prompts: str | os.PathLike[str] | None = None,
    model: str = "pico",
    device: str = "auto",
    dtype: str = "auto",
    settings: Mapping[str, Any] | None = None,
    label: str = "object",
    jobs: int | None = None,
    shard_size: int | None = None,
    engine: EngineName = "processes",
    cluster: str | None = None,
    tell: Callable[[str], object] = lambda line: None,
    on_progress: Callable[[Status], object] = lambda status: None,
) -> Status:
    """Masks of very many images or videos into Parquet files, by several processes or machines.

    Run it again to go on: a shard is done when its file is there, of the same images, prompts,
    model and settings. Files are written whole or not at all. What fails is a row with ``error``.
    Each process has one thread, so that the rows do not depend on how many there are. A script
    that calls this begins its own work below ``if __name__ == "__main__":``.

    Args:
        source: what `samkit.bulk.sources.list_items` takes.
        dest: a folder, or an address of `pyarrow.fs` (``s3://bucket/name``).
        task: "everything" (the default without prompts), "predict" (with them), or "track", which
            follows objects through videos from their prompts on.
        prompts: what `samkit.bulk.prompt_tables.read_prompts` takes; images without any are left
            out.
        model, device, dtype: as `samkit.load` takes them.
        settings: of `samkit.AutomaticMaskGenerator`, for everything; of prompts with words the
            ``threshold`` of `samkit.ImagePredictor.find`.
        label: what masks are of, unless a prompt has a category or words.
        jobs: how many processes, or actors of Ray; by default as many as CPUs. On a GPU one
            process, and as many actors as GPUs.
        shard_size: images in a file; by default that of the run that is there, or else as
            `samkit.bulk.shards.plan` has it; of videos 1.
        engine: "processes" of this machine, or "ray", by which many machines share the work. Both
            write the same files, and each goes on with a run of the other.
        cluster: of Ray, its address; by default that in ``RAY_ADDRESS``, or else a Ray of this
            machine alone.
        tell: called with lines about the run.
        on_progress: called before the first shard and after each.

    Raises:
        InputError: the source, the prompts or a setting is wrong, ``dest`` holds another run or
            cannot be written; the cluster is not there, or has too little room.
        SamkitError: the model cannot be loaded, or does not do such tasks.
        MissingDependencyError: pyarrow is not installed, or ray.
    """
    arrow("parquet")
    kind = checked_kind(task, has_prompts=prompts is not None)
    check_engine(engine, cluster)
    check_settings(settings, kind)
    options = dict(settings or {})
    checked_text("label", label)
    folder = Place.of(dest, "a folder of results")
    size = None if shard_size is None else whole_number("shard_size", shard_size, 1)
    count = None if jobs is None else whole_number("jobs", jobs, 1)
    items = list_items(source, VIDEO_SUFFIXES if kind == "track" else IMAGE_SUFFIXES)
    if prompts is not None:
        items = with_prompts(items, read_prompts(prompts, of_videos=kind == "track"), prompts)
    has_words = any("words" in entry for item in items for entry in item.prompts)
    if options and kind == "predict" and not has_words:
        raise InputError(f"settings: threshold is of words, and {prompts} has none")
    asked = Task(
        kind=kind,
        dest=folder,
        origin=_origin(kind, model, dtype, options, label),
        model=model,
        device=device,
        dtype=dtype,
        settings=options,
        label=label,
        has_words=has_words,
    )
    noun = "video" if kind == "track" else "image"
    tell(f"{count_of(len(items), noun)} in {source}; loading {model}")
    if engine == "ray":
        schedule, fingerprint = _begin_ray(asked, cluster, count, tell)
    else:
        schedule, fingerprint = _begin_processes(asked, count, tell)
    doing = replace(asked, origin=replace(asked.origin, fingerprint=fingerprint))
    shards = _begin_run(doing, items, size)
    status, left, old = _what_is_left(doing, shards, len(items))
    tell(
        f"{status.done} of {count_of(status.shards, 'shard')} done, "
        f"{status.images - status.images_done} of {status.images} images left"
    )
    if old:
        tell(f"{count_of(old, 'shard')} of other images or prompts there, to be done again")
    on_progress(status)
    if left:
        with closing(all_outcomes(schedule, doing, left, tell)) as outcomes:
            for outcome in outcomes:
                if outcome.error is not None:
                    raise InputError(outcome.error)
                status = status.plus(outcome)
                on_progress(status)
    return status


def read_run(folder: Place) -> dict[str, Any]:
    """What a folder of results says about its run.

    Raises:
        InputError: it holds none.
    """
    place = folder / RUN_NAME
    with place.open(InputError) as file:
        about = parse_json(file.read(), str(place))
    names = {"model", "fingerprint", "settings", "images", "shard_size", "shards"}
    if not isinstance(about, dict) or (missing := names - about.keys()):
        got = (
            f"nothing of {', '.join(sorted(missing))}" if isinstance(about, dict) else shown(about)
        )
        raise InputError(f"{place}: expected what a bulk run wrote, got {got}")
    for name in ("images", "shard_size"):
        whole_number(f"{place}: {name}", about[name], 1)
    if not isinstance(about["shards"], list):
        raise InputError(f"{place}: shards: expected a list, got {shown(about['shards'])}")
    return about


def read_footers(folder: Place, shards: int) -> Iterator[Footer | InputError | None]:
    """Of each shard what its file says of itself, or what is wrong with it; None: it is missing.

    Raises:
        InputError: the folder cannot be read.
    """
    there = folder.names()

    def read(number: int) -> Footer | InputError | None:
        name = shard_name(number)
        if name not in there:
            return None
        try:
            return read_footer(folder / name)
        except InputError as error:
            return error

    with ThreadPoolExecutor(_READERS) as pool:
        yield from pool.map(read, range(shards))


def checked_kind(task: object, *, has_prompts: bool) -> Kind:
    """The task of a run.

    Args:
        task: as `run` takes it.
        has_prompts: whether there is a table of prompts.

    Raises:
        InputError: it is none, or does not go with prompts, or without.
    """
    if task is None:
        return "predict" if has_prompts else "everything"
    if task not in get_args(Kind):
        raise InputError(f"task: expected {', '.join(get_args(Kind))}, got {shown(task)}")
    kind: Kind = task  # type: ignore[assignment]
    if has_prompts != (kind != "everything"):
        needs = "needs" if not has_prompts else "takes no"
        raise InputError(f"task: {kind} {needs} prompts")
    return kind


def check_settings(settings: object, kind: Kind) -> None:
    """Check what `run` takes, but for the values of everything mode, which depend on the model.

    Raises:
        InputError: they are no names and values, or do not go with the task.
    """
    if settings is None:
        return
    if not isinstance(settings, Mapping) or not all(isinstance(name, str) for name in settings):
        raise InputError(f"settings: expected names and values, got {shown(settings)}")
    if "predictor" in settings:  # which is the run's own
        raise InputError(f"settings: expected no predictor, got {shown(settings['predictor'])}")
    if any(kind == "track" or (name == "threshold") != (kind == "predict") for name in settings):
        raise InputError(
            f"settings: they are of everything mode, and the threshold of words, not of {kind}"
        )
    if "threshold" in settings:
        number("threshold", settings["threshold"], most=1)


def check_engine(engine: object, cluster: object) -> None:
    """Check what `run` takes.

    Raises:
        InputError: there is no such engine, or a cluster does not go with it.
        MissingDependencyError: what it needs is not installed.
    """
    if engine not in get_args(EngineName):
        raise InputError(f"engine: expected {', '.join(get_args(EngineName))}, got {shown(engine)}")
    if cluster is not None and engine != "ray":
        raise InputError("cluster: it goes with the engine ray")
    if cluster is not None:
        checked_text("cluster", cluster)
    if engine == "ray":
        import_ray()


def _origin(kind: Kind, model: str, dtype: str, settings: dict[str, Any], label: str) -> Origin:
    """What the files name, but for the fingerprint, which is known once the model is loaded."""
    asked = {"task": kind, "settings": settings, "dtype": dtype, "label": label}
    return Origin(model=model, fingerprint="", settings=hash_of(asked))


def _begin_processes(
    task: Task, count: int | None, tell: Callable[[str], object]
) -> tuple[Engine, str]:
    """The engine and the fingerprint of the model, which shows what is wrong with the task.

    It is loaded here for that alone: each process has its own.
    """
    segmenter = Segmenter(task)
    most = count or (cpus() if segmenter.runs_on_cpu else 1)
    return partial(by_processes, most, tell), segmenter.fingerprint


def _begin_ray(
    task: Task, cluster: str | None, count: int | None, tell: Callable[[str], object]
) -> tuple[Engine, str]:
    """As `_begin_processes`. The device may be one that only the cluster has."""
    segmenter = Segmenter(replace(task, device="cpu", dtype="float32"))
    engine = partial(by_ray, cluster, count, segmenter.network, segmenter.detector, tell)
    return engine, segmenter.fingerprint


def _begin_run(task: Task, items: Sequence[Item], size: int | None) -> list[Shard]:
    """The shards of a run; say in the folder what it is, and refuse one that holds another."""
    folder, origin = task.dest, asdict(task.origin)
    before = read_run(folder) if (folder / RUN_NAME).is_file() else None
    if size is None:
        size = before["shard_size"] if before else 1 if task.kind == "track" else None
    shards = plan(items, size)
    about = {
        **origin,
        "task": task.kind,
        "asked": {**task.settings, "dtype": task.dtype, "label": task.label},
        "images": len(items),
        "shard_size": len(shards[0].items),
        "shards": [shard.digest for shard in shards],
    }
    text = json.dumps(about, indent=1, default=str)
    if before is not None:
        other = [name for name, value in origin.items() if before[name] != value]
        if other:
            raise InputError(
                f"{folder} holds a run of another {' and '.join(other)}"
                f"{_differences(before, json.loads(text))}; choose another folder"
            )
        if (folder / shard_name(len(shards))).is_file():
            raise InputError(
                f"{folder} holds more than the {count_of(len(shards), 'shard')} of this source; "
                "choose another folder, or the same shard_size"
            )
    folder.make_folder()
    (folder / RUN_NAME).write(text.encode())
    return shards


def _differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What was asked then and is asked now, where that differs, in brackets."""
    names = ("model", "task")
    there, here = ({name: run.get(name) for name in names} for run in (before, now))
    there |= before["asked"] if isinstance(before.get("asked"), dict) else {}
    here |= now["asked"]
    found = [
        f"{name}: {shown(there.get(name))} there, {shown(here.get(name))} here"
        for name in {**there, **here}
        if there.get(name) != here.get(name)
    ]
    return f" ({'; '.join(found)})" if found else ""


def _what_is_left(
    task: Task, shards: Sequence[Shard], images: int
) -> tuple[Status, list[Shard], int]:
    """How far the run is, what is to be done, and of how many shards of it a file is there."""
    status, left, old = Status(len(shards), images), [], 0
    for shard, footer in zip(shards, read_footers(task.dest, len(shards)), strict=True):
        if isinstance(footer, Footer) and footer.is_done(task.origin, shard.digest):
            status = status.plus(footer)
        else:
            left.append(shard)
            old += isinstance(footer, Footer)
    return status, left, old
