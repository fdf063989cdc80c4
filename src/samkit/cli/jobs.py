"""Images to segment one by one, and their output files: shared by several commands."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from samkit.cli.parsing import names_file, real_path
from samkit.cli.streams import StandardStreams, name_of
from samkit.cli.usage import as_usage_error, check_choice, usage_error
from samkit.cli.yolo_classes import YoloClasses
from samkit.errors import SamkitError, count_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from samkit import Masks
    from samkit.masks.datasets import DatasetWriter

__all__ = ["ImageWork", "Job", "find_images", "holds_all", "make_jobs", "run_jobs", "unfinished"]

# Format -> the file in a folder, of an image's name.
_FILES = {
    "png": "{}.png",
    "tiff": "{}.tif",
    "overlay": "{}_overlay.png",
    "cutout": "{}_cutout.png",
    "coco": "{}.json",
    "jsonl": "{}.jsonl",
    "csv": "{}.csv",
    "geojson": "{}.geojson",
    "gpkg": "{}.gpkg",
    "yolo": "{}.txt",
    "npz": "{}.npz",
    "polygons": "{}_polygons.json",
    "labelme": "{}.json",
    "labelstudio": "{}_labelstudio.json",
    "voc-class": "SegmentationClass/{}.png",
    "voc-object": "SegmentationObject/{}.png",
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One image and its output files.

    Attributes:
        source: the image.
        targets: output file -> its format, as `Masks.save` names it; none where the masks of all
            images go into one file.
    """

    source: Path
    targets: dict[Path, str]

    @property
    def missing(self) -> dict[Path, str]:
        """Targets that are not there; each is written whole or not at all."""
        return {path: kind for path, kind in self.targets.items() if not os.path.isfile(path)}

    def check_maps(self) -> None:
        """Raise the SamkitError of a map that cannot be written, before long work."""
        from samkit.masks.maps import place_on_map

        for kind in self.targets.values():
            place_on_map(kind, self.source)

    def save(self, masks: Masks, image: npt.NDArray[np.uint8], **options: Any) -> None:
        """Write all output files, with other options of `Masks.save`."""
        from samkit.masks.formats import PICTURES_OF_THE_IMAGE

        for target, kind in self.targets.items():
            picture = image if kind in PICTURES_OF_THE_IMAGE else self.source
            masks.save(target, format=kind, image=picture, **options)


def make_jobs(
    sources: Sequence[Path],
    output: Path | None,
    formats: Sequence[str],
    streams: StandardStreams,
    *,
    several: bool = False,
) -> list[Job]:
    """Jobs for all images; errors of usage are raised before any work.

    Args:
        sources: the images, as `find_images` gives them.
        output: a file or `-` for standard output (for one image and one format), one of
            `holds_all`, a folder, or None for the current folder.
        formats: empty for the default: by a file's suffix, png in a folder, an overlay without
            an output.
        streams: standard input and output.
        several: the masks of all images go into the output, also if there is one only.
    """
    from samkit.masks import format_of
    from samkit.masks.formats import PICTURES_OF_THE_IMAGE

    for kind in formats:
        check_choice(kind, _FILES, "--format")
    if str(output) == "-":
        suffix = Path(_FILES[formats[0] if formats else "png"]).suffix
        output = Path(streams.output("-", suffix))
    if output is not None and re.match(r"[A-Za-z]{2,}:/", output.as_posix()):
        raise usage_error(f"expected a file or folder, got an address: {output}", "-o")
    if holds_all(sources, output, formats, several=several):
        jobs = [Job(source=source, targets={}) for source in sources]
        _check_targets([*jobs, Job(source=sources[0], targets={cast(Path, output): ""})])
        return jobs
    if output is not None and names_file(output):
        if len(sources) > 1 or len(formats) > 1:
            count = len(sources) if len(sources) > 1 else len(formats)
            noun = "image" if len(sources) > 1 else "format"
            raise usage_error(
                f"{count_of(count, noun)} need a folder, got the file {name_of(output)}", "-o"
            )
        wanted = formats[0] if formats else None
        # A name such as a.jpg or a.webp is of a picture; a.png and a.tif are of masks.
        is_picture = output.suffix.lower() not in (".png", ".tif", ".tiff")
        has_image = wanted in PICTURES_OF_THE_IMAGE or (wanted is None and is_picture)
        with as_usage_error("-o"):
            kind = format_of(output, wanted, has_image=has_image)
        jobs = [Job(source=sources[0], targets={output: kind})]
    else:
        kinds = formats or ["overlay" if output is None else "png"]
        jobs = []
        for source, name in zip(sources, _result_names(sources), strict=True):
            files = [(output or Path()) / _FILES[kind].format(name) for kind in kinds]
            if len(set(files)) < len(set(kinds)):
                both = " and ".join(kinds)
                raise usage_error(
                    f"{both} would both be {files[-1]}; run it once for each", "--format"
                )
            jobs.append(Job(source=source, targets=dict(zip(files, kinds, strict=True))))
    _check_targets(jobs)
    return jobs


