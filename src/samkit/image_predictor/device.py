"""Where a network runs, and in what precision."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from samkit.errors import InputError, shown
from samkit.nn import Network

__all__ = [
    "dtype_of",
    "find_device",
    "find_dtype",
    "is_placed",
    "own_dtypes",
    "place_network",
    "without_autocast",
]

# What can run in half precision: nearly all of the time is spent there.
_HALF_PARTS = ("image_encoder", "memory_attention")

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def find_device(device: str | torch.device) -> torch.device:
    """The device of that name, which is there; "auto" takes the fastest kind.

    Raises:
        InputError: there is no such device here.
    """
    if isinstance(device, str) and device == "auto":
        device = "mps" if torch.backends.mps.is_available() else "cpu"
        if torch.cuda.is_available():
            device = "cuda"
    try:
        probe = torch.ones(1, device=torch.device(device))
        probe.item()
    except (RuntimeError, AssertionError, ImportError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"device {shown(device)} is not available here: {reason}") from None
    return probe.device  # with its index, as tensors have it


def find_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype of that name; "auto" takes bfloat16 where the device multiplies it fast.

    Raises:
        InputError: no dtype that networks run in.
    """
    if isinstance(dtype, str) and dtype == "auto":
        return torch.bfloat16 if _bfloat16_is_fast(device) else torch.float32
    found = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or found not in _DTYPES.values():
        raise InputError(f"dtype: expected auto, {', '.join(_DTYPES)}, got {shown(dtype)}")
    return found


def dtype_of(network: Network, dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """`find_dtype` for the parts of a network that can run in half precision, if it may."""
    found = find_dtype(dtype, device)
    return found if network.config.half_precision else torch.float32


def place_network(network: Network, device: torch.device, dtype: torch.dtype) -> None:
    """Bring a network to its device and dtypes, in place."""
    network.to(device, torch.float32)
    for part in _HALF_PARTS:
        if hasattr(network, part):
            getattr(network, part).to(dtype)


def is_placed(network: Network, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `place_network` would change nothing."""
    return all(
        tensor.device == device
        and tensor.dtype == (dtype if name.startswith(_HALF_PARTS) else torch.float32)
        for name, tensor in network.named_parameters()
    )


@contextmanager
def own_dtypes(network: Network, dtype: torch.dtype | None = None) -> Iterator[None]:
    """Run a predictor's network in the dtypes that the predictor gave it.

    Args:
        network: the network; the first weight of each of its parts is looked at.
        dtype: of the parts that can run in half precision; None for any that they have in common.

    Raises:
        InputError: the caller has changed them since.
    """
    for name, part in network.named_children():
        first = next(part.parameters(), None)
        found = torch.float32 if first is None else first.dtype
        expected = torch.float32
        if name in _HALF_PARTS:
            dtype = expected = dtype or (found if found in _DTYPES.values() else expected)
        if found != expected:
            raise InputError(
                f"network: expected its {name} in {str(expected).removeprefix('torch.')}, got "
                f"{found}; instead of .half() or .double(), choose a dtype where the predictor is "
                "made: samkit.load(..., dtype=...)"
            )
    with without_autocast(network):
        yield


def without_autocast(network: Network) -> torch.autocast:
    """A context in which no autocast of the caller changes what a network computes."""
    return torch.autocast(network.mask_decoder.iou_token.weight.device.type, enabled=False)


def _bfloat16_is_fast(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return device.type == "mps"
