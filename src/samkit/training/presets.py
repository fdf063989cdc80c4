"""The runs that train the bundled model, and the run that fine-tunes a model on other data."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from samkit import sizes
from samkit.errors import InputError
from samkit.files import checked_path
from samkit.training.config import (
    IMAGE_PARTS,
    MEMORY_PARTS,
    ClipConfig,
    DataSource,
    LossConfig,
    PromptConfig,
    SceneConfig,
    Stage,
    TrainingConfig,
    network_sizes,
)

__all__ = ["PRESETS", "fine_tuning", "preset"]

_PICO = TrainingConfig(
    network=sizes.to_dict(sizes.pico()),
    sources=(),
    stages=(
        Stage(size=160, images=10, prompts=10, until=0.5),
        Stage(size=224, images=6, prompts=10),
    ),
    scenes=SceneConfig(crop_area=(0.15, 1.0), procedural_background=0.03, max_pastes=2),
    prompts=PromptConfig(mask=0.12, box=0.55, correction=0.35, rounds=7),
    loss=LossConfig(iou=0.3),
    cache_megabytes=4000,
    learning_rate=1.6e-3,
    final_learning_rate=7.5e-4,
    warmup=200,
    frozen=MEMORY_PARTS,
    imagenet=True,
    trunk_learning_rate=0.15,
)

# Folder, file names, sampling weight of its images and of its objects to paste. Data of many
# different things count most.
_PICO_SOURCES = (
    ("coco128", "*", 0.12, 0.15),
    ("mixed", "coco_mini*", 0.34, 0.3),
    ("mixed", "coco_person1*", 0.12, 0.1),
    ("mixed", "wild7*", 0.14, 0.2),
    ("mixed", "feralcat*", 0.05, 0.06),
    ("mixed", "carpanels*", 0.04, 0.0),
    ("mixed", "trashbags*", 0.03, 0.02),
    ("mixed", "iotboards*", 0.02, 0.02),
    ("mixed", "facades*", 0.02, 0.0),
    ("mixed", "greens*", 0.02, 0.02),
    ("ccp", "*", 0.06, 0.06),
    ("fruits", "*", 0.02, 0.06),
    ("nuclei", "*", 0.04, 0.01),
)

PRESETS = {
    "pico": _PICO,
    "pico-refinement": replace(
        _PICO,
        stages=(
            Stage(size=256, width=320, images=6, prompts=10, until=0.3),
            Stage(size=320, width=416, images=4, prompts=10),
        ),
        scenes=replace(_PICO.scenes, cache_side=576, crop_area=(0.3, 1.0)),
        prompts=replace(_PICO.prompts, box=0.45, correction=0.5, corrected=5),
        loss=LossConfig(iou=0.5, boundary=2.0, spread=0.0),
        learning_rate=7e-4,
        final_learning_rate=1e-6,
        warmup=50,
    ),
    "pico-memory": replace(
        _PICO,
        stages=(
            Stage(size=192, width=256, images=4, prompts=4, frames=5, until=0.5),
            Stage(size=256, width=320, images=2, prompts=4, frames=6, until=0.8),
            Stage(size=320, width=416, images=2, prompts=4, frames=6),
        ),
        learning_rate=1e-3,
        final_learning_rate=1e-6,
        warmup=100,
        motion=ClipConfig(elsewhere=0.3),
        loss=LossConfig(object_score=0.5),
        frozen=IMAGE_PARTS,
    ),
}
"""The runs that train the bundled model, without data and length: from ImageNet weights, then on
larger scenes with more clicks, then for tracking, which changes no mask of an image."""


def preset(
    name: str, data: str | Path, *, minutes: float | None = None, steps: int | None = None
) -> TrainingConfig:
    """A run that trains the bundled model.

    Args:
        name: one of `PRESETS`.
        data: folder with `train` (coco128, ccp, fruits, mixed, nuclei) and `samples` in it.
        minutes, steps: length of the run.
    """
    if not isinstance(name, str) or name not in PRESETS:
        raise InputError(f"preset: expected one of {', '.join(PRESETS)}, got {name}")
    folder = checked_path(data, "the training data")
    train = folder / "train"
    return replace(
        PRESETS[name],
        network=copy.deepcopy(PRESETS[name].network),
        sources=tuple(
            DataSource(
                path=str(train / name),
                kind="classes" if name == "ccp" else "instances",
                names=names,
                weight=weight,
                paste_weight=paste_weight,
            )
            for name, names, weight, paste_weight in _PICO_SOURCES
        ),
        backgrounds=(str(folder / "samples"),),
        minutes=minutes,
        steps=steps,
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
    """A run that fine-tunes a trained network on other data.

    Args:
        network: its sizes, as from `samkit.sizes.to_dict`.
        data: what `open_dataset` of `samkit.evaluation` accepts, one or several of equal weight.
        frozen: network parts that are not trained, besides the memory of SAM 2.
        minutes, steps: length of the run.
    """
    paths = data if isinstance(data, (list, tuple)) else [data]
    known = network_sizes(network)
    height, width = known.image_size
    is_small = bool(known.unpublished_features)
    return TrainingConfig(
        network=network,
        sources=tuple(
            DataSource(path=str(checked_path(path, "annotated images"))) for path in paths
        ),
        stages=(Stage(size=_multiple(height), width=_multiple(width), images=4, prompts=8),),
        scenes=SceneConfig(
            cache_side=max(448, height, width),
            procedural_background=0.0,
            max_pastes=2,
            min_area=0.0003,
        ),
        learning_rate=5e-4 if is_small else 1e-4,
        trunk_learning_rate=_PICO.trunk_learning_rate if is_small else 1.0,
        warmup=20 if steps is None else min(20, steps // 10),
        ema=0.99,
        frozen=(*MEMORY_PARTS, *frozen),
        minutes=minutes,
        steps=steps,
        seed=seed,
    )


def _multiple(side: int) -> int:
    """The multiple of 32 nearest to a side, as stages need."""
    return max(32, 32 * round(side / 32))
