"""What `samkit track` makes ready: the video, the tracker, and what a run is."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from samkit.cli.parsing import names_file
from samkit.cli.track.outputs import Look, pictures
from samkit.cli.track.run import TrackJob
from samkit.cli.track.unfinished import UnfinishedRun, digest_of_files, digest_of_prompts
from samkit.cli.usage import as_usage_error, usage_error
from samkit.cli.words import cannot_find, parse_words
from samkit.errors import InputError

if TYPE_CHECKING:
    from samkit import ConceptTracking, ImagePredictor, VideoPredictor
    from samkit.media.frames import Frames

__all__ = [
    "about_network",
    "about_run",
    "can_be_gone_on_with",
    "check_look",
    "check_tracks",
    "look_for",
    "new_tracker",
    "open_video",
    "read_rules",
]


def read_rules(
    words: str | None, rules: list[str]
) -> tuple[tuple[str, ...], ConceptTracking | None]:
    """What --find and --rule say: words, and by which rules they are tracked; perhaps nothing.

    Raises:
        typer.BadParameter: no words, or no rule or value of one.
    """
    if words is None:
        if rules:
            raise usage_error("it is about what --find finds", "--rule")
        return (), None
    from samkit import ConceptTracking

    names = tuple(parse_words(words, "--find"))
    values: dict[str, Any] = {}
    defaults = {field.name: field.default for field in fields(ConceptTracking)}
    for rule in rules:
        name, _, text = rule.partition("=")
        if name not in defaults:
            raise usage_error(
                f"expected NAME=VALUE with a NAME of {', '.join(defaults)}, got {rule!r}", "--rule"
            )
        values[name] = _value(text, defaults[name])
    with as_usage_error("--rule"):
        return names, ConceptTracking(**values)


def _value(text: str, default: object) -> object:
    """A number or a switch; what is none is left to be refused by its rule."""
    if isinstance(default, bool):
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    try:
        return int(text) if isinstance(default, int) else float(text)
    except ValueError:
        return text


def check_tracks(model: str) -> None:
    """Check that a model that is known by its name has a memory, before it is downloaded.

    Raises:
        typer.BadParameter: it has none.
    """
    from samkit.memory.arguments import check_memory
    from samkit.weights import MODELS

    if model in MODELS:
        with as_usage_error("-m"):
            check_memory(MODELS[model].config, f"{model} cannot track: that")


def look_for(
    tracker: VideoPredictor,
    words: tuple[str, ...],
    rules: ConceptTracking | None,
    frames: Frames,
    video: str,
    how: dict[str, Any],
    context: typer.Context,
) -> Frames:
    """Look for words -> the frames that outputs read.

    Results come later than their frames, which outputs therefore read for themselves, one after
    the other. Of a camera or URL, which is read once, results have to come at once.

    Args:
        tracker: new.
        words, rules: of `read_rules`.
        frames: of the tracker.
        video, how: arguments of `open_video`.
        context: closes what is opened.

    Raises:
        typer.BadParameter: the model cannot find by words.
    """
    if not tracker.predictor.can_find:
        raise cannot_find("this model")
    if rules is not None and not frames.seekable:
        rules = replace(rules, hotstart_delay=0)
    tracker.find(words, settings=rules)
    if not frames.seekable:
        return frames
    return context.with_resource(closing(open_video(video, how)))


def open_video(video: str, how: dict[str, Any]) -> Frames:
    """The frames of VIDEO.

    Raises:
        typer.BadParameter: nothing is called so, or --bands or --scale are not for it.
        InputError: it cannot be read.
    """
    from samkit.media import list_images
    from samkit.media.frames import open_frames

    with as_usage_error("VIDEO"):
        if video.isdecimal() and not os.path.exists(video):
            return open_frames(int(video), **how)
        if "://" not in video and (os.path.isdir(video) or not os.path.exists(video)):
            list_images(video)
    frames = open_frames(video)
    if how["bands"] is None and how["scale"] == "full":
        return frames
    frames.close()
    with as_usage_error("--bands or --scale"):
        return open_frames(video, **how)


def check_look(look: Look, targets: list[Path]) -> None:
    """Options that change nothing are wrong usage."""
    has_folder = any(not names_file(target) for target in targets)
    if look.cutouts and not has_folder:
        raise usage_error("expected a folder as OUT, or -o OUT.mov without it", "--cutouts")
    if look.json != "coco" and not any(target.suffix.lower() == ".json" for target in targets):
        raise usage_error("it says what a .json is: expected -o OUT.json", "--format")
    has_film = any(target.suffix.lower() == ".mov" for target in targets)
    if (look.feather or look.refine) and not (look.cutouts or has_film):
        raise usage_error(
            "cut-outs have soft edges: -o OUT.mov or --cutouts", "--feather, --refine"
        )


def can_be_gone_on_with(targets: list[Path], frames: Frames) -> bool:
    """Whether a run can be interrupted and gone on with."""
    return len(targets) == 1 and not names_file(targets[0]) and frames.seekable


def new_tracker(
    predictor: ImagePredictor,
    frames: Frames,
    unfinished: UnfinishedRun | None,
    nearest_prompts: int | None,
    select_frames: bool,
    non_overlapping: bool,
) -> VideoPredictor:
    """A new tracker, or that of the unfinished run."""
    from samkit import VideoPredictor

    if unfinished is None or unfinished.session is None or unfinished.frames is None:
        return VideoPredictor(
            predictor,
            frames,
            nearest_prompts=nearest_prompts,
            select_frames=select_frames,
            non_overlapping=non_overlapping,
        )
    try:
        tracker = VideoPredictor.load(unfinished.session, predictor, frames)
    except InputError as error:
        raise unfinished.refusal(f"that cannot be gone on with ({error})") from None
    first, last = unfinished.frames
    typer.echo(f"going on after frames {first} to {last} of an unfinished run", err=True)
    return tracker


def about_run(video: str, job: TrackJob, options: dict[str, object]) -> dict[str, str]:
    """What a run is, so that it is not mistaken for another one."""
    from samkit import __version__
    from samkit.media.files import as_path

    path = as_path(video)
    options |= {"--direction": job.direction, "--start": job.first, "--stop": job.stop}
    return {
        "version of samkit": __version__,
        "video": digest_of_files([path] if path.is_file() else pictures(path)),
        "set of prompts": digest_of_prompts(job.prompts),
        **{name: str(value) for name, value in options.items()},
    }


def about_network(predictor: ImagePredictor) -> dict[str, str]:
    from samkit.weights.tensor_file import fingerprint

    return {
        "--model": fingerprint(predictor.network),
        "--device": predictor.device.type,
        "--dtype": str(predictor.dtype),
    }
