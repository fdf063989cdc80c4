"""`samkit track`: objects through a video."""

from __future__ import annotations

from contextlib import closing, nullcontext
from pathlib import Path
from typing import Annotated, cast

import typer

from samkit.cli.options import (
    Bands,
    Device,
    Dtype,
    Feather,
    FillHoles,
    Largest,
    MinArea,
    Model,
    Refine,
    Scale,
    cleaning,
    load_model,
    reading,
)
from samkit.cli.parsing import names_file
from samkit.cli.streams import standard_streams
from samkit.cli.track.outputs import (
    JSON_FORMATS,
    Look,
    Outputs,
    check_ids,
    check_outputs,
    default_output,
    holds_pngs,
    png_error,
    png_writer,
)
from samkit.cli.track.prompts import read_prompts
from samkit.cli.track.run import Direction, TrackJob, check_job, run
from samkit.cli.track.setup import (
    about_network,
    about_run,
    can_be_gone_on_with,
    check_look,
    check_tracks,
    look_for,
    new_tracker,
    open_video,
    read_rules,
)
from samkit.cli.track.unfinished import UnfinishedRun, digest_of_run
from samkit.cli.usage import as_usage_error, check_choice, usage_error
from samkit.cli.words import check_finds

__all__ = ["track"]


def track(
    context: typer.Context,
    video: Annotated[
        str,
        typer.Argument(
            metavar="VIDEO",
            help="A video file, GIF, TIFF stack, folder or pattern of pictures, URL, camera's "
            "number, or - for a file on standard input.",
        ),
    ],
    point: Annotated[
        list[str],
        typer.Option(
            metavar="FRAME:ID:X,Y[,LABEL]",
            help="A click on a frame (from 0) about an object; label 1 (default): on it, "
            "0: not on it. Repeatable.",
        ),
    ] = [],  # noqa: B006
    box: Annotated[
        list[str],
        typer.Option(metavar="FRAME:ID:X0,Y0,X1,Y1", help="A box around an object. Repeatable."),
    ] = [],  # noqa: B006
    mask: Annotated[
        list[str],
        typer.Option(
            metavar="FRAME:ID:FILE",
            help="The mask of an object: white on black, or its id in an indexed PNG. Repeatable.",
        ),
    ] = [],  # noqa: B006
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='The same as JSON: \\[{"frame": 0, "object_id": 1, "points": [\\[x, y]], '
            '"labels": \\[1], "box": \\[x0, y0, x1, y1], "mask": "file.png"}, ...]; or -.',
        ),
    ] = None,
    find: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS",
            help='Find all objects of a kind in each frame, such as "red car", and follow them; '
            "several kinds with commas between. Only SAM 3 can.",
        ),
    ] = None,
    rule: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=VALUE",
            help="A rule by which what --find finds begins and ends, such as new_det_thresh=0.5: "
            "an argument of samkit.ConceptTracking. Repeatable.",
        ),
    ] = [],  # noqa: B006
    output: Annotated[
        list[str],
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="An overlay video .mp4, a cut-out video .mov (ProRes 4444 with opacity), COCO "
            ".json with run lengths (- for standard output), a table .csv, a stack of labels .tif, "
            "or a folder for indexed PNGs. Repeatable.",
            show_default="an .mp4 here, called after VIDEO",
        ),
    ] = [],  # noqa: B006
    format: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="What a .json is: coco; sav, masklets as in SA-V; or youtube-vos, the meta.json "
            "beside a folder of indexed PNGs.",
        ),
    ] = "coco",
    cutouts: Annotated[
        bool,
        typer.Option("--cutouts", help="Folders get PNGs with opacity, cut out of frames."),
    ] = False,
    fill_holes: FillHoles = None,
    min_area: MinArea = 0,
    largest: Largest = False,
    feather: Feather = 0.0,
    refine: Refine = 0,
    smooth: Annotated[
        int,
        typer.Option(
            min=0,
            max=16,
            metavar="N",
            help="Average outlines over so many frames before and after, so that they do not "
            "flicker; 4 is good.",
        ),
    ] = 0,
    direction: Annotated[
        str, typer.Option(metavar="WAY", help="forward, backward or both.")
    ] = "forward",
    start: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="FRAME",
            help="Where to begin.",
            show_default="the first frame with a prompt",
        ),
    ] = None,
    stop: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="FRAME",
            help="The frame before which to end (going backward: after which).",
            show_default="the end of the video",
        ),
    ] = None,
    non_overlapping: Annotated[
        bool, typer.Option("--non-overlapping", help="Each pixel belongs to one object at most.")
    ] = False,
    nearest_prompts: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Attend to so many prompted frames at once.",
            show_default="all; with SAM 3 four",
        ),
    ] = None,
    select_frames: Annotated[
        bool,
        typer.Option(
            "--select-frames", help="Do not attend to frames in which an object was hardly seen."
        ),
    ] = False,
    fps: Annotated[
        float | None,
        typer.Option(
            metavar="N", help="Frames per second of an .mp4 made of pictures.", show_default="25"
        ),
    ] = None,
    bands: Bands = None,
    scale: Scale = "full",
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Also write into a folder that holds PNGs already; those of runs before go.",
        ),
    ] = False,
    model: Model = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Follow objects through a video, from prompts on any of its frames.

    All prompts with one FRAME and ID are about that object on that frame. Coordinates are
    pixels of the frame, x to the right, y down. Ctrl-C ends after the current frame and keeps
    what is done.

    With one folder as OUT, an interrupted run goes on where it stopped: repeat the command. Files
    are begun anew, and so is a run with --smooth or --find.

    Example: samkit track cars.mp4 --box 0:1:5,5,90,80 --point 30:2:420,310 -o out.mp4 -o out.json
    Example: samkit track cars.mp4 --find "person, red car" -o out.mp4 -o out.json
    """
    if direction not in ("forward", "backward", "both"):
        raise usage_error(f"expected forward, backward or both, got {direction}", "--direction")
    if fps is not None and not 0.001 <= fps <= 1000:
        raise usage_error(f"expected a number from 0.001 to 1000, got {fps}", "--fps")
    how = reading(bands, scale)
    clean = cleaning(fill_holes, min_area, largest)
    check_choice(format, JSON_FORMATS, "--format")
    look = Look(json=format, cutouts=cutouts, feather=feather, refine=refine, clean=clean)
    streams = context.with_resource(standard_streams(*output))
    folder = Path() if str(prompts) == "-" else None
    prompts = None if prompts is None else Path(streams.input(str(prompts), "--prompts"))
    video = streams.input(video, "VIDEO")
    words, rules = read_rules(find, rule)
    frame_prompts = read_prompts(point, box, mask, prompts, folder, are_needed=not words)
    if "" in output:
        raise usage_error("expected the name of a file or folder", "-o")
    output = [streams.output(name, ".json") for name in output]
    for name in output:
        if "://" in name:
            raise usage_error(f"expected a file or folder, got an address: {name}", "-o")

    targets = [Path(name) for name in output] or [default_output(video)]
    files = [video, prompts, model, *(file for one in frame_prompts for file in one.files)]
    inputs = [Path(name) for name in files if name is not None]
    check_outputs(targets, inputs, overwrite=overwrite)
    check_look(look, targets)
    check_ids(targets, look, [prompt.object_id for prompt in frame_prompts])
    if words:
        model = model or "sam3"
        check_finds(model)
    if model is not None:
        check_tracks(model)
    frames = open_video(video, how)
    job = TrackJob(
        prompts=tuple(frame_prompts),
        direction=cast(Direction, direction),
        start=start,
        stop=stop,
        smooth=smooth,
        words=words,
    )
    check_job(job, frames)
    if fps is not None and frames.format is not None:
        raise usage_error("the video has times of its own", "--fps")

    # A run that is smoothed, or finds by words, is ahead of its files.
    can_go_on = can_be_gone_on_with(targets, frames) and not smooth and not words
    unfinished = UnfinishedRun(targets[0]) if can_go_on else None
    with closing(frames), nullcontext() if unfinished is None else closing(unfinished):
        there = None
        if unfinished is not None:
            with as_usage_error("VIDEO"):
                unfinished.about = about_run(
                    video,
                    job,
                    {
                        "--nearest-prompts": nearest_prompts,
                        "--select-frames": select_frames,
                        "--non-overlapping": non_overlapping,
                        "--bands": bands,
                        "--scale": scale,
                        "look": look,
                    },
                )
        if UnfinishedRun.is_in(targets[0]) and not overwrite:
            if unfinished is None:
                raise UnfinishedRun(targets[0]).refusal("with another video")
            there = unfinished.read()
            unfinished.check(there)
            unfinished.check_files(png_writer(targets[0], frames, look).path)

        predictor = load_model(model, device, dtype)
        if unfinished is not None:
            unfinished.about |= about_network(predictor)
        pngs, digest = targets[0], "" if unfinished is None else digest_of_run(unfinished.about)
        if unfinished is not None and there is not None:
            unfinished.check(there)
        elif not overwrite and not names_file(pngs) and holds_pngs(pngs):
            finished = job.span(frames.count or 0)
            if not (digest and png_writer(pngs, frames, look, digest).are_of_run(finished)):
                raise png_error(pngs)
            UnfinishedRun(pngs).remove()
            typer.echo(
                f"skipped: {pngs} holds all frames of this run (--overwrite makes them again)",
                err=True,
            )
            return
        else:
            for target in targets:
                UnfinishedRun(target).remove()
        with new_tracker(
            predictor, frames, unfinished, nearest_prompts, select_frames, non_overlapping
        ) as tracker:
            pictures = frames
            if words:
                pictures = look_for(tracker, words, rules, frames, video, how, context)
            name = Path(video).name or video
            outputs = Outputs(targets, pictures, look, name=name, rate=fps, run=digest)
            run(tracker, frames, job, outputs, unfinished)
