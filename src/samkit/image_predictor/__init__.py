"""Masks from prompts on images: embed once, predict many times."""

from samkit.image_predictor.batching import prompts_at_once
from samkit.image_predictor.embedding import ImageEmbedding
from samkit.image_predictor.loading import load
from samkit.image_predictor.masks import check_finite
from samkit.image_predictor.predictor import ImagePredictor

__all__ = ["ImageEmbedding", "ImagePredictor", "check_finite", "load", "prompts_at_once"]
