"""Reading safetensors files.

They are read, not mapped: what is read stays when the file changes or shrinks. Sizes are checked
before memory is asked for, and no more is asked for than the file has bytes.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from samkit.errors import SamkitError
from samkit.files import open_file, parse_json
from samkit.limits import limits

__all__ = ["read_safetensors"]

_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "U16": torch.uint16,
    "U32": torch.uint32,
    "U64": torch.uint64,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "C64": torch.complex64,
}
_TEXTS = "__metadata__"
_MOST_AXES = 64
_LENGTH_BYTES = 8  # of the number that says how long the header is


def read_safetensors(
    path: Path, error: type[SamkitError], *, skip: Callable[[str], bool] | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file, on the CPU and in its order, and the texts in its header.

    Args:
        path: the file.
        error: raised where it is missing, truncated, damaged or of another kind.
        skip: whether a tensor of that name is not read; None reads all.
    """
    with open_file(path, error) as file:
        try:
            header = _header(file)
            texts = header.pop(_TEXTS, {})
            if not isinstance(texts, dict) or any(not isinstance(t, str) for t in texts.values()):
                raise _DamagedError(f"expected texts in {_TEXTS}, got {texts!r:.80}")
            entries = [_Entry.checked(name, about) for name, about in header.items()]
            entries.sort(key=lambda entry: (entry.begin, entry.end))
            _check_places(entries, os.fstat(file.fileno()).st_size - file.tell())
            start = file.tell()
            tensors = {}
            for entry in entries:
                if skip is None or not skip(entry.name):
                    file.seek(start + entry.begin)
                    tensors[entry.name] = _tensor(file, entry)
        except OSError as reason:
            raise error(f"cannot read {path}: {reason.strerror or reason}") from reason
        except _DamagedError as reason:
            raise error(f"{path} is truncated or no safetensors file: {reason}") from reason
    return tensors, texts


class _DamagedError(SamkitError):
    """What is wrong with a file."""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """What the header says of a tensor; it lies from ``begin`` to ``end`` after the header."""

    name: str
    dtype: torch.dtype
    shape: list[int]
    begin: int
    end: int

    @classmethod
    def checked(cls, name: str, about: Any) -> "_Entry":
        try:
            dtype, shape = _DTYPES[about["dtype"]], list(about["shape"])
            begin, end = about["data_offsets"]
        except (KeyError, TypeError, ValueError):
            raise _DamagedError(f"cannot understand {name!r:.80}, {about!r:.120}") from None
        whole = all(type(number) is int and 0 <= number < 2**63 for number in (*shape, begin, end))
        if not whole or len(shape) > _MOST_AXES or math.prod(shape) * dtype.itemsize != end - begin:
            raise _DamagedError(f"the shape of {name!r:.80} does not fit its place, {about!r:.120}")
        return cls(name=name, dtype=dtype, shape=shape, begin=begin, end=end)


def _header(file: IO[bytes]) -> dict[str, Any]:
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    most = limits().header_bytes
    if length > most:
        raise _DamagedError(f"expected a header of at most {most} bytes (samkit.limits)")
    text = file.read(length)
    if len(text) < length or not length:
        raise _DamagedError(f"expected a header of {length} bytes, got {len(text)}")
    header = parse_json(text, "its header", _DamagedError)
    if not isinstance(header, dict):
        raise _DamagedError(f"expected an object as header, got {header!r:.80}")
    return header


def _check_places(entries: list[_Entry], total: int) -> None:
    """Check that tensors lie one after the other, and fill all bytes."""
    at = 0
    for entry in entries:
        if entry.begin != at:
            raise _DamagedError(f"expected {entry.name!r:.80} at byte {at}, got {entry.begin}")
        at = entry.end
    if at != total:
        raise _DamagedError(f"expected {at} bytes of tensors, got {total}")


def _tensor(file: IO[bytes], entry: _Entry) -> Tensor:
    data = torch.empty(entry.end - entry.begin, dtype=torch.uint8, device="cpu")
    if file.readinto(data.numpy()) != len(data):  # type: ignore[attr-defined]
        raise _DamagedError("it became shorter while it was read")
    try:
        return data.view(entry.dtype).reshape(entry.shape)
    except RuntimeError as reason:  # such as no rows of very many columns
        raise _DamagedError(f"impossible shape {entry.shape!r:.80}: {reason}") from reason
