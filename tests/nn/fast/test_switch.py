"""Where the fast forms are used, and where they are turned off."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from samkit.nn.fast.switch import fast_on_cpu, few_at_a_time, plain


def in_inference(x: Tensor) -> bool:
    with torch.inference_mode():
        return fast_on_cpu(x)


def test_only_without_gradients() -> None:
    x = torch.zeros(1)
    assert not fast_on_cpu(x)
    assert in_inference(x)
    with torch.no_grad():
        assert fast_on_cpu(x)


def test_only_on_a_cpu() -> None:
    assert not in_inference(torch.zeros(1, device="meta"))


def test_plain_ends_and_nests() -> None:
    x = torch.zeros(1)
    with plain():
        with plain():
            assert not in_inference(x)
        assert not in_inference(x)
    assert in_inference(x)
    with pytest.raises(KeyError), plain():
        raise KeyError
    assert in_inference(x)


def test_plain_is_of_one_thread() -> None:
    x = torch.zeros(1)
    with ThreadPoolExecutor(1) as other, plain():
        assert other.submit(in_inference, x).result()
        assert not in_inference(x)


class Asks(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.answers: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.answers.append(fast_on_cpu(x))
        return x + 1


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@torch.no_grad()
def test_a_traced_graph_holds_no_fast_form() -> None:
    asks, x = Asks(), torch.zeros(3)
    torch.export.export(asks, (x,), strict=False)
    torch.jit.trace(asks, (x,), check_trace=False)
    assert asks.answers
    assert not any(asks.answers)
    asks(x)
    assert asks.answers[-1]


@pytest.mark.parametrize("size", [0, 1, 5, 6])
def test_few_at_a_time(size: int) -> None:
    batch = torch.arange(size)
    with torch.inference_mode():
        parts = [batch[some] for some in few_at_a_time(batch, 3)]
        with plain():
            whole = [batch[some] for some in few_at_a_time(batch, 3)]
    assert torch.equal(torch.cat(parts), batch)
    assert [len(part) for part in parts] == {0: [0], 1: [1], 5: [3, 2], 6: [3, 3]}[size]
    assert len(whole) == 1
    assert torch.equal(whole[0], batch)
