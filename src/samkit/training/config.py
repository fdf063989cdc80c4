"""Everything that decides a training run, as one value that is stored with the weights."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

__all__ = [
    "IMAGE_PARTS",
    "MEMORY_PARTS",
    "ClipConfig",
    "DataSource",
    "LossConfig",
    "PromptConfig",
    "SceneConfig",
    "Stage",
    "TrainingConfig",
    "fine_tuning",
    "pico",
    "pico_memory",
    "pico_refinement",
]


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Annotated images to learn from.

    Attributes:
        path: what `samkit.evaluation.datasets.open_dataset` accepts.
        kind: whether mask values are "instances" or "classes" (then whole figures, classes and
            their connected parts all become objects).
        weight: how often its images are drawn, relative to the other sources.
        paste_weight: how often its objects are cut out and pasted into other images.
    """

    path: str
    kind: Literal["instances", "classes"] = "instances"
    weight: float = 1.0
    paste_weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of the run.

    Attributes:
        size: side of the square network input in pixels, a multiple of 32.
        images: images, or clips, in a batch.
        prompts: prompts on each image; in a clip at most so many objects are followed.
        frames: 1 to learn from images; more to learn tracking from clips of so many frames.
        until: end of the stage as a fraction of the whole run.
    """

    size: int = 256
    images: int = 6
    prompts: int = 8
    frames: int = 1
    until: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """How training scenes are made. Lengths are fractions of the scene's side.

    Attributes:
        cache_side: longest side in pixels of the images kept in memory.
        crop_area: smallest and largest part of the image's area that a crop shows.
        crop_aspect: a crop's aspect is changed by up to this factor, either way.
        min_area: objects below this fraction of the scene are no targets.
        procedural_background: share of scenes that have no photograph as background.
        max_pastes: largest number of pasted objects.
        paste_side: smallest and largest longest side of a pasted object.
        shape: chance that a pasted object is a drawn shape instead of a cut-out.
        shadow: chance that a pasted object casts a shadow.
        grey, blur, noise: chance of each in a scene.
        brightness, contrast, saturation: largest change; hue: in degrees.
    """

    cache_side: int = 448
    crop_area: tuple[float, float] = (0.2, 1.0)
    crop_aspect: float = 1.5
    min_area: float = 0.002
    procedural_background: float = 0.08
    max_pastes: int = 4
    paste_side: tuple[float, float] = (0.15, 0.9)
    shape: float = 0.15
    shadow: float = 0.25
    grey: float = 0.08
    blur: float = 0.12
    noise: float = 0.15
    brightness: float = 0.3
    contrast: float = 0.35
    saturation: float = 0.5
    hue: float = 25.0


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """How things move in training clips. Lengths are fractions of the clip's side.

    Attributes:
        speed: standard deviation of a pasted object's steady motion, per frame.
        wander: how far it strays from that.
        turn: how far it turns, in degrees; zoom: how far its size changes, as a logarithm.
        bend: how far it bends, as a fraction of its own length; six of ten do.
        entry: chance that it enters or leaves the picture.
        camera: how much of the way to another random part of the photograph the camera goes.
        flicker: largest change of brightness.
        calm: share of clips in which all moves less, by up to ten times, and nothing enters or
            leaves.
        max_objects: objects of the photograph itself.
    """

    speed: float = 0.03
    wander: float = 0.1
    turn: float = 25.0
    zoom: float = 0.25
    bend: float = 0.06
    entry: float = 0.25
    camera: float = 0.4
    flicker: float = 0.08
    calm: float = 0.6
    max_objects: int = 5


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """How users are simulated.

    Attributes:
        mask: share of prompts that are a rough mask.
        box: share of the others that are boxes; the rest are clicks.
        jitter_box: share of boxes that are not exact, each side off by up to `jitter` of it.
        centre_click: share of clicks at the point farthest from the boundary; the others are
            anywhere in the object.
        correction: share of steps that go on with correction clicks.
        rounds: largest number of correction clicks, one after the other, each with the mask before.
    """

    mask: float = 0.05
    box: float = 0.5
    jitter_box: float = 0.5
    jitter: float = 0.1
    centre_click: float = 0.6
    correction: float = 0.3
    rounds: int = 4


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the terms of the loss.

    Attributes:
        cross_entropy, focal (1708.02002, gamma 2, alpha 0.25), dice: of masks. SAM has focal 20 and
            dice 1, which fine-tunes well; from scratch cross-entropy learns sooner.
        iou, object_score: of the predicted IoU (squared error) and of the object score.
        spread: what the candidates that are not the best one get of the mask terms.
    """

    cross_entropy: float = 2.0
    focal: float = 0.0
    dice: float = 1.0
    iou: float = 1.0
    object_score: float = 0.05
    spread: float = 0.05


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One training run.

    Attributes:
        network: sizes of the network, as `samkit.sizes.to_dict` gives them.
        sources: what to learn from.
        backgrounds: photographs or folders of them without annotations.
        hold_out: of each source every n-th image is measured on instead of learned from; 0: none.
        validation: other annotated images to measure on while training.
        validate_every: steps between measurements; validation_images: at most so many of each.
        cache_megabytes: of small training images to keep in memory, in each process.
        stages: parts of the run, in order; the last one ends at 1.
        steps, minutes: length of the run; exactly one of them is set.
        frozen: names of network parts (prefixes of parameters) that do not learn.
        ema: decay of the averaged weights that are saved.
        accumulate: each batch is computed in this many parts, one after the other, to save memory.
        precision: of the network's arithmetic; weights stay float32.
    """

    network: dict[str, Any]
    sources: tuple[DataSource, ...]
    backgrounds: tuple[str, ...] = ()
    hold_out: int = 0
    validation: tuple[str, ...] = ()
    validate_every: int = 500
    validation_images: int = 20
    cache_megabytes: int = 2000
    stages: tuple[Stage, ...] = (Stage(),)
    scenes: SceneConfig = field(default_factory=SceneConfig)
    motion: ClipConfig = field(default_factory=ClipConfig)
    prompts: PromptConfig = field(default_factory=PromptConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    steps: int | None = None
    minutes: float | None = None
    learning_rate: float = 8e-4
    final_learning_rate: float = 1e-6
    warmup: int = 100
    weight_decay: float = 0.1
    clip_gradient: float = 1.0
    ema: float = 0.999
    frozen: tuple[str, ...] = ()
    accumulate: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain JSON values."""
        return asdict(self)

    def metadata(self) -> dict[str, str]:
        """What a weight file tells about its training. Of paths only the last name is told."""
        values = self.to_dict()
        del values["network"]
        for source in values["sources"]:
            source["path"] = Path(source["path"]).name
        for name in ("backgrounds", "validation"):
            values[name] = [Path(path).name for path in values[name]]
        return {"samkit.training": json.dumps(values, sort_keys=True)}

    def stage_at(self, progress: float) -> Stage:
        """The stage that a run is in, `progress` being 0 at its start and 1 at its end."""
        return next((stage for stage in self.stages if progress < stage.until), self.stages[-1])


