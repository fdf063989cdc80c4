"""What is kept of the last image, and when it is made anew."""

import copy
import gc

import torch
from torch import Tensor, nn

from samkit.nn.fast.shared_image import LastImage, SharedImage


class Maker:
    """Counts how often it makes something."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> int:
        self.made += 1
        return self.made


def find(
    last: LastImage[int], image: Tensor, weights: list[Tensor], make: Maker, *, at_once: bool = True
) -> int | None:
    return last.find((image,), weights, make, at_once=at_once)


def test_it_is_made_the_second_time() -> None:
    last, image, make = LastImage[int](), torch.zeros(2), Maker()
    found = [find(last, image, [], make, at_once=False) for _ in range(4)]
    assert found == [None, 1, 1, 1]


def test_or_at_once() -> None:
    last, image, make = LastImage[int](), torch.zeros(2), Maker()
    assert [find(last, image, [], make) for _ in range(2)] == [1, 1]
    assert find(last, image, [], make, at_once=False) == 1


def test_an_equal_image_is_another_one() -> None:
    last, image, make = LastImage[int](), torch.zeros(2), Maker()
    find(last, image, [], make)
    assert find(last, image.clone(), [], make) == 2
    assert find(last, image, [], make) == 3


def test_changed_weights() -> None:
    last, image, make = LastImage[int](), torch.zeros(2), Maker()
    layer = nn.Linear(2, 2)
    find(last, image, [layer.weight], make)
    with torch.no_grad():
        layer.weight.add_(1)
    assert find(last, image, [layer.weight], make) == 2
    layer.weight.data = torch.ones(2, 2)
    assert find(last, image, [layer.weight], make) == 3
    layer.weight = nn.Parameter(torch.ones(2, 2))
    assert find(last, image, [layer.weight], make) == 4
    assert find(last, image, [layer.weight], make) == 4


def test_weights_whose_changes_are_not_counted() -> None:
    last, image, make = LastImage[int](), torch.zeros(2), Maker()
    with torch.inference_mode():
        weight = torch.ones(2)
    assert [find(last, image, [weight], make) for _ in range(2)] == [1, 2]
    assert find(last, image, [weight], make, at_once=False) is None


def test_it_goes_with_the_image() -> None:
    last, image = LastImage[SharedImage](), torch.zeros(1, 2)
    last.find((image,), [], lambda: SharedImage(torch.zeros(1, 2), torch.zeros(1, 2)), at_once=True)
    assert last._slot is not None
    del image
    gc.collect()
    assert last._slot is None


def test_copies_begin_with_none() -> None:
    last, image, make = LastImage[int](), torch.zeros(2), Maker()
    find(last, image, [], make)
    assert find(copy.deepcopy(last), image, [], make) == 2


@torch.inference_mode()
def test_layers_of_an_image() -> None:
    torch.manual_seed(0)
    tokens, positions = torch.randn(6, 8) + 3, torch.randn(6, 8)
    layer, norm = nn.Linear(8, 4), nn.LayerNorm(8)
    nn.init.normal_(norm.weight)
    image = SharedImage(tokens, positions)
    for _ in range(2):
        without = layer(tokens) - layer.bias
        torch.testing.assert_close(image.projected(layer).t(), without)
        torch.testing.assert_close(image.values(layer, 2), without.view(6, 2, 2).transpose(0, 1))
        torch.testing.assert_close(image.placed(layer).t(), layer(tokens + positions) - layer.bias)
        torch.testing.assert_close(
            image.projected(layer) + image.positions_projected(layer), image.placed(layer)
        )
        after, square = image.normed(norm)
        scale = torch.rsqrt(square / 8 + norm.eps)
        torch.testing.assert_close(after.tokens * scale[:, None], norm(tokens) - norm.bias)
