"""The losses of mask predictions."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from samkit.nn import MaskPrediction
from samkit.training.config import LossConfig

__all__ = ["Outcome", "mask_iou", "prediction_loss"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Loss of N prompts and the IoU of their masks.

    Attributes:
        loss: scalar, with gradients.
        iou: (N, K) actual IoU of each mask, index 0 being the single mask.
        picked: (N,) actual IoU of the candidate with the highest predicted IoU.
    """

    loss: Tensor
    iou: Tensor
    picked: Tensor


def prediction_loss(prediction: MaskPrediction, target: Tensor, config: LossConfig) -> Outcome:
    """Loss of the single mask, of the best candidate, of the predicted IoUs and object score.

    Of the candidates, mainly the one of least loss is trained, so that they may differ
    (2304.02643, section 3); `spread` of the loss is their mean, so that all are trained.

    An absent object trains only the object score (2408.00714, appendix D.2).

    Args:
        prediction: N prompts, K masks of (h, w) logits each.
        target: (N, h, w) coverage 0..1; empty where there is no object.
    """
    present = (target.flatten(1).amax(1) > 0.5).to(target.dtype)  # (N,)
    errors = _mask_errors(prediction.logits, target, config)  # (N, K)
    candidates = errors[:, 1:]
    each = errors[:, 0]
    if candidates.shape[1]:
        best, spread = candidates.amin(1), candidates.mean(1)
        each = each + (1 - config.spread) * best + config.spread * spread
    real = mask_iou(prediction.logits.detach() > 0, target[:, None] > 0.5)
    each = each + config.iou * (prediction.iou - real).abs().sum(1)
    loss = (each * present).sum() / present.sum().clamp(min=1)
    if prediction.object_score is not None:
        missed = F.binary_cross_entropy_with_logits(prediction.object_score, present[:, None])
        loss = loss + config.object_score * missed
    picked = prediction.iou[:, 1:].argmax(1, keepdim=True) + 1
    return Outcome(loss=loss, iou=real, picked=real.gather(1, picked)[:, 0])


def mask_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boolean masks (..., h, w), which broadcast; 1 where both are empty."""
    intersection = (a & b).sum((-2, -1))
    union = (a | b).sum((-2, -1))
    return torch.where(union > 0, intersection / union.clamp(min=1), 1.0)


def _mask_errors(logits: Tensor, target: Tensor, config: LossConfig) -> Tensor:
    """Cross-entropy, focal loss and dice of each mask: (N, K, h, w), (N, h, w) -> (N, K)."""
    truth = target[:, None].expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    weighted = entropy * (1 + config.boundary * _near_boundary(target))[:, None]
    p = logits.sigmoid()
    # Focal: well-classified pixels have little weight.
    wrong = (p - truth).abs().square()
    balance = 0.25 * truth + 0.75 * (1 - truth)
    overlap, total = (p * truth).sum((-2, -1)), (p + truth).sum((-2, -1))
    dice = 1 - (2 * overlap + 1) / (total + 1)
    focal = (balance * wrong * entropy).mean((-2, -1))
    mean = weighted.mean((-2, -1))
    return config.cross_entropy * mean + config.focal * focal + config.dice * dice


def _near_boundary(target: Tensor) -> Tensor:
    """1 where a cell is at most two cells from the outline of the target (N, h, w), else 0."""
    mean = F.avg_pool2d(target[:, None], 5, 1, 2, count_include_pad=False)[:, 0]
    return ((mean > 0) & (mean < 1)).to(target.dtype)
