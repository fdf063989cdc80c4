"""`samkit find`: all objects of some kinds in images, by words or examples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samkit.cli.jobs import ImageWork, find_images, make_jobs, run_jobs, unfinished
from samkit.cli.options import (
    Bands,
    Device,
    Dtype,
    Images,
    Jobs,
    Output,
    Overwrite,
    Page,
    Scale,
    load_model,
    model_names,
    reading,
)
from samkit.cli.parsing import FormatError, names_file, parse_numbers
from samkit.cli.streams import standard_streams
from samkit.cli.usage import as_usage_error, usage_error
from samkit.cli.words import cannot_find, check_finds, parse_words
from samkit.cli.yolo_classes import YoloClasses
from samkit.errors import count_of

if TYPE_CHECKING:
    from samkit import Concept, Masks

__all__ = ["find"]


def find(
    context: typer.Context,
    images: Images,
    words: Annotated[
        str,
        typer.Argument(
            metavar="WORDS",
            help='What to find, such as "red cup"; several with commas between. "" where boxes '
            "alone say it.",
        ),
    ],
    box: Annotated[
        list[str],
        typer.Option(
            metavar="X0,Y0,X1,Y1[,LABEL]",
            help="A box around an example, of label 1 (the default), or around what is not meant, "
            "of label 0. Repeatable; they go with each of the words.",
        ),
    ] = [],  # noqa: B006
    output: Output = None,
    format: Annotated[
        list[str],
        typer.Option(
            metavar="FORMAT",
            help="coco, jsonl, csv, geojson, gpkg, yolo, overlay, cutout, png, tiff, labelstudio, "
            "labelme, voc-class, voc-object, npz or polygons. Repeatable.",
            show_default="by OUT's suffix; coco for a folder; overlay without OUT",
        ),
    ] = [],  # noqa: B006
    threshold: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="P", help="Keep objects more probable than this."),
    ] = 0.5,
    page: Page = None,
    bands: Bands = None,
    scale: Scale = "full",
    overwrite: Overwrite = False,
    processes: Jobs = 1,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="SAM 3: its name, a checkpoint file, or a Hugging Face folder or id.",
            autocompletion=model_names,
        ),
    ] = "sam3",
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Find all objects of some kinds in images, by words or by examples. Only SAM 3 can.

    The words are the category of each mask; without them it is "visual". Boxes are in pixels of the
    image, and serve every image alike: a box means all objects that are like the one in it. In a
    folder of results, files that are there are left out, so that an interrupted run goes on where
    it stopped.

    Example: samkit find photos/ "red cup, spoon" -o found.json

    Example: samkit find dog.jpg "" --box 10,20,90,80 -o dogs.json
    """
    concepts = _concepts(words, box)
    check_finds(model)
    how = reading(bands, scale)
    into_folder = output is not None and not names_file(output)  # or to standard output
    formats = format or (["coco"] if into_folder else [])
    streams = context.with_resource(standard_streams(output))
    jobs = make_jobs(find_images(images, streams), output, formats, streams)
    jobs = unfinished(jobs, output, overwrite=overwrite)
    if not jobs:
        return
    classes = YoloClasses(
        [job.targets for job in jobs],
        streams.result or output,
        list(dict.fromkeys(concept.name for concept in concepts)),
    )
    run_jobs(
        jobs,
        _Find(
            model=(model, device, dtype),
            concepts=concepts,
            threshold=threshold,
            reading={"page": page, **how},
        ),
        classes=classes,
        processes=processes,
        output=streams.result or output,
        formats=formats,
    )


@dataclass(frozen=True, kw_only=True)
class _Find:
    """Loads the model; gives what finds the objects in an image."""

    model: tuple[str, str, str]
    concepts: list[Concept]
    threshold: float
    reading: dict[str, Any]

    def __call__(self) -> ImageWork:
        import samkit

        predictor = load_model(*self.model)
        if not predictor.can_find:
            raise cannot_find(self.model[0])
        predictor.load_detector()  # so that what a process takes is known before others begin
        return ImageWork(
            read=partial(samkit.read_image, **self.reading),
            segment=lambda _, image: predictor.find(image, self.concepts, threshold=self.threshold),
            describe=_describe,
            category=lambda _, masks: _names(masks),
        )


def _concepts(words: str, boxes: list[str]) -> list[Concept]:
    """A concept for each of the words, with the same examples; or one of examples alone."""
    from samkit import Concept

    numbers = [_parsed_box(text) for text in boxes]
    corners, labels = [each[:4] for each in numbers], [int(each[4]) for each in numbers]
    texts: list[str | None] = [None]
    if words.strip() or not boxes:
        texts = [*parse_words(words, "WORDS")]
    with as_usage_error("--box"):
        return [Concept(text, boxes=corners, labels=labels or None) for text in texts]


def _parsed_box(text: str) -> list[float]:
    """X0, Y0, X1, Y1 and the label."""
    try:
        numbers = parse_numbers(text, (4, 5))
    except FormatError:
        numbers = []
    if len(numbers) == 4:
        numbers.append(1.0)
    if numbers[4:] not in ([0.0], [1.0]):
        raise usage_error(
            f"expected numbers x0,y0,x1,y1 or x0,y0,x1,y1,label with label 1 or 0, got {text!r}",
            "--box",
        )
    return numbers


def _names(masks: Masks) -> list[str]:
    return [] if masks.names is None else [str(name) for name in masks.names]


def _describe(masks: Masks) -> str:
    found = _names(masks)
    kinds = ", ".join(f"{found.count(name)} {name}" for name in dict.fromkeys(found))
    return f"{count_of(len(masks), 'mask')}{': ' if kinds else ''}{kinds}"
