"""The configuration of a training run: one value, stored with the weights."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from samkit import sizes
from samkit.errors import InputError
from samkit.weights import keys_sam2

__all__ = [
    "IMAGE_PARTS",
    "MEMORY_PARTS",
    "TRUNK",
    "ClipConfig",
    "DataSource",
    "LossConfig",
    "PromptConfig",
    "SceneConfig",
    "Stage",
    "TrainingConfig",
    "check_numbers",
    "check_types",
    "network_sizes",
]


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Annotated images to train on.

    Attributes:
        path: what `samkit.evaluation.datasets.open_dataset` accepts.
        kind: whether mask values are "instances" or "classes". Of classes, the whole foreground,
            each class and its connected components are objects.
        names: pattern that the file names of its images match, such as "coco_*".
        weight: sampling weight of its images among the sources.
        paste_weight: sampling weight of its objects as cutouts to paste into other images.
    """

    path: str
    kind: Literal["instances", "classes"] = "instances"
    names: str = "*"
    weight: float = 1.0
    paste_weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of the run.

    Attributes:
        size: side of the square network input, or its height, in pixels, a multiple of 32.
        width: its width, if it is not square; also a multiple of 32.
        images: batch size, in images or clips.
        prompts: prompts on each image; largest number of objects tracked in each clip.
        frames: 1 to train on images; more to train tracking on clips of so many frames.
        until: end of the stage as a fraction of the whole run.
    """

    size: int = 256
    width: int | None = None
    images: int = 6
    prompts: int = 8
    frames: int = 1
    until: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the network input."""
        return self.size, self.size if self.width is None else self.width


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """Synthesis of training scenes. Lengths are fractions of the scene's shorter side.

    Attributes:
        cache_side: longest side in pixels of the images kept in memory.
        crop_area: smallest and largest fraction of the image's area in a crop.
        crop_aspect: largest factor by which a crop changes the aspect ratio, either way.
        min_area: objects below this fraction of the scene are no targets.
        procedural_background: probability of a background other than an annotated photograph.
        max_pastes: largest number of pasted objects.
        paste_side: smallest and largest longest side of a pasted object.
        shape: probability that a pasted object is a drawn shape instead of a training object.
        shadow: probability that a pasted object casts a shadow.
        grey, blur, noise: probability of each augmentation.
        brightness, contrast, saturation: largest relative change; hue: in degrees.
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
    """Motion in training clips. Lengths are fractions of the clip's side.

    Attributes:
        speed: standard deviation of a pasted object's velocity, per frame.
        wander: amplitude of its deviation from a straight path.
        turn: amplitude of its rotation, in degrees; zoom: of the logarithm of its scale.
        bend: amplitude of its deformation, as a fraction of its own length; six of ten deform.
        entry: probability that it enters or leaves the frame.
        camera: how much of the way to another random crop of the photograph the camera moves.
        flicker: amplitude of the change of brightness.
        calm: probability that all motion is up to ten times smaller and no object enters or leaves.
        max_objects: largest number of objects of the photograph itself.
        elsewhere: probability that one or two frames after the first show another scene, without
            the objects, so that things are not found where they are not.
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
    elsewhere: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """Simulation of prompts.

    Attributes:
        mask: probability of a rough mask.
        box: probability that any other prompt is a box; the rest are clicks.
        jitter_box: probability that a box is jittered, each coordinate by up to `jitter` of its
            width or height.
        centre_click: probability of a click at the point farthest from the boundary; the others
            are anywhere in the object.
        correction: probability of correction clicks in a step.
        rounds: largest number of correction clicks, each with the previous mask as a prompt.
        corrected: largest number of prompts of an image that are corrected.
    """

    mask: float = 0.05
    box: float = 0.5
    jitter_box: float = 0.5
    jitter: float = 0.1
    centre_click: float = 0.6
    correction: float = 0.3
    rounds: int = 4
    corrected: int = 4


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the terms of the loss.

    Attributes:
        cross_entropy, focal (1708.02002, gamma 2, alpha 0.25), dice: of masks. SAM has focal 20 and
            dice 1, which fine-tunes well; from scratch cross-entropy converges faster.
        boundary: additional weight of cross-entropy near the outline; not of focal.
        iou, object_score: of the predicted IoU (absolute error) and of the object score.
        spread: weight of the mean over all candidates; the best one alone has the rest.
    """

    cross_entropy: float = 2.0
    focal: float = 0.0
    dice: float = 1.0
    boundary: float = 0.0
    iou: float = 1.0
    object_score: float = 0.05
    spread: float = 0.05


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One training run.

    Attributes:
        network: sizes of the network, as from `samkit.sizes.to_dict`.
        sources: training data.
        backgrounds: photographs without annotations, or folders of them.
        hold_out: every n-th image of each source is for validation only; 0: none.
        validation: other annotated images for validation.
        validate_every: steps between validations; validation_images: largest number of images of
            each data set.
        cache_megabytes: size of the cache of downscaled training images, in each process.
        stages: in order; the last one ends at 1.
        steps, minutes: length of the run; exactly one of them is set.
        frozen: network parts (prefixes of parameter names) that are not trained.
        imagenet: start the trunk of the image encoder from ImageNet weights, see
            `samkit.training.pretrained`.
        trunk_learning_rate: that of the trunk, relative to `learning_rate`.
        ema: decay of the exponential moving average (EMA) of the weights, which is saved.
        accumulate: gradients of each batch are accumulated over this many parts, to save memory.
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
    imagenet: bool = False
    trunk_learning_rate: float = 1.0
    accumulate: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain JSON values."""
        return asdict(self)

    def metadata(self) -> dict[str, str]:
        """Metadata of a weight file. Only the last name of each path is in it."""
        values = self.to_dict()
        del values["network"]
        for source in values["sources"]:
            source["path"] = Path(source["path"]).name
        for name in ("backgrounds", "validation"):
            values[name] = [Path(path).name for path in values[name]]
        return {"samkit.training": json.dumps(values, sort_keys=True)}

    def stage_at(self, progress: float) -> Stage:
        """The stage at a progress from 0, the start of the run, to 1, its end."""
        return next((stage for stage in self.stages if progress < stage.until), self.stages[-1])