MEMORY_PARTS = (
    "memory_attention",
    "memory_encoder",
    "mask_downsample",
    "obj_ptr_proj",
    "obj_ptr_tpos_proj",
    "maskmem_tpos_enc",
    "no_mem_pos_enc",
    "no_obj_ptr",
    "no_obj_embed_spatial",
)
"""Parts of SAM 2 that only video reaches."""

IMAGE_PARTS = (
    "image_encoder",
    "prompt_encoder",
    "no_mem_embed",
    *(
        f"mask_decoder.{part}"
        for part in (
            "conv_s",
            "fusion",
            "iou_",
            "mask_tokens",
            "obj_score_token",
            "output_",
            "transformer",
        )
    ),
)
"""All others, but for the object score, which an image on its own does not need."""


def pico(
    data: str | Path, *, minutes: float | None = None, steps: int | None = None
) -> TrainingConfig:
    """The first run of the bundled model, from random weights.

    Args:
        data: folder with `train` (coco128, ccp, fruits, nuclei) and `samples` in it.
        minutes, steps: length of the run.
    """
    from samkit import sizes as networks

    train = Path(data) / "train"
    return TrainingConfig(
        network=networks.to_dict(networks.pico()),
        sources=(
            DataSource(path=str(train / "coco128"), weight=0.66, paste_weight=0.75),
            DataSource(path=str(train / "ccp"), kind="classes", weight=0.2, paste_weight=0.15),
            DataSource(path=str(train / "fruits"), weight=0.07, paste_weight=0.09),
            DataSource(path=str(train / "nuclei"), weight=0.07, paste_weight=0.01),
        ),
        backgrounds=(str(Path(data) / "samples"),),
        stages=(
            Stage(size=128, images=12, prompts=10, until=0.15),
            Stage(size=192, images=8, prompts=10, until=0.4),
            Stage(size=256, images=6, prompts=10, until=0.7),
            Stage(size=320, images=4, prompts=10),
        ),
        prompts=PromptConfig(box=0.6),
        learning_rate=1.6e-3,
        warmup=200,
        frozen=MEMORY_PARTS,
        minutes=minutes,
        steps=steps,
    )


