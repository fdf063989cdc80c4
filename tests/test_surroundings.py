"""Autocast, default dtype and default device of the caller's program change nothing.

Each case is run once without and once within them, and has to give the same bits.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import CONFIGS, make

import samkit
from samkit import ImageEmbedding, Masks, MemoryPredictor, Prompt, VideoPredictor
from samkit.compat import tfimm, ultralytics
from samkit.compat.tfimm.config import described_by
from samkit.weights import load_network, save_network
from samkit.weights.layouts import is_memory

CLICK, BOX = Prompt.point(38, 12), Prompt.box(22, 3, 54, 35)
PHOTO = samkit.read_image(Path(__file__).parents[1] / "examples" / "coffee.jpg")[::8, ::8].copy()
NEXT = np.roll(PHOTO, 3, axis=1)


def autocast() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16)


@contextmanager
def defaults() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


SURROUNDINGS: list[Callable[[], Any]] = [autocast, defaults]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of tiny networks that differ from pico in what they compute."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("sam", "mobile-sam", "sam2"):
        save_network(make(CONFIGS[name]), folder / f"{name}.safetensors")
    image_only = make(CONFIGS["pico"])
    image_only.has_memory = False
    save_network(image_only, folder / "image_only.safetensors")
    return {path.stem: path for path in folder.iterdir()}


Case = Callable[[dict[str, Path], Path], Any]


def images(models: dict[str, Path], folder: Path) -> Any:
    predictor = samkit.load("pico", device="cpu", dtype="float32")
    embedding = predictor.embed(PHOTO)
    embedding.save(folder / "embedding")
    embedding = ImageEmbedding.load(folder / "embedding")
    mask = Prompt.mask(np.arange(PHOTO.shape[1]) < np.full((len(PHOTO), 1), 40))
    prompts = [CLICK, BOX, BOX + CLICK, mask]
    first = predictor.predict(embedding, prompts, candidates=3)
    refined = predictor.predict(embedding, CLICK, prior=first[:1])
    return embedding.features.embedding, first, refined


def other_networks(models: dict[str, Path], folder: Path) -> Any:
    found = []
    for name in ("sam", "mobile-sam", "sam2"):
        predictor = samkit.load(models[name], device="cpu", dtype="float32")
        mask = Prompt.mask(np.full((8, 8), True))
        found.append(predictor.predict_batch([PHOTO, NEXT], [[CLICK] * 9, BOX + mask]))
    return found


def half_precision(models: dict[str, Path], folder: Path) -> Any:
    predictor = samkit.load(models["sam2"], device="cpu", dtype="bfloat16")
    with VideoPredictor(predictor) as video:
        video.step(PHOTO, {1: BOX})
        return predictor.embed(PHOTO).features.embedding, video.step(NEXT)


def everything(models: dict[str, Path], folder: Path) -> Any:
    found = []
    for name in ("pico", models["sam"], models["sam2"]):
        predictor = samkit.load(name, device="cpu", dtype="float32")
        generator = samkit.AutomaticMaskGenerator(
            predictor, points_per_side=3, pred_iou_thresh=0.0, stability_score_thresh=0.1
        )
        found.append(generator(PHOTO))
    assert len(found[0])
    return found


def tracking(models: dict[str, Path], folder: Path) -> Any:
    predictor = samkit.load("pico", device="cpu")
    frames = np.stack([PHOTO, NEXT])
    with VideoPredictor(predictor, frames) as video:
        first = video.prompt(0, 1, BOX)
        tracked = list(video.track())
        video.save(folder / "session")
    with VideoPredictor.load(folder / "session", predictor, frames) as video:
        corrected = video.prompt(1, 1, CLICK)
        given = video.prompt(1, 2, Prompt.mask(first.masks[0]))
        return first, tracked, corrected, given, list(video.track(start=0))


def memory(models: dict[str, Path], folder: Path) -> Any:
    predictor = samkit.load("pico", device="cpu")
    memory = MemoryPredictor(predictor)
    first = memory.remember(PHOTO, {1: BOX, 2: CLICK})
    memory.save(folder / "memory")
    memory = MemoryPredictor.load(folder / "memory", predictor)
    return first, memory.predict(NEXT), memory.remember(NEXT, {1: CLICK})


def weights(models: dict[str, Path], folder: Path) -> Any:
    network = load_network(models["image_only"])
    save_network(network, folder / "copy.safetensors")
    again = load_network(folder / "copy.safetensors")
    names = [name for name in network.state_dict() if not is_memory(name)]
    assert {(x.dtype, x.device.type) for x in network.parameters()} == {(torch.float32, "cpu")}
    # What is not in the file is random.
    return [one.state_dict()[name] for name in names for one in (network, again)]


def ultralytics_images(models: dict[str, Path], folder: Path) -> Any:
    found = []
    for name in ("pico", models["sam"]):
        predictor = ultralytics.Predictor(overrides={**settings(name), "imgsz": 96})
        (result,) = predictor(PHOTO, bboxes=[22, 3, 54, 35])
        im = predictor.preprocess([PHOTO])
        features = predictor.get_im_features(im)
        given = predictor.inference_features(features, PHOTO.shape[:2], points=[[38, 12]])
        grid = {"points_stride": 2, "conf_thres": 0.0, "stability_score_thresh": 0.0}
        found += [
            result.masks.data,
            [result.boxes.data, result.boxes.xyxyn, result.boxes[0].data],
            [im, given, predictor.prompt_inference(im, points=[[38, 12]])],
            predictor.generate(im, **grid),
        ]
    return found


def ultralytics_video(models: dict[str, Path], folder: Path) -> Any:
    tracker = ultralytics.SAM2VideoPredictor(overrides=settings("pico"))
    found = [one.boxes.data for one in tracker(np.stack([PHOTO, NEXT]), points=[38, 12])]
    return found, tracker.add_new_prompts(0, points=[30, 12], frame_idx=1)


def ultralytics_memory(models: dict[str, Path], folder: Path) -> Any:
    predictor = ultralytics.SAM2DynamicInteractivePredictor(overrides=settings("pico"))
    predictor(PHOTO, bboxes=[[22, 3, 54, 35]], obj_ids=[7], update_memory=True)
    predictor.set_image(NEXT)
    step = predictor.track_step()
    return predictor(NEXT)[0].masks.data, predictor.get_maskmem_enc(), list(step.values())


def tfimm_images(models: dict[str, Path], folder: Path) -> Any:
    model = tfimm.SegmentAnythingModel.from_pretrained(models["sam"])
    predictor = tfimm.SAMPredictor(model)
    predictor.set_image(PHOTO)
    mask = predictor.preprocess_masks(np.full((1, *PHOTO.shape[:2]), True))
    found = [predictor(points=[[38, 12]]), predictor(boxes=[[22, 3, 54, 35]], masks=mask)]
    return [*found, model(model.dummy_inputs)]


def settings(model: str | Path) -> dict[str, Any]:
    return {"model": model, "device": "cpu", "verbose": False}


CASES: list[Case] = [
    images,
    other_networks,
    half_precision,
    everything,
    tracking,
    memory,
    weights,
    ultralytics_images,
    ultralytics_video,
    ultralytics_memory,
    tfimm_images,
]


@pytest.mark.parametrize("case", CASES)
def test_results_are_the_same_bits(case: Case, models: dict[str, Path], tmp_path: Path) -> None:
    expected = list(arrays(case(models, tmp_path)))
    assert expected
    for surrounding in SURROUNDINGS:
        with surrounding():
            result = case(models, tmp_path)
        found = list(arrays(result))
        assert [(x.dtype, x.shape) for x in found] == [(x.dtype, x.shape) for x in expected]
        same = [a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True)]
        assert all(same), surrounding.__name__


def arrays(value: Any) -> Iterator[np.ndarray]:
    """All numbers in a result."""
    if isinstance(value, Masks):
        yield from (value.masks, value.scores, value.boxes)
        if value.logits is not None:
            yield value.logits
    elif isinstance(value, torch.Tensor):
        assert value.device.type == "cpu"
        wide = value.detach().float() if value.dtype == torch.bfloat16 else value.detach()
        yield wide.numpy()
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from arrays(one)
    else:
        yield np.asarray(value)


@pytest.mark.parametrize("surrounding", [*SURROUNDINGS, lambda: torch.device("meta")])
def test_a_new_model_is_on_the_cpu_in_float32(surrounding: Callable[[], Any]) -> None:
    with surrounding():
        model = tfimm.SegmentAnythingModel(described_by(CONFIGS["sam"]))
        model(model.dummy_inputs)
    tensors = [*model.network.parameters(), *model.network.buffers()]
    assert {(x.dtype, x.device.type) for x in tensors} == {(torch.float32, "cpu")}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_whose_dtype_was_changed(dtype: torch.dtype) -> None:
    predictor = samkit.load("pico", device="cpu")
    embedding, memory = predictor.embed(PHOTO), MemoryPredictor(predictor)
    expected = predictor.predict(embedding, CLICK)
    predictor.network.to(dtype)
    calls: list[Callable[[], object]] = [
        lambda: predictor.embed(PHOTO),
        lambda: predictor.predict(embedding, CLICK),
        lambda: samkit.AutomaticMaskGenerator(predictor)(PHOTO, embedding=embedding),
        lambda: memory.remember(embedding, {1: CLICK}),
        lambda: VideoPredictor(predictor, PHOTO[None]).prompt(0, 1, CLICK),
    ]
    for call in calls:
        with pytest.raises(samkit.InputError, match=f"float32, got {dtype}"):
            call()
    # A predictor brings the network that it is given to its own dtypes.
    again = samkit.ImagePredictor(predictor.network, device="cpu", dtype="float32")
    found = again.predict(PHOTO, CLICK)
    assert (found.masks == expected.masks).mean() > 0.9
    facade = ultralytics.Predictor(overrides=settings("pico"))
    facade.setup_model()
    assert facade.model is not None
    facade.model.to(dtype)
    with pytest.raises(samkit.InputError, match=f"float32, got {dtype}"):
        facade(PHOTO, points=[38, 12])


@pytest.mark.parametrize("name", ["pico", "sam", "sam2"])
def test_a_part_whose_dtype_was_changed(name: str, models: dict[str, Path]) -> None:
    predictor = samkit.load(models.get(name, name), device="cpu", dtype="float32")
    parts = dict(predictor.network.named_children())
    assert len(parts) > 2
    for part in parts:
        parts[part].to(torch.float16)
        with pytest.raises(samkit.InputError, match=f"its {part} in float32, got torch.float16"):
            predictor.predict(PHOTO, CLICK)
        parts[part].to(torch.float32)
    predictor.predict(PHOTO, CLICK)