# Fields of the parts of a configuration that are probabilities, or fractions of a whole.
_FRACTIONS = {
    "scenes": ("procedural_background", "shape", "shadow", "grey", "blur", "noise", "min_area"),
    "motion": ("entry", "camera", "calm", "elsewhere"),
    "prompts": ("mask", "box", "jitter_box", "centre_click", "correction"),
    "loss": ("spread",),
}


def check_types(config: object) -> None:
    """Check that every field holds what its type says.

    Raises:
        InputError: one does not.
    """
    if not isinstance(config, TrainingConfig):
        raise InputError(f"expected a TrainingConfig, got {type(config).__name__}")
    for path, value, hint in _fields("", config):
        if not _fits(value, hint):
            shown = hint.__name__ if isinstance(hint, type) else str(hint)
            raise InputError(f"{path}: expected {shown}, got {value!r:.80}")


def check_numbers(config: TrainingConfig) -> None:
    """Check that numbers are finite and not negative, and what else synthesis needs.

    Raises:
        InputError: one is not.
    """
    for path, value, _ in _fields("", config):
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, (int, float)) and not 0 <= number < 2**63:
                raise InputError(f"{path}: expected a number from 0 to 2**63, got {value!r:.80}")
    for part, names in _FRACTIONS.items():
        for name in names:
            value = getattr(getattr(config, part), name)
            if value > 1:
                raise InputError(f"{part}.{name}: expected a fraction from 0 to 1, got {value}")
    ends = [0.0, *(stage.until for stage in config.stages)]
    if any(until <= before for before, until in pairwise(ends)) or ends[-1] > 1:
        raise InputError(f"stages: expected rising fractions up to 1 as until, got {ends[1:]}")
    scenes = config.scenes
    for name in ("crop_area", "paste_side"):
        low, high = getattr(scenes, name)
        if not 0 < low <= high <= 1:
            raise InputError(
                f"scenes.{name}: expected two rising fractions above 0, got {(low, high)}"
            )
    for name, least in (("crop_aspect", 1), ("cache_side", 1)):
        if getattr(scenes, name) < least:
            raise InputError(
                f"scenes.{name}: expected {least} and more, got {getattr(scenes, name)}"
            )
    if config.ema > 1:
        raise InputError(f"ema: expected a decay from 0 to 1, got {config.ema}")


def _fields(path: str, part: Any) -> Iterator[tuple[str, Any, Any]]:
    """(name, value, type) of each field at any depth, the outer ones first."""
    hints = get_type_hints(type(part))
    for each in fields(part):
        value, name = getattr(part, each.name), f"{path}{each.name}"
        yield name, value, hints[each.name]
        if is_dataclass(value):
            yield from _fields(f"{name}.", value)
        elif isinstance(value, tuple):
            for i, one in enumerate(value):
                if is_dataclass(one):
                    yield from _fields(f"{name}[{i}].", one)


def _fits(value: object, hint: Any) -> bool:
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Literal:
        return isinstance(value, str) and value in inner
    if kind is UnionType:
        return any(_fits(value, one) for one in inner)
    if kind is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return len(value) == len(kinds) and all(map(_fits, value, kinds))
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else kind or hint)


MEMORY_PARTS = tuple(name.removesuffix(".{rest}") for name in keys_sam2.MEMORY)
"""Parts of SAM 2 that only video uses."""

TRUNK = "image_encoder.trunk."
"""What the image encoder of SAM 2 is without its feature pyramid."""

IMAGE_PARTS = (
    "image_encoder",
    "prompt_encoder",
    "no_mem_embed",
    "mask_decoder.conv_s",
    "mask_decoder.fusion",
    "mask_decoder.iou_",
    "mask_decoder.mask_tokens",
    "mask_decoder.obj_score_token",
    "mask_decoder.output_",
    "mask_decoder.transformer",
)
"""All others, except the object score, which images do not need."""


def network_sizes(network: dict[str, Any]) -> sizes.NetworkConfig:
    """The sizes in a configuration.

    Raises:
        InputError: they are none, or no network can have them.
    """
    try:
        known = sizes.from_dict(network)
        known.validate()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"network: expected what samkit.sizes.to_dict gives: {error}") from error
    return known
