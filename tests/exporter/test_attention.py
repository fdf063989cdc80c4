"""Attention in files: the same as torch's, and never all scores at once."""

from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samkit.exporter.onnx_files import write_onnx
from samkit.exporter.parts import Part

QUERIES = 600


class Attend(nn.Module):
    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        return [F.scaled_dot_product_attention(q, k, v, mask)]


def inputs(kind: str, keys: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(keys)
    named = {
        "q": torch.randn(2, 3, QUERIES, 8, generator=generator) * 3,
        "k": torch.randn(2, 3, keys, 8, generator=generator),
        "v": torch.randn(2, 3, keys, 5, generator=generator),
    }
    if kind == "of keys":
        named["mask"] = torch.rand(2, 1, 1, keys, generator=generator) > 0.5
    elif kind == "of queries and keys":
        named["mask"] = torch.randn(2, 3, QUERIES, keys, generator=generator)
    elif kind == "no heads":
        named = {name: x[:, 0].contiguous() for name, x in named.items()}
    return named


@pytest.mark.parametrize("kind", ["no mask", "of keys", "of queries and keys", "no heads"])
def test_as_in_torch(kind: str, tmp_path: Path) -> None:
    example = inputs(kind, 11)
    axis = example["k"].dim() - 2
    axes = {"k": {axis: "keys"}, "v": {axis: "keys"}, "mask": {3: "keys"}}
    part = Part(name="attend", module=Attend(), inputs=example, outputs=("found",), axes=axes)
    write_onnx(part, tmp_path, "float32")
    session = onnxruntime.InferenceSession(tmp_path / "attend.onnx")
    for keys in (11, 40, 2):
        given = inputs(kind, keys)
        (found,) = session.run(None, {name: x.numpy() for name, x in given.items()})
        expected = Attend()(*given.values())[0]
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)
    nodes = [node.op_type for node in onnx.load(tmp_path / "attend.onnx").graph.node]
    assert nodes.count("Softmax") == 3  # 200 queries each
