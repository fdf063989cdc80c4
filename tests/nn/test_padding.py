"""Where prompts get the "not a point" token, as in the references."""

import pytest
import torch

from samkit.nn import PromptTensors, TokenLabel

ABSENT, PAD = TokenLabel.ABSENT, TokenLabel.NOT_A_POINT
CLICK, AWAY = TokenLabel.FOREGROUND, TokenLabel.BACKGROUND
BOX = [TokenLabel.BOX_TOP_LEFT, TokenLabel.BOX_BOTTOM_RIGHT]


@pytest.mark.parametrize(
    ("labels", "sam", "sam2"),
    [
        ([CLICK], [CLICK, PAD], [CLICK, PAD]),
        ([CLICK, AWAY], [CLICK, AWAY, PAD], [CLICK, AWAY, PAD]),
        (BOX, BOX, [*BOX, PAD]),
        ([CLICK, *BOX], [CLICK, *BOX], [CLICK, *BOX, PAD]),
        ([CLICK, ABSENT, ABSENT], [CLICK, PAD], [CLICK, PAD]),
        ([ABSENT, CLICK], [ABSENT, CLICK, PAD], [ABSENT, CLICK, PAD]),
        ([ABSENT, ABSENT], [], []),
        ([], [], []),
    ],
)
def test_one_prompt(labels: list[int], sam: list[int], sam2: list[int]) -> None:
    points = torch.arange(2.0 * len(labels)).view(1, -1, 2)
    for pad_boxes, expected in ((False, sam), (True, sam2)):
        padded = PromptTensors.padded(
            points, torch.tensor([labels], dtype=torch.long), pad_boxes=pad_boxes
        )
        assert padded.labels.tolist() == [expected]
        assert padded.points.shape == (1, len(expected), 2)
        kept = min(len(labels), len(expected))
        assert torch.equal(padded.points[:, :kept], points[:, :kept])
        assert padded.ragged == (ABSENT in expected)


def test_prompts_of_different_lengths() -> None:
    labels = torch.tensor([[CLICK, ABSENT, ABSENT], [*BOX, ABSENT], [CLICK, AWAY, CLICK]])
    padded = PromptTensors.padded(torch.zeros(3, 3, 2), labels, pad_boxes=False)
    assert padded.labels.tolist() == [
        [CLICK, PAD, ABSENT, ABSENT],
        [*BOX, ABSENT, ABSENT],
        [CLICK, AWAY, CLICK, PAD],
    ]
    assert padded.ragged


def test_no_prompts() -> None:
    padded = PromptTensors.padded(
        torch.zeros(0, 3, 2), torch.zeros(0, 3, dtype=torch.long), pad_boxes=True
    )
    assert padded.labels.shape == (0, 0)
    assert not padded.ragged
