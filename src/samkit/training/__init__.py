"""Training: from annotated photographs to weights."""

from samkit.training.config import (
    ClipConfig,
    DataSource,
    LossConfig,
    PromptConfig,
    SceneConfig,
    Stage,
    TrainingConfig,
)
from samkit.training.data import Library, load_library
from samkit.training.loop import train
from samkit.training.presets import fine_tuning, preset
from samkit.training.synthesis import Clip, Scene, make_clip, make_scene
from samkit.training.trainer import Report
from samkit.training.validation import Validation

__all__ = [
    "Clip",
    "ClipConfig",
    "DataSource",
    "Library",
    "LossConfig",
    "PromptConfig",
    "Report",
    "Scene",
    "SceneConfig",
    "Stage",
    "TrainingConfig",
    "Validation",
    "fine_tuning",
    "load_library",
    "make_clip",
    "make_scene",
    "preset",
    "train",
]
