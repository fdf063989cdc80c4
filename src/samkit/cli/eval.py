"""`samkit eval`: how good a model is on annotated images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samkit.cli.options import Device, Dtype, load_model, model_names
from samkit.cli.parsing import FormatError, parse_whole
from samkit.cli.streams import standard_streams
from samkit.cli.usage import as_usage_error, check_choice, check_there, usage_error
from samkit.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from samkit.evaluation import InteractiveReport, ProposalReport, VideoReport
    from samkit.evaluation.video import FirstPrompt

__all__ = ["evaluate"]

_MOST_CLICKS = 1000


def evaluate(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name of `samkit models`, or a checkpoint.",
            autocompletion=model_names,
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="A COCO file of instances, a folder with images/ and masks/ (values are instance "
            "ids, 255 is ignored) or JPEGImages/ and Annotations/, or with such folders of "
            "sequences.",
        ),
    ],
    every: Annotated[int, typer.Option(min=1, help="Of folders, only each n-th image.")] = 1,
    min_area: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out objects below this part of the image.")
    ] = 0.005,
    clicks: Annotated[
        str, typer.Option(metavar="N,N,...", help="After how many clicks to measure; 0 for none.")
    ] = "1,3,5,8",
    everything: Annotated[
        bool, typer.Option("--everything", help="Measure what `samkit everything` finds instead.")
    ] = False,
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="Of --everything: default, recall or disjoint.")
    ] = "default",
    points_per_side: Annotated[int, typer.Option(min=1, metavar="N", help="Of --everything.")] = 32,
    video: Annotated[
        str | None,
        typer.Option(
            metavar="PROMPT",
            help="Measure tracking from a prompt on the first frame instead: mask, box or click.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Also write JSON; - for output."),
    ] = None,
    worst: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the 24 worst masks: the truth in green."),
    ] = None,
    worst_of: Annotated[
        str, typer.Option(metavar="PROMPT", help="Which row of the table --worst is about.")
    ] = "box",
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Prompt every annotated object with its box and with clicks; report the mean IoU.

    The first click is at the point farthest from the object's boundary, each next one at the
    centre of the largest error. F says how well outlines agree; "predicted" is what the model says
    of its own masks, and "off by" how far that is from the real IoU.

    With --everything: how many of the annotated masks are among those found without prompts, at an
    IoU of 0.5, 0.75 and 0.9, and COCO's average recall of the best 100 and 1000.

    With --video: how well each object of a sequence's first annotated frame is followed, as DAVIS
    measures it: J is the mean IoU, F the agreement of outlines; beside it what the first true mask
    scores unchanged. All frames from there on are tracked, those that have a mask are scored.

    Example: samkit eval pico --data voc/ -o voc.json --worst worst.png
    """
    counts = _counts(clicks)
    if worst is not None and (everything or video is not None):
        raise usage_error("it goes with prompts on images only", "--worst")
    first_prompt: FirstPrompt = "mask"
    if video is not None:
        first_prompt = check_choice(video, ("mask", "box", "click"), "--video")
        if everything or every != 1:
            raise usage_error("--video goes with neither --everything nor --every")
    if not everything and (preset != "default" or points_per_side != 32):
        raise usage_error("--preset and --points-per-side go with --everything")
    if worst is not None and worst.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise usage_error("expected a picture: .png, .jpg, .webp", "--worst")

    import json
    from contextlib import nullcontext

    from rich.console import Console
    from rich.progress import Progress

    import samkit
    from samkit import evaluation
    from samkit.media import write_atomically, write_image
    from samkit.media.writing import check_writable

    if worst is not None and worst_of not in (names := evaluation.protocol_names(counts)):
        raise usage_error(f"expected one of: {'; '.join(names)}; got {worst_of}", "--worst-of")
    streams = context.with_resource(standard_streams(output))
    output = None if output is None else Path(streams.output(str(output), ".json"))
    for file in (output, worst):
        if file is not None:
            check_writable(file)
    check_there(data, "--data")
    sequences = None if video is None else evaluation.open_sequences(data)
    dataset = evaluation.open_dataset(data, every=every)
    predictor = load_model(model, device, dtype, "MODEL")
    generator = None
    if everything:
        with as_usage_error():
            generator = samkit.AutomaticMaskGenerator(
                predictor, preset=preset, points_per_side=points_per_side
            )
    report: ProposalReport | InteractiveReport | VideoReport
    console = Console(stderr=True)
    bar = Progress(console=console)
    # Where nobody watches, an error is a line without a bar.
    with bar if console.is_terminal else nullcontext(bar) as progress:
        task = progress.add_task("images" if sequences is None else "frames", total=None)

        def on_item(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        if sequences is not None:
            report = evaluation.evaluate_video(
                evaluation.tracking_by(predictor), sequences, prompt=first_prompt, on_frame=on_item
            )
        elif generator is not None:
            report = evaluation.evaluate_proposals(
                generator, dataset, min_area=min_area, on_image=on_item
            )
        else:
            report = evaluation.evaluate_interactive(
                predictor, dataset, clicks=counts, min_area=min_area, on_image=on_item
            )
    Console(soft_wrap=True).print(_table(report, f"{model} on {data.name}", min_area))
    if output is not None:
        with write_atomically(output) as temporary:
            temporary.write_text(json.dumps(report.to_dict(), indent=1), encoding="utf-8")
    if worst is not None and isinstance(report, evaluation.InteractiveReport):
        write_image(worst, evaluation.contact_sheet(report.worst(worst_of, 24), dataset))


def _table(
    report: InteractiveReport | ProposalReport | VideoReport, what: str, min_area: float
) -> Table:
    from samkit.evaluation import ProposalReport, VideoReport

    headings: tuple[str, ...]
    rows: list[tuple[str | float, ...]]
    if isinstance(report, VideoReport):
        headings = ("sequence", "J&F", "J", "F", "J&F of the first mask repeated")
        scores, still = (*report.objects, report.mean()), (*report.still, report.still_mean())
        rows = [
            (score.name, score.j_and_f, score.j, score.f, repeated.j_and_f)
            for score, repeated in zip(scores, still, strict=True)
        ]
        return _formatted(f"{what}, objects: {len(report.objects)}", headings, rows)
    if isinstance(report, ProposalReport):
        count = report.objects
        headings = ("recall at 0.5", "0.75", "0.9", "AR@100", "AR@1000", "masks per image")
        recalls = (report.recall_50, report.recall_75, report.recall_90)
        averages = (report.average_recall_100, report.average_recall_1000)
        rows = [(*recalls, *averages, f"{report.proposals_per_image:.0f}")]
    else:
        count = len(report.objects)
        headings = ("prompt", "mean IoU", "F", "predicted", "off by")
        rows = [
            (row.protocol, row.iou, row.boundary_f, row.predicted_iou, row.calibration_error)
            for row in report.means().values()
        ]
    if not count:
        raise InputError(f"no object covers {min_area:.2%} of its image or more")
    title = f"{what}: {count} objects of {min_area:.2%} of the image and more"
    return _formatted(title, headings, rows)


def _formatted(title: str, headings: tuple[str, ...], rows: list[tuple[str | float, ...]]) -> Table:
    """A table of text, and of numbers with three digits."""
    from rich.table import Table

    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("sequence", "prompt") else "right")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, str) else f"{cell:.3f}" for cell in row))
    return table


def _counts(text: str) -> tuple[int, ...]:
    if text.strip() == "0":
        return ()
    try:
        counts = tuple(parse_whole(part.strip()) for part in text.split(","))
    except FormatError:
        counts = (0,)
    if min(counts) < 1 or max(counts) > _MOST_CLICKS:
        raise usage_error(
            f"expected numbers from 1 to {_MOST_CLICKS} such as 1,3,5, got {text:.80}", "--clicks"
        )
    return counts