def _result_names(sources: Sequence[Path]) -> list[str]:
    """What the results of images are called in a folder, without a suffix.

    dog.jpg and dog.webp become dog_jpg and dog_webp. Where two images in different folders have one
    name, all keep their path below the folder that holds them all.
    """
    names = [Path(source.name) for source in sources]
    if len(set(names)) < len(names):
        places = [Path(os.path.abspath(source)) for source in sources]
        with suppress(ValueError):  # on two drives
            common = os.path.commonpath([place.parent for place in places])
            names = [place.relative_to(common) for place in places]
    stems = Counter(name.with_suffix("") for name in names)
    return [
        str(stem if stems[stem] == 1 else name.with_name(name.name.replace(".", "_")))
        for name in names
        for stem in [name.with_suffix("")]
    ]


def find_images(images: list[str], streams: StandardStreams) -> list[Path]:
    """The images of files, folders and patterns; `-` is standard input."""
    from samkit.media import list_images

    with as_usage_error("IMAGE"):
        return list_images([streams.input(image, "IMAGE") for image in images])


def holds_all(
    sources: Sequence[Path], output: Path | None, formats: Sequence[str], *, several: bool = False
) -> bool:
    """Whether the masks of all images go into one file."""
    from samkit.masks.datasets import DATASET_FORMATS

    if output is None or not names_file(output) or not (several or len(sources) > 1):
        return False
    kinds = DATASET_FORMATS.get(output.suffix.lower(), ())
    return bool(kinds) and len(formats) < 2 and set(formats) <= set(kinds)


def _check_targets(jobs: list[Job]) -> None:
    """No input is overwritten, and no output is written twice."""
    inputs = {real_path(job.source) for job in jobs}
    written: dict[Path, Path] = {}
    for job in jobs:
        for target in job.targets:
            path = real_path(target)
            if path in inputs:
                raise usage_error(
                    f"{target} would overwrite an image that is read; choose another place", "-o"
                )
            if path in written:
                raise usage_error(
                    f"{job.source} and {written[path]} would both be {target}; run the command "
                    "once for each",
                    "-o",
                )
            written[path] = job.source


def unfinished(jobs: list[Job], output: Path | None, *, overwrite: bool) -> list[Job]:
    """Jobs without the files that are in a folder of results already, and a line about them.

    Args:
        jobs: as `make_jobs` gives them.
        output: as `make_jobs` takes it; only in a folder anything is left out.
        overwrite: leave nothing out.
    """
    if overwrite or output is None or names_file(output) or str(output) == "-":
        return jobs
    left = [replace(job, targets=missing) for job in jobs if (missing := job.missing)]
    if len(left) < len(jobs):
        typer.echo(
            f"skipped {len(jobs) - len(left)} of {count_of(len(jobs), 'image')}: the results are "
            "there already, of whatever prompts and options (--overwrite makes them again)",
            err=True,
        )
    return left


