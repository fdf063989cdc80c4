"""Rotary positions in complex numbers against those in real ones."""

import pytest
import torch

from samkit.nn.fast.switch import plain
from samkit.nn.position_encoding import apply_rotary, axial_rotary


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memories", [1, 3])
@torch.inference_mode()
def test_complex_rotation_is_the_real_one(memories: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    turns = axial_rotary(16, 3, 5, device=torch.device("cpu"))
    # Not contiguous, as the heads of an attention are not.
    x = torch.randn(2, memories * 15, 4, 16).to(dtype).transpose(1, 2)
    fast = apply_rotary(x, turns)
    with plain():
        assert torch.equal(fast, apply_rotary(x, turns))
        slow = axial_rotary(16, 3, 5, device=torch.device("cpu"))
    torch.testing.assert_close(turns, slow, rtol=0, atol=2e-7)
