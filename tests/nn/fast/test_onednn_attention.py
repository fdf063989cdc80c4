"""Attention by oneDNN, against torch's."""

import pytest
import torch
import torch.nn.functional as F

from samkit.nn.fast import onednn_attention as fast
from samkit.nn.fast.linear import onednn_is_available
from samkit.nn.fast.switch import plain


@torch.inference_mode()
def test_it_is_attention() -> None:
    torch.manual_seed(0)
    # Heads lie side by side, as the networks have them: no matrix is contiguous.
    q = torch.randn(2, 300, 3, 16).transpose(1, 2)
    k, v = torch.randn(2, 1100, 3, 16).transpose(1, 2), torch.randn(2, 1100, 3, 8).transpose(1, 2)
    expected = F.scaled_dot_product_attention(q.double(), k.double(), v.double())
    found = fast.attend_by_onednn(q, k, v)
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_biases_are_of_the_rows_and_columns_of_keys() -> None:
    torch.manual_seed(0)
    H, W = 20, 30
    q, k, v = torch.randn(3, 2, H * W, 3, 8).transpose(2, 3)
    row_bias, column_bias = torch.randn(2, 3, H, W, H), torch.randn(2, 3, H, W, W)
    bias = row_bias[..., :, None] + column_bias[..., None, :]
    expected = F.scaled_dot_product_attention(q, k, v, bias.view(2, 3, H * W, H * W))
    found = fast.attend_on_grid_by_onednn(q, k, v, row_bias, column_bias)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_only_where_it_is_faster() -> None:
    q = torch.zeros(1, 4, 8)
    assert not fast.onednn_attends_faster(q, 2000)  # gradients are wanted
    with torch.inference_mode():
        assert fast.onednn_attends_faster(q, 2000) == onednn_is_available("AVX512")
        assert not fast.onednn_attends_faster(q, 100)
        assert not fast.onednn_attends_faster(q.bfloat16(), 2000)
        with plain():
            assert not fast.onednn_attends_faster(q, 2000)


@pytest.mark.skipif(not onednn_is_available("AVX512"), reason="needs AVX-512")
@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize("enabled", [True, False])
@torch.inference_mode()
def test_it_can_be_turned_off_as_torch_does(enabled: bool) -> None:
    with torch.backends.mkldnn.flags(enabled=enabled):
        assert fast.onednn_attends_faster(torch.zeros(1, 4, 8), 2000) == enabled
