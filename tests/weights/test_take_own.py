"""Tensors of a file that share memory are copied, and others are not."""

import torch

from samkit.weights.loading import take_own


def test_what_shares_memory_is_copied():
    whole = torch.arange(12.0).view(3, 4)
    alone, half = torch.ones(5), torch.ones(5, dtype=torch.float16)
    state = {
        "whole": whole,
        "part": whole[1],
        "alone": alone,
        "half": half,
        "slice": torch.arange(6.0)[:2],
        "turned": torch.arange(6.0).view(2, 3).t(),
    }
    expected = {name: tensor.float().clone() for name, tensor in state.items()}
    given = dict(state)
    own = take_own(state)
    assert not state
    for name, tensor in own.items():
        assert torch.equal(tensor, expected[name])
        is_same = tensor.data_ptr() == given[name].data_ptr()
        assert is_same == (name == "alone")
        assert name == "turned" or tensor.untyped_storage().nbytes() == tensor.nbytes
