"""Files, JSON values and tensors with something changed that nobody expects."""

import copy
import json
import math
from typing import Any

import numpy as np
import torch
from hostile.harness import pick
from safetensors import safe_open
from safetensors.torch import save_file

__all__ = [
    "HOSTILE_VALUES",
    "changed_json",
    "changed_tensor_file",
    "changed_tensors",
    "damaged",
    "json_text",
]

NUMBERS = (
    0, -1, 1, 2, 7, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**53 + 1, 2**63 - 1,
    2**63, -(2**63), 10**30, 10**400, 0.0, -0.0, 0.5, 1e-320, 1e38, 1e39, 1e308, -1e308,
    math.nan, math.inf, -math.inf, True, False,
)  # fmt: skip
TEXTS = (
    "", " ", "0", "1", "-1", "1e999", "nan", "null", "x" * 5000, "\0", "a\0b", "\ud800", "../../x",
    "/dev/null", "/", ".", "~nouser/x", "ü", "\u202e", "%s%n{0}", "0" * 500, "[[[[", "{", "[1, 2]",
)  # fmt: skip
NESTED: Any = 1
for _ in range(70):
    NESTED = [NESTED]
HOSTILE_VALUES: tuple[Any, ...] = (
    *NUMBERS, *TEXTS, None, [], {}, [[]], [None], [1, 2], [1, 2, 3, 4], [1e30] * 4, [[1, 2], [3]],
    [math.nan, 1], ["a", "b"], {"a": 1}, {"": {}}, {"size": [1, 1]}, NESTED, list(range(3000)),
)  # fmt: skip


def damaged(rng: np.random.Generator, data: bytes) -> bytes:
    """A file of which bytes are changed, missing, doubled or cut off, mostly near its beginning."""
    new = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        i = int(len(new) * rng.random() ** pick(rng, (1, 3)))
        j = i + int(2 ** rng.uniform(0, 8))
        way = rng.integers(8)
        if way == 0:
            del new[i:]
        elif way == 1:
            del new[i:j]
        elif way == 2:
            new[i:i] = new[i:j]
        elif way == 3:
            new[i:i] = rng.bytes(j - i)
        elif way == 4:
            new[i:j] = rng.bytes(len(new[i:j]))
        elif way == 5:
            size = int(pick(rng, (1, 2, 4, 8)))
            number = int(pick(rng, (0, 1, 2**7, 2**15, 2**31 - 1, 2**31, 2**63, 2**64 - 1)))
            order = "little" if rng.random() < 0.5 else "big"
            new[i : i + size] = (number % 2 ** (8 * size)).to_bytes(size, order)
        else:
            for at in rng.integers(i, min(j, len(new)) or 1, rng.integers(1, 4)):
                if at < len(new):
                    new[at] ^= 1 << int(rng.integers(8))
    return bytes(new)


def changed_json(rng: np.random.Generator, value: Any) -> Any:
    """A JSON value in which one or two places, at any depth, hold something else."""
    new = copy.deepcopy(value)
    for _ in range(rng.integers(1, 3)):
        places = list(_places(new))
        if not places:
            return copy.deepcopy(pick(rng, HOSTILE_VALUES))
        container, key = places[int(rng.integers(len(places)))]
        way = rng.integers(8)
        if way == 0:
            del container[key]
        elif way == 1 and isinstance(container, list):
            container.append(container[key])
        elif way == 2 and isinstance(container, dict):
            container[pick(rng, (*TEXTS, "extra"))] = container[key]
        elif way == 3:
            container[key] = copy.deepcopy(places[int(rng.integers(len(places)))][0])
        elif way == 4 and isinstance(container[key], (int, float)):
            container[key] = container[key] * pick(rng, (-1, 2, 10, 1000)) + pick(rng, (0, 1))
        else:
            container[key] = copy.deepcopy(pick(rng, HOSTILE_VALUES))
    return new


def _places(value: Any) -> Any:
    """(container, key) of everything in it."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])


def json_text(rng: np.random.Generator, value: Any) -> bytes:
    """A changed value as text, which seldom is damaged as text too."""
    if rng.random() < 0.03:
        return pick(rng, (b"", b"[" * 10**5, b'{"a":' * 5000, b"9" * 5000, b"\xff\xfe{}", b"null"))
    data = json.dumps(changed_json(rng, value), ensure_ascii=rng.random() < 0.9)
    encoded = data.encode("utf-8", "surrogatepass")
    return damaged(rng, encoded) if rng.random() < 0.1 else encoded


def changed_tensors(
    rng: np.random.Generator, tensors: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Tensors of which one or two have other shapes, dtypes, values or names, or are missing."""
    new = dict(tensors)
    for _ in range(rng.integers(1, 3)):
        if not new:
            break
        name = pick(rng, list(new))
        tensor = new[name]
        way = rng.integers(9)
        if way == 0:
            del new[name]
        elif way == 1:
            new[f"{name}.more"] = tensor.clone()
        elif way == 2:
            new[pick(rng, ("", "x", "0", "1", "a.b", "ü", "x" * 300))] = new.pop(name)
        elif way == 3:
            value = pick(rng, (math.nan, math.inf, -math.inf, 0, 3e4, -1))
            if tensor.is_floating_point() or (not math.isnan(value) and not math.isinf(value)):
                value = value if tensor.dtype != torch.bool else bool(value)
                small = not tensor.is_floating_point() and tensor.element_size() == 1
                new[name] = torch.full_like(tensor, abs(value) % 2 if small else value)
        elif way == 4:
            dtypes = (
                torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8,
                torch.int64, torch.bool, torch.uint8,
            )  # fmt: skip
            new[name] = tensor.to(pick(rng, dtypes))
        elif way == 5:
            new[name] = tensor.flatten()
        elif way == 6:
            new[name] = tensor[None]
        elif way == 7 and tensor.ndim:
            axis = int(rng.integers(tensor.ndim))
            keep = int(rng.integers(tensor.shape[axis] + 1))
            new[name] = tensor.narrow(axis, 0, keep).contiguous()
        elif tensor.ndim > 1:
            new[name] = tensor.movedim(0, -1).contiguous()
    return new


def changed_tensor_file(rng: np.random.Generator, source: object, target: object) -> None:
    """A copy of a safetensors file with other tensors, another text in its header, or damage."""
    way = rng.integers(4)
    if way == 0:
        with open(source, "rb") as file, open(target, "wb") as copied:
            copied.write(damaged(rng, file.read()))
        return
    with safe_open(source, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata() or {})
    if way != 1:
        key = pick(rng, list(metadata))
        try:
            text = json_text(rng, json.loads(metadata[key])).decode("utf-8")
        except ValueError:
            text = str(pick(rng, ("", "null", "[]", "3")))
        metadata[key] = text.encode("utf-8", "replace").decode("utf-8")
    if way != 2:
        tensors = changed_tensors(rng, tensors)
    save_file(tensors, target, metadata)
