"""Cut-outs and soft edges."""

import numpy as np
import pytest
from PIL import Image

from samkit.errors import InputError
from samkit.masks import Masks
from samkit.masks.matting import soft_alpha

SQUARE = np.zeros((40, 50), bool)
SQUARE[10:30, 10:30] = True
IMAGE = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)


def test_without_soft_edges_the_mask_itself():
    cut = Masks(SQUARE[None], [1]).cutout(IMAGE)
    assert cut.shape == (40, 50, 4)
    assert np.array_equal(cut[..., :3], IMAGE)
    assert np.array_equal(cut[..., 3], SQUARE * 255)


def test_several_masks_are_cut_out_together_and_none_is_nothing():
    other = np.roll(SQUARE, 15, 1)
    cut = Masks(np.stack([SQUARE, other]), [1, 1]).cutout(IMAGE)
    assert np.array_equal(cut[..., 3] > 0, SQUARE | other)
    assert not Masks.empty((40, 50)).cutout(IMAGE, feather=2, refine=3)[..., 3].any()


@pytest.mark.parametrize("width", [1.0, 3.0, 6.5])
def test_a_feathered_edge_falls_as_a_gaussian(width):
    alpha = soft_alpha(SQUARE, IMAGE, feather=width)
    row = alpha[20]
    assert (np.diff(row[:20]) >= 0).all()
    assert row[9] + row[10] == pytest.approx(1, abs=0.02), "the edge stays where it was"
    # A straight edge under a Gaussian of half the width: the error function, at pixel centres.
    from scipy.stats import norm

    expected = norm.cdf((np.arange(20) + 0.5 - 10) / (width / 2))
    assert np.abs(row[:20] - expected).max() < 0.06
    assert alpha[0, 0] < 1e-3
    assert alpha[20, 20] == pytest.approx(1, abs=0.01)


def test_an_object_at_the_edge_of_the_image_does_not_fade_there():
    mask = np.zeros((20, 20), bool)
    mask[:, :10] = True
    alpha = soft_alpha(mask, np.zeros((20, 20, 3), np.uint8), feather=4)
    assert alpha[:, 0].min() > 0.99


def test_refining_follows_the_edge_of_the_picture():
    picture = np.zeros((60, 60, 3), np.uint8)
    picture[:, 32:] = 200  # the object begins here, three pixels from where the mask says
    mask = np.zeros((60, 60), bool)
    mask[:, 29:] = True
    alpha = soft_alpha(mask, picture, refine=8)
    steps = np.diff(alpha[30])
    assert steps.argmax() == 31
    assert steps[31] > 5 * steps[28], "where the mask ended there is hardly an edge left"


def test_nothing_changes_far_from_the_mask():
    mask = np.zeros((200, 200), bool)
    mask[:20, :20] = True
    alpha = soft_alpha(mask, np.random.default_rng(1).integers(0, 255, (200, 200, 3), np.uint8),
                       feather=3, refine=5)  # fmt: skip
    assert not alpha[60:].any()
    assert not alpha[:, 60:].any()


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_a_cutout_is_a_picture_with_opacity(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    Masks(SQUARE[None], [1]).save(path, format="cutout", image=IMAGE, feather=2)
    with Image.open(path) as picture:
        assert picture.mode == "RGBA"
        alpha = np.asarray(picture)[..., 3]
    assert alpha[20, 20] == 255
    assert alpha[0, 0] == 0
    assert 0 < alpha[20, 10] < 255


@pytest.mark.parametrize("how", [{"feather": -1}, {"feather": float("nan")}, {"refine": 1.5},
                                 {"refine": -2}])  # fmt: skip
def test_bad_options(how):
    with pytest.raises(InputError, match=next(iter(how))):
        Masks(SQUARE[None], [1]).cutout(IMAGE, **how)


def test_an_image_of_another_size():
    with pytest.raises(InputError, match="size of the masks"):
        Masks(SQUARE[None], [1]).cutout(IMAGE[:10])


def test_a_cutout_needs_its_image(tmp_path):
    with pytest.raises(InputError, match="needs the image"):
        Masks(SQUARE[None], [1]).save(tmp_path / "a.png", format="cutout")
