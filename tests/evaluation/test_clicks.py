import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt

from samkit.errors import InputError
from samkit.evaluation import farthest_point, next_click


@given(arrays(bool, (6, 8)))
def test_the_farthest_point_agrees_with_scipy(region):
    if not region.any():
        with pytest.raises(InputError, match="empty"):
            farthest_point(region)
        return
    x, y = farthest_point(region)
    distance = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    assert region[y, x]
    assert distance[y, x] == pytest.approx(distance.max(), abs=1e-5)


def test_a_region_needs_two_axes():
    with pytest.raises(InputError, match=r"\(H, W\)"):
        farthest_point(np.ones(4, bool))


def test_the_next_click_is_in_the_largest_error():
    target = np.zeros((20, 20), bool)
    target[2:12, 2:12] = True
    predicted = np.zeros_like(target)
    assert next_click(predicted, target)[2] == 1
    predicted[:] = True
    x, y, label = next_click(predicted, target)
    assert label == 0
    assert not target[y, x]
    assert next_click(target, target) is None


def test_connected_errors_are_judged_one_by_one():
    target = np.zeros((10, 30), bool)
    target[2:5, 2:8] = True  # 18 pixels missed in one piece
    predicted = np.zeros_like(target)
    predicted[7:9, 2:29:3] = True  # 18 pixels too many, in nine pieces
    assert next_click(predicted, target)[2] == 1


def test_ignored_errors_are_not_clicked():
    target, predicted = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    predicted[:4] = True
    assert next_click(predicted, target, ignore=predicted) is None
