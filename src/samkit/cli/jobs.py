"""Images to work on one by one, and the files that come out: shared by several commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from samkit.cli.parsing import names_file

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from samkit import Masks

__all__ = ["Job", "plan_jobs", "run_jobs"]

# What a format's file is called after the image's name.
_ENDINGS = {
    "png": ".png",
    "overlay": "_overlay.png",
    "coco": ".json",
    "jsonl": ".jsonl",
    "npz": ".npz",
    "polygons": "_polygons.json",
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One image and the files to write.

    Attributes:
        source: the image.
        targets: file to write -> its format, as `Masks.save` names it.
    """

    source: Path
    targets: dict[Path, str]

    @property
    def is_done(self) -> bool:
        """Whether all files are there; each is written whole or not at all."""
        return all(target.is_file() for target in self.targets)

    def save(self, masks: Masks, image: npt.NDArray[np.uint8]) -> None:
        """Write all files."""
        for target, kind in self.targets.items():
            masks.save(target, format=kind, image=image if kind == "overlay" else self.source)


def plan_jobs(images: list[str], output: Path | None, formats: Sequence[str]) -> list[Job]:
    """What to do; wrong usage is found before any work.

    Args:
        images: files, folders and patterns.
        output: a file (for one image and one format), a folder, or None for this folder.
        formats: empty for the one that suits: by a file's suffix, png in a folder, and an overlay
            where no output is named.
    """
    from collections import Counter

    from samkit.errors import ImageError, InputError
    from samkit.masks import format_of
    from samkit.media import list_images

    for kind in formats:
        if kind not in _ENDINGS:
            raise typer.BadParameter(
                f"expected one of {', '.join(_ENDINGS)}, got {kind}", param_hint="--format"
            )
    try:
        sources = list_images(images)
    except ImageError as error:
        raise typer.BadParameter(str(error), param_hint="IMAGE") from None

    jobs: list[Job] = []
    if output is not None and names_file(output):
        if len(sources) > 1 or len(formats) > 1:
            many = f"{len(sources)} images" if len(sources) > 1 else f"{len(formats)} formats"
            raise typer.BadParameter(
                f"{many} need a folder, got the file {output}", param_hint="-o"
            )
        asked = formats[0] if formats else None
        try:
            overlay = asked == "overlay" or (asked is None and output.suffix.lower() != ".png")
            kind = format_of(output, asked, has_image=overlay)
        except InputError as error:
            raise typer.BadParameter(str(error), param_hint="-o") from None
        jobs = [Job(source=sources[0], targets={output: kind})]
    else:
        kinds = formats or ["overlay" if output is None else "png"]
        folder = output or Path()
        stems = Counter(source.stem for source in sources)
        for source in sources:
            # dog.jpg and dog.webp become dog_jpg.png and dog_webp.png.
            name = source.stem if stems[source.stem] == 1 else source.name.replace(".", "_")
            targets = {folder / (name + _ENDINGS[kind]): kind for kind in kinds}
            jobs.append(Job(source=source, targets=targets))

    inputs = {source.resolve() for source in sources}
    taken: dict[Path, Path] = {}
    for job in jobs:
        for target in job.targets:
            place = target.resolve()
            if place in inputs:
                raise typer.BadParameter(
                    f"{target} would overwrite an image that is read; choose another place",
                    param_hint="-o",
                )
            if place in taken:
                raise typer.BadParameter(
                    f"{job.source} and {taken[place]} have one name, and would both be {target}; "
                    "run the command once for each folder",
                    param_hint="-o",
                )
            taken[place] = job.source
    return jobs


def run_jobs(jobs: Sequence[Job], work: Callable[[Job], str]) -> None:
    """Do all jobs and say what came out; a bad image does not stop the others.

    Args:
        jobs: what to do.
        work: does one job, and says in a few words what it gave.

    Raises:
        typer.Exit: 1 at the end, if some image failed.
    """
    from rich.console import Console
    from rich.progress import track

    from samkit.errors import SamkitError

    done = 0
    console = Console(stderr=True)
    hidden = len(jobs) < 2 or not console.is_terminal
    failures = []
    for job in track(jobs, "Segmenting", console=console, transient=True, disable=hidden):
        try:
            outcome = work(job)
        except SamkitError as error:
            failures.append((job.source, str(error)))
        except KeyboardInterrupt:
            typer.echo(f"stopped after {done} of {len(jobs)} images", err=True)
            raise typer.Exit(130) from None
        else:
            done += 1
            typer.echo(f"{', '.join(map(str, job.targets))}: {outcome}")
    for source, reason in failures:
        typer.echo(f"error: {source}: {reason}", err=True)
    if failures:
        if len(jobs) > 1:
            typer.echo(f"{len(failures)} of {len(jobs)} images failed", err=True)
        raise typer.Exit(1)
