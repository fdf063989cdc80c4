"""Reading what `torch.save` wrote, without ever running code that a file holds.

Tensors are read, not mapped: they stay when the file changes or shrinks. Sizes are checked before
memory is asked for, and no more is asked for than the file has bytes.
"""

import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from samkit.errors import CheckpointError, UnsafeCheckpointError
from samkit.files import open_file
from samkit.limits import limits

__all__ = ["read_torch"]


# Of pickles that PyTorch reads without running code.
_PROTOCOLS = (2, 3)


class _Ignored:
    """In place of what training scripts save beside tensors: inert, whatever a pickle says."""

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


_HARMLESS: list[Any] = [
    type(name, (_Ignored,), {"__module__": module})
    for module, name in (
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy.core.multiarray", "scalar"),  # numpy 1
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("argparse", "Namespace"),
        ("pathlib", "PosixPath"),
        ("pathlib", "WindowsPath"),
        ("pathlib._local", "PosixPath"),  # Python 3.13
        ("pathlib._local", "WindowsPath"),
    )
]


def read_torch(path: Path) -> Any:
    """What a file holds: containers, plain values, and tensors on the CPU.

    Values of numpy, and the arguments of a script, are left out: something inert stands in their
    place, and what they are is neither imported nor called.

    Raises:
        UnsafeCheckpointError: a pickle that would run code. It was not run.
        CheckpointError: missing, truncated, or nothing that `torch.save` wrote.
    """
    with open_file(path, CheckpointError) as file:
        start = file.read(2)
        size = file.seek(0, 2)
    zipped = start == b"PK"
    if zipped:
        _check_archive(path)
    elif not start.startswith(b"\x80"):
        raise CheckpointError(f"{path} is no checkpoint: neither a PyTorch nor a safetensors file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's version
            try:
                return _loaded(path, size, zipped)
            except pickle.UnpicklingError:  # only then, as it holds for the whole process
                with torch.serialization.safe_globals(_HARMLESS):
                    return _loaded(path, size, zipped)
    except pickle.UnpicklingError as error:
        refused = _refused_global(str(error), path, zipped)
        protocol = _protocol(path, zipped)
        if refused is None and protocol not in _PROTOCOLS:
            raise CheckpointError(
                f"{path} is a pickle of protocol {protocol}; expected protocol 2 or 3, which can "
                "be read without running code: write it by torch.save without pickle_protocol="
            ) from error
        if refused is None:
            raise CheckpointError(
                f"{path} is truncated, or a pickle of another kind than PyTorch writes"
            ) from error
        raise UnsafeCheckpointError(
            f"{path} was not loaded: it asks to run {refused}, and samkit never runs code from a "
            "file. Ask whoever made it for the tensors alone (a state dict or safetensors)"
        ) from error
    except CheckpointError:
        raise
    except Exception as error:  # PyTorch's reader raises errors of many types
        raise CheckpointError(f"{path} is truncated, or no PyTorch checkpoint") from error


def _check_archive(path: Path) -> None:
    """Check what a zip says of its sizes; PyTorch unpacks no more than it says."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception as error:  # damaged archives raise errors of many types
        raise CheckpointError(
            f"{path} is truncated or a damaged zip ({error}): the end of the file is missing or "
            "wrong"
        ) from error
    data = [entry for entry in entries if re.search(r"(^|/)data/[^/]*$", entry.filename)]
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in data):
        raise CheckpointError(f"{path} is no PyTorch checkpoint: its tensors are compressed")
    unpacked = sum(entry.file_size for entry in entries) - sum(entry.file_size for entry in data)
    most = limits().header_bytes
    if unpacked > most:
        raise CheckpointError(
            f"{path}: expected at most {most} bytes beside the tensors, got {unpacked} "
            "(header_bytes of samkit.limits)"
        )


def _loaded(path: Path, size: int, zipped: bool) -> Any:
    place = _placing(path, size, zipped)
    # Mapped, because PyTorch checks the bounds of what it maps, and not of what it reads.
    return torch.load(path, map_location=place, weights_only=True, mmap=zipped)


def _placing(path: Path, size: int, zipped: bool) -> Callable[[Any, str], Any]:
    """For ``map_location``: memory for each storage, as long as they fit into the file together.

    It is numpy's, which PyTorch does not enlarge for tensors that say to be larger than that.
    """
    room = size

    def place(storage: Any, _: str) -> Any:
        nonlocal room
        count = storage.nbytes()
        room -= count
        if room < 0:
            raise CheckpointError(f"{path} is truncated: it lacks {-room} bytes of its tensors")
        placed = torch.from_numpy(np.empty(count, np.uint8)).untyped_storage()
        return placed.copy_(storage) if zipped else placed  # what is not mapped is read later

    return place


def _protocol(path: Path, zipped: bool) -> int:
    """The protocol of a pickle, 0 if it does not say; where there is none, that of PyTorch."""
    try:
        with _opened_pickle(path, zipped) as file:
            start = file.read(2)
    except Exception:  # of damaged archives, of many types
        return _PROTOCOLS[0]
    return start[1] if start[:1] == b"\x80" and len(start) == 2 else 0


def _refused_global(message: str, path: Path, zipped: bool) -> str | None:
    named = re.search(r"GLOBAL ([\w.]+)", message)
    if named:
        return named[1]
    harmless = ("torch.", "collections.OrderedDict", "numpy.", "argparse.Namespace", "pathlib.")
    try:
        names = _globals_in(path, zipped)
        return next((name for name in names if not name.startswith(harmless)), None)
    except Exception:  # of damaged archives and pickles, of many types
        return None


@contextmanager
def _opened_pickle(path: Path, zipped: bool) -> Iterator[IO[bytes]]:
    """The file, or the pickle in an archive."""
    with ExitStack() as opened:
        file: IO[bytes] = opened.enter_context(open_file(path, CheckpointError))
        if zipped:
            archive = opened.enter_context(zipfile.ZipFile(file))
            entry = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            file = opened.enter_context(archive.open(entry))
        yield file


def _globals_in(path: Path, zipped: bool) -> Iterator[str]:
    """Names that a pickle would import, from its instructions, which are not executed."""
    with _opened_pickle(path, zipped) as file:
        instructions = list(pickletools.genops(file))
    texts: list[str] = []
    memo: dict[int, str] = {}  # of protocol 4, in which names that come again are only referred to
    memoized, last = 0, ""
    for instruction, argument, _ in instructions:
        if instruction.name == "MEMOIZE":
            memo[memoized] = last
            memoized += 1
            continue
        last = argument if isinstance(argument, str) else ""
        if instruction.name in ("BINGET", "LONG_BINGET"):
            last = memo.get(argument, "")  # type: ignore[arg-type]
        if instruction.name in ("GLOBAL", "INST"):
            yield last.replace(" ", ".")
        elif instruction.name == "STACK_GLOBAL" and len(texts) >= 2:
            yield ".".join(texts[-2:])
        elif last:
            texts.append(last)