def pico_refinement(
    data: str | Path, *, minutes: float | None = None, steps: int | None = None
) -> TrainingConfig:
    """The second run of the bundled model: larger pictures and more varied scenes.

    Args:
        data: as of `pico`.
        minutes, steps: length of the run.
    """
    first = pico(data, minutes=minutes, steps=steps)
    return replace(
        first,
        stages=(
            Stage(size=256, images=6, prompts=10, until=0.35),
            Stage(size=320, images=4, prompts=10),
        ),
        scenes=replace(
            first.scenes, crop_area=(0.12, 1.0), crop_aspect=1.8, grey=0.1, hue=35.0, max_pastes=5
        ),
        learning_rate=1e-3,
        warmup=100,
    )


def pico_memory(
    data: str | Path, *, minutes: float | None = None, steps: int | None = None
) -> TrainingConfig:
    """How the bundled model learns to track, once it knows images; those stay as they are.

    Args:
        data: as of `pico`.
        minutes, steps: length of the run.
    """
    images = pico(data, minutes=minutes, steps=steps)
    return replace(
        images,
        stages=(
            Stage(size=192, images=2, prompts=4, frames=5, until=0.3),
            Stage(size=256, images=2, prompts=4, frames=6, until=0.75),
            Stage(size=320, images=2, prompts=4, frames=8),
        ),
        learning_rate=1e-3,
        warmup=100,
        loss=replace(images.loss, object_score=0.5),
        frozen=IMAGE_PARTS,
    )


def fine_tuning(
    network: dict[str, Any],
    data: str | Path | Sequence[str | Path],
    *,
    frozen: tuple[str, ...] = (),
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> TrainingConfig:
    """Teach a network that has been trained already what new data hold.

    Args:
        network: its sizes, as `samkit.sizes.to_dict` gives them.
        data: what `open_dataset` of `samkit.evaluation` accepts, once or several, weighted alike.
        frozen: names of network parts that do not learn, besides the memory of SAM 2.
        minutes, steps: length of the run.
    """
    paths = [data] if isinstance(data, (str, Path)) else data
    height, width = network["image_size"]
    is_small = network["image_encoder"]["kind"] == "resnet"
    return TrainingConfig(
        network=network,
        sources=tuple(DataSource(path=str(path)) for path in paths),
        stages=(Stage(size=32 * round(math.sqrt(height * width) / 32), images=4, prompts=8),),
        scenes=SceneConfig(procedural_background=0.0, max_pastes=2, min_area=0.0003),
        learning_rate=5e-4 if is_small else 1e-4,
        warmup=20 if steps is None else min(20, steps // 10),
        ema=0.99,
        frozen=(*MEMORY_PARTS, *frozen),
        minutes=minutes,
        steps=steps,
        seed=seed,
    )
