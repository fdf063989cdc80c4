"""Rows of the bench: frames of a video, with a full memory.

Each program is prompted in frame 0 and tracks frame 1. What it remembers of frame 1 is then taken
for its memory of those after it too, so that the memory is full at once: the prompted frame and
the six frames before, and 15 pointers. The content of a memory changes no timing.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from bench_measure import Job, Settings
from bench_peers import (
    Weights,
    in_autocast,
    installed,
    quiet,
    sam2_model,
    transformers_model,
    ultralytics_model,
)
from PIL import Image
from torch import nn

import samkit
from samkit import ImagePredictor, Prompt
from samkit.media.video_writer import VideoWriter

__all__ = [
    "FULL",
    "pico_tracked_frame",
    "track",
    "track_by_transformers",
    "tracked_frame",
]

# (H, W) of frames.
_FRAME = (480, 854)
# How many more frames than those of the turns there are.
_SPARE = 4

FULL = 16
"""The first frame with a full memory."""

Boxes = list[list[float]]


def tracked_frame(objects: int) -> Callable[[Path, Settings], Job]:
    """A frame is looked at, objects are found in it, and remembered; SAM 2.1 tiny."""

    def prepare(folder: Path, settings: Settings) -> Job:
        weights, dtype = Weights("sam2.1-tiny", folder), settings.dtype
        count = FULL + settings.runs + _SPARE
        frames = np.random.default_rng(0).integers(0, 256, (count, *_FRAME, 3), np.uint8)
        boxes = [[10.0 + 30 * i, 40.0, 210.0 + 30 * i, 300.0] for i in range(objects)]
        predictor = ImagePredictor(weights.network, dtype=dtype)
        prompts = [Prompt.box(*box) for box in boxes]
        jobs = {"samkit": track(predictor, frames, prompts)}
        if installed("transformers"):
            pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).to(dtype) / 255 - 0.5
            jobs["transformers"] = track_by_transformers(
                transformers_model(weights.hugging_face(), dtype),
                F.interpolate(pixels, (1024, 1024)),
                _FRAME,
                boxes,
            )
        if installed("sam2"):
            jobs["sam2"] = _track_by_sam2(weights, frames, boxes, dtype)
        if installed("ultralytics") and dtype == torch.float32:
            jobs["ultralytics"] = _track_by_ultralytics(weights, frames, boxes)
        contenders = {name: _next(results) for name, results in jobs.items()}
        # The frames before are warm enough.
        return Job(contenders=contenders, work=contenders["samkit"], warm=0)

    return prepare


def pico_tracked_frame(folder: Path, settings: Settings) -> Job:
    """The same with the small model, of a photograph."""
    image = samkit.read_image(Path(__file__).parent.parent / "examples" / "coffee.jpg")
    frames = np.broadcast_to(image, (FULL + settings.runs + 2 * _SPARE, *image.shape))
    own = _next(track(samkit.load("pico"), frames, [Prompt.point(300, 200)]))
    return Job(contenders={"samkit": own}, work=own, warm=_SPARE)


def _next(results: Iterator[object]) -> Callable[[], object]:
    return lambda: next(results)


def _fill(outputs: dict[int, object]) -> None:
    """The memory of frame 1 for all frames up to the first with a full memory."""
    for frame in range(2, FULL):
        outputs[frame] = outputs[1]


def track(predictor: ImagePredictor, frames: np.ndarray, prompts: list[Prompt]) -> Iterator[object]:
    """Results of the frames (T, H, W, 3) from `FULL` on, with a full memory of the prompts."""
    tracker = samkit.VideoPredictor(predictor, frames)
    for i, prompt in enumerate(prompts):
        tracker.prompt(0, i, prompt)
    for _ in tracker.track(stop=2):
        pass
    for state in tracker._session.objects.values():
        _fill(state.bank.tracked)
    return tracker.track(start=FULL)


def track_by_transformers(
    model: nn.Module, pixels: torch.Tensor, size: tuple[int, int], boxes: Boxes
) -> Iterator[object]:
    """The same in a video model of transformers, from normalised frames (T, 3, H, W) on."""
    kind = type(model)
    name = kind.__name__.replace("Model", "InferenceSession")
    session = getattr(sys.modules[kind.__module__], name)(
        video=pixels, video_height=size[0], video_width=size[1], dtype=pixels.dtype
    )
    for i, box in enumerate(boxes):
        inputs = {
            "point_coords": torch.tensor(box).view(1, 1, 2, 2),
            "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32),
        }
        session.add_point_inputs(session.obj_id_to_idx(i), 0, inputs)
    session.obj_with_new_inputs = list(range(len(boxes)))
    for number in range(2):
        model(inference_session=session, frame_idx=number)
    for outputs in session.output_dict_per_obj.values():
        _fill(outputs["non_cond_frame_outputs"])
    return (
        model(inference_session=session, frame_idx=number) for number in range(FULL, len(pixels))
    )


def _track_by_sam2(
    weights: Weights, frames: np.ndarray, boxes: Boxes, dtype: torch.dtype
) -> Iterator[object]:
    pictures = weights.folder / "frames"
    pictures.mkdir(exist_ok=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(pictures / f"{number:05}.jpg")
    predictor = sam2_model(weights, video=True)

    def results(start: int) -> Iterator[object]:
        found = predictor.propagate_in_video(state, start_frame_idx=start)
        while True:
            with quiet():
                result = in_autocast(dtype, lambda: next(found))
            yield result

    with quiet():
        state = predictor.init_state(str(pictures))
        for i, box in enumerate(boxes):
            in_autocast(
                dtype, lambda i=i, box=box: predictor.add_new_points_or_box(state, 0, i, box=box)
            )
    first = results(0)
    for _ in range(2):
        next(first)
    for outputs in state["output_dict_per_obj"].values():
        _fill(outputs["non_cond_frame_outputs"])
    return results(FULL)


def _track_by_ultralytics(weights: Weights, frames: np.ndarray, boxes: Boxes) -> Iterator[object]:
    """All objects as one batch. It remembers pointers of seven frames only."""
    from ultralytics.models.sam import SAM2VideoPredictor

    video = weights.folder / "frames.mp4"
    with VideoWriter(video, rate=25) as file:
        for frame in frames:
            file.write(frame)
    with quiet():
        predictor = SAM2VideoPredictor(
            overrides={"imgsz": 1024, "save": False, "verbose": False, "device": "cpu"}
        )
        model = ultralytics_model(weights)
        model.set_binarize(True)  # as it does when it reads a file of weights itself
        predictor.setup_model(model, verbose=False)
        results = predictor(source=str(video), bboxes=boxes, stream=True)
        for _ in range(2):
            next(results)
    outputs = predictor.inference_state["output_dict"]["non_cond_frame_outputs"]
    (first,) = outputs.values()  # frames are numbered from 1 there
    outputs.update(dict.fromkeys(range(3, FULL + 1), first))
    predictor.dataset.frame = FULL
    return results