@dataclass(frozen=True, kw_only=True)
class ImageWork:
    """What a process does with each image, once its model is loaded.

    Attributes:
        read: file -> image: (H, W, 3) uint8 RGB, where no target needs pixels anything else.
        segment: job and image -> masks.
        describe: masks -> a few words for the line.
        category: job and masks -> the name of the category of each mask.
    """

    read: Callable[[Path], Any]
    segment: Callable[[Job, Any], Masks]
    describe: Callable[[Masks], str]
    category: Callable[[Job, Masks], list[str]]


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What became of an image: it failed, or was described; its masks where one file has all."""

    failure: str | None = None
    description: str = ""
    masks: Masks | None = None
    category: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Begin:
    """Loads the model of a process; gives what does a job."""

    begin: Callable[[], ImageWork]
    classes: YoloClasses
    options: dict[str, Any]

    def __call__(self) -> Callable[[Job], _Outcome]:
        return partial(_do, self.begin(), self.classes, self.options)


def _do(work: ImageWork, classes: YoloClasses, options: dict[str, Any], job: Job) -> _Outcome:
    try:
        job.check_maps()
        image = work.read(job.source)
        masks = work.segment(job, image)
        names = work.category(job, masks)
        description = work.describe(masks)
        if not job.targets:
            return _Outcome(description=description, masks=masks.without_logits(), category=names)
        classes.write()
        job.save(masks, image, category=names, categories=classes.names, **options)
        return _Outcome(description=description)
    except SamkitError as error:
        is_named = str(job.source) in str(error)
        return _Outcome(failure=str(error) if is_named else f"{job.source}: {error}")


def run_jobs(
    jobs: Sequence[Job],
    begin: Callable[[], ImageWork],
    *,
    classes: YoloClasses,
    processes: int = 1,
    output: Path | None = None,
    formats: Sequence[str] = (),
    base: Path | None = None,
    **options: Any,
) -> None:
    """Do all jobs and print a line for each; an image that fails does not stop the others.

    Args:
        jobs: what to do.
        begin: loads the model; called in each process, so it can be pickled.
        classes: all names of categories, and their file.
        processes: how many share the jobs; 1 is this one.
        output: the file of all images, where jobs have no targets, and
        formats: its format, or empty for that of its suffix.
        base: images in this folder are called relative to it in that file.
        options: others of `Masks.save`.

    Raises:
        typer.Exit: 1 at the end if an image failed, 130 after Ctrl-C.
    """
    from samkit.cli.progress import progress_line
    from samkit.masks.datasets import open_dataset_writer

    doing = _Begin(begin=begin, classes=classes, options=options)
    whole = None
    if not jobs[0].targets:
        kind = formats[0] if formats else None
        whole = open_dataset_writer(cast(Path, output), classes.names, format=kind)
    done = 0
    failures = []
    stopped = False
    try:
        with (
            closing(_outcomes(jobs, doing, min(processes, len(jobs)))) as outcomes,
            progress_line(len(jobs)) as advance,
        ):
            for job, outcome in zip(jobs, outcomes, strict=True):
                failure = outcome.failure
                if failure is None and whole is not None:
                    failure = _add(whole, job, outcome, base)
                if failure is None:
                    done += 1
                    place = ", ".join(map(name_of, job.targets or [job.source]))
                    typer.echo(f"{place}: {outcome.description}")
                else:
                    failures.append(failure)
                advance()
    except KeyboardInterrupt:
        stopped = True
    if whole is not None and not done:
        whole.discard()
    elif whole is not None:
        try:
            whole.close()
        except SamkitError as error:
            failures.append(str(error))
        else:
            typer.echo(f"{name_of(cast(Path, output))}: {count_of(done, 'image')}")
    if stopped:
        typer.echo(f"stopped after {done} of {len(jobs)} images", err=True)
        raise typer.Exit(130)
    for failure in failures:
        typer.echo(f"error: {failure}", err=True)
    if failures:
        if len(jobs) > 1:
            typer.echo(f"{len(failures)} of {len(jobs)} images failed", err=True)
        raise typer.Exit(1)


def _outcomes(
    jobs: Sequence[Job], doing: _Begin, processes: int
) -> Generator[_Outcome, None, None]:
    """What becomes of each job, in their order."""
    from samkit.processes import Ended, in_processes

    if processes == 1:
        yield from map(doing(), jobs)
        return
    results = in_processes(doing, jobs, processes, lambda line: typer.echo(line, err=True))
    with closing(results):
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, Ended):
                text = f"{job.source}: two processes ended in the middle of it ({result.reason})"
                result = _Outcome(failure=text)
            yield result


def _add(whole: DatasetWriter, job: Job, outcome: _Outcome, base: Path | None) -> str | None:
    """Write masks to the file of all images; what was wrong, if anything."""
    is_beside = base is not None and job.source.is_relative_to(base)
    name = job.source.relative_to(cast(Path, base)) if is_beside else job.source
    try:
        whole.write(name, cast("Masks", outcome.masks), outcome.category)
    except SamkitError as error:
        return f"{job.source}: {error}"
    return None
