import pytest
import torch

from samkit.nn import MaskPrediction
from samkit.training import LossConfig
from samkit.training.losses import mask_iou, prediction_loss


@pytest.fixture
def target():
    target = torch.zeros(2, 8, 8)
    target[0, 2:6, 2:6] = 1
    target[1, :4] = 1
    return target


def prediction(logits, iou=None, score=None):
    count, masks = logits.shape[:2]
    return MaskPrediction(
        logits=logits,
        iou=torch.full((count, masks), 0.5) if iou is None else iou,
        tokens=torch.zeros(count, masks, 4),
        object_score=score,
    )


def perfect(target, masks=4):
    return ((2 * target - 1) * 20)[:, None].repeat(1, masks, 1, 1)


def test_a_perfect_prediction_costs_nothing(target):
    outcome = prediction_loss(
        prediction(perfect(target), torch.ones(2, 4), torch.full((2, 1), 20.0)),
        target,
        LossConfig(),
    )
    assert outcome.loss.item() == pytest.approx(0, abs=1e-5)
    assert (outcome.iou == 1).all()
    assert (outcome.picked == 1).all()


def test_only_the_best_candidate_is_pulled_hard(target):
    logits = torch.zeros(2, 4, 8, 8)
    logits[:, 2] = perfect(target)[:, 0] * 0.05
    logits.requires_grad_()
    prediction_loss(prediction(logits), target, LossConfig(spread=0)).loss.backward()
    pulled = logits.grad.abs().sum((0, 2, 3)) > 0
    assert pulled.tolist() == [True, False, True, False]
    logits.grad = None
    prediction_loss(prediction(logits), target, LossConfig(spread=0.05)).loss.backward()
    assert (logits.grad.abs().sum((0, 2, 3)) > 0).all()


def test_predicted_iou_is_compared_with_the_real_one(target):
    iou = torch.tensor([[0.2, 0.4, 0.6, 0.8], [0.8, 0.6, 0.4, 0.2]])
    logits = perfect(target)
    logits[:, 1] *= -1
    outcome = prediction_loss(
        prediction(logits, iou), target, LossConfig(cross_entropy=0, dice=0, iou=1)
    )
    expected = (iou - torch.tensor([1.0, 0, 1, 1])).abs().sum(1).mean()
    assert outcome.loss.item() == pytest.approx(expected.item())
    assert outcome.picked.tolist() == [1, 0]


def test_one_mask_without_candidates_is_enough(target):
    outcome = prediction_loss(
        MaskPrediction(
            logits=perfect(target, 2),
            iou=torch.ones(2, 2),
            tokens=torch.zeros(2, 2, 4),
            object_score=None,
        ),
        target,
        LossConfig(),
    )
    assert outcome.loss.item() == pytest.approx(0, abs=1e-5)


def test_iou_of_empty_masks_is_one():
    empty = torch.zeros(3, 4, 4, dtype=torch.bool)
    assert mask_iou(empty, empty).tolist() == [1, 1, 1]
    assert mask_iou(empty, ~empty).tolist() == [0, 0, 0]


def test_focal_loss_is_the_formula(target):
    logits = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    only = LossConfig(cross_entropy=0, focal=20, dice=0, iou=0, object_score=0, spread=0)
    p = logits.sigmoid()
    truth = target[:, None].expand_as(p)
    right = torch.where(truth == 1, p, 1 - p)
    alpha = torch.where(truth == 1, 0.25, 0.75)
    expected = (-alpha * (1 - right) ** 2 * right.log()).mean((2, 3)) * 20
    expected = expected[:, 0].mean() + expected[:, 1:].amin(1).mean()
    loss = prediction_loss(prediction(logits), target, only).loss
    torch.testing.assert_close(loss, expected)


def test_errors_near_the_outline_weigh_more():
    target = torch.zeros(1, 32, 32)
    target[:, 8:24, 8:24] = 1
    near, far = (perfect(target) for _ in range(2))
    near[0, 0, 7, 12] *= -1  # beside the outline
    far[0, 0, 0, 12] *= -1

    def loss(logits, boundary):
        config = LossConfig(dice=0, iou=0, boundary=boundary)
        return prediction_loss(prediction(logits), target, config).loss.item()

    assert loss(near, 0) == pytest.approx(loss(far, 0))
    assert loss(near, 2) == pytest.approx(3 * loss(far, 2), rel=0.01)
