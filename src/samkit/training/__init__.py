"""Training: from annotated photographs to weights."""

from samkit.training.config import (
    DataSource,
    LossConfig,
    PromptConfig,
    SceneConfig,
    Stage,
    TrainingConfig,
    fine_tuning,
    pico,
)
from samkit.training.loop import train
from samkit.training.trainer import Report

__all__ = [
    "DataSource",
    "LossConfig",
    "PromptConfig",
    "Report",
    "SceneConfig",
    "Stage",
    "TrainingConfig",
    "fine_tuning",
    "pico",
    "train",
]
