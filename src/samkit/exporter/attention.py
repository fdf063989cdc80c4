"""Attention as ONNX: of so many queries at a time that the engine need not hold all scores."""

import itertools
import math
from typing import Any

import onnx_ir
import torch
from onnxscript import opset18

__all__ = ["TRANSLATIONS"]

op: Any = opset18  # its types are narrower than what it takes

# With 28,736 keys, as seven frames of SAM 2 and their pointers have, 29 MB of scores.
_QUERIES = 256


def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
) -> Any:
    """`scaled_dot_product_attention` of (..., N, c), as the networks ask for it."""
    *batch, count, channels = query.shape
    axis = len(batch)
    query = op.Mul(query, op.Constant(value_float=1 / math.sqrt(channels)))
    keys = op.Transpose(key, perm=[*range(axis), axis + 1, axis])
    has_rows = attn_mask is not None and attn_mask.shape[axis] != 1
    if attn_mask is not None and attn_mask.dtype == onnx_ir.DataType.BOOL:
        nothing, all_of_it = (op.Constant(value_float=x) for x in (-math.inf, 0.0))
        attn_mask = op.Where(attn_mask, all_of_it, nothing)

    def of(queries: Any, mask: Any) -> Any:
        scores = op.MatMul(queries, keys)
        scores = scores if mask is None else op.Add(scores, mask)
        return op.MatMul(op.Softmax(scores, axis=-1), value)

    if not isinstance(count, int) or count <= _QUERIES:
        return of(query, attn_mask)
    # Tokens of prompts are of any number, and few; those of an image are of a fixed one.
    steps = math.ceil(count / _QUERIES)
    ends = [count * i // steps for i in range(steps + 1)]
    found = []
    for start, end in itertools.pairwise(ends):
        rows = [op.Constant(value_ints=[i]) for i in (start, end, axis)]
        mask = op.Slice(attn_mask, *rows) if has_rows else attn_mask
        found.append(of(op.Slice(query, *rows), mask))
    return op.Concat(*found, axis=axis)


TRANSLATIONS: dict[Any, Any] = {
    torch.ops.aten.scaled_dot_product_attention.default: _attention,
}
