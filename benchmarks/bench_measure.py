"""How the bench measures: clocks, turns, arithmetic, and what this machine can do at most."""

import importlib.metadata
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from samkit.nn.fast import plain

# Side of the square matrices whose product is the limit.
_SIDE = 2048
_PACKAGES = (
    "samkit",
    "torch",
    "transformers",
    "sam2",
    "segment-anything",
    "ultralytics",
    "onnxruntime",
    "openvino",
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run measures; `clock` gives seconds; `alone` leaves the other programs out."""

    dtype: torch.dtype
    threads: int
    runs: int
    clock: Callable[[], float]
    alone: bool = False


Contenders = dict[str, Callable[[], object]]
"""What is timed, by the name of the program; it does its job once."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is done by samkit and others, ready to be timed.

    Attributes:
        contenders: samkit is first.
        work: does the job once, for its FLOPs to be counted; None where there are none to speak of.
        warm: turns that are not counted.
        is_value: whether contenders return what is measured; else it is the time that they take.
        unit: of that.
    """

    contenders: Contenders
    work: Callable[[], object] | None = None
    warm: int = 1
    is_value: bool = False
    unit: str = "s"


@dataclass(frozen=True, kw_only=True)
class Result:
    """Medians of a job.

    Attributes:
        values: of each contender.
        limit: seconds that its FLOPs take at the rate of a large matrix product, or None.
        rate: of that product in FLOP/s, in the same turns, or None.
        spread: of samkit, largest over least value.
        product_spread: of that product, which no job can be steadier than; None without it.
    """

    values: dict[str, float]
    limit: float | None
    rate: float | None
    spread: float
    product_spread: float | None


def measure(job: Job, settings: Settings) -> Result:
    """All contenders and large matrix products take turns; the first turns warm up."""
    flops = None if job.work is None else flops_of(job.work)
    limits = {} if flops is None else products(settings.dtype)
    own = {"samkit": job.contenders["samkit"]}
    programs = own if settings.alone else job.contenders
    contenders = programs | limits
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(job.warm + settings.runs):
        for name, contender in contenders.items():
            torch.set_num_threads(settings.threads)  # which other programs change
            began = settings.clock()
            value = contender()
            taken = settings.clock() - began
            if turn >= job.warm:
                values[name].append(float(value) if job.is_value else taken)  # type: ignore[arg-type]
    medians = {name: statistics.median(each) for name, each in values.items()}
    product = values[min(limits, key=medians.__getitem__)] if limits else None
    rate = None if product is None else 2 * _SIDE**3 / statistics.median(product)
    return Result(
        values={name: medians[name] for name in programs},
        limit=None if flops is None or rate is None else flops / rate,
        rate=rate,
        spread=spread(values["samkit"]),
        product_spread=None if product is None else spread(product),
    )


def spread(values: list[float]) -> float:
    return max(values) / min(values)


def products(dtype: torch.dtype) -> Contenders:
    """A large matrix product by each of torch's libraries: the faster one is the limit."""
    a, b = torch.randn(2, _SIDE, _SIDE).to(dtype)
    found: Contenders = {"torch.mm": lambda: torch.mm(a, b)}
    if torch.backends.mkldnn.is_available():
        multiply = torch.ops.mkldnn._linear_pointwise
        found["oneDNN"] = lambda: multiply(a, b, None, "none", [], "")
    return found


def flops_of(work: Callable[[], object]) -> int:
    """FLOPs of the plain form of a job: what the papers' formulas need."""

    def attention(q: torch.Size, k: torch.Size, v: torch.Size, *_: object, **__: object) -> int:
        return 2 * q.numel() * k[-2] + 2 * q[:-1].numel() * k[-2] * v[-1]

    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counter = FlopCounterMode(display=False, custom_mapping={kernel: attention})
    with counter, plain():
        work()
    return counter.get_total_flops()


def child(code: str, *arguments: object) -> resource.struct_rusage:
    """What a Python program takes in a process of its own, its interpreter included."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        raise RuntimeError(f"a child ended with status {status}:\n{code}")
    return usage


def machine() -> str:
    """The processor, as it calls itself, and what torch uses of it."""
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    known = torch.cpu.get_capabilities()
    extra = [name for name in ("avx512_bf16", "amx_bf16") if known.get(name)]
    used = [torch.backends.cpu.get_cpu_capability(), *extra]
    return f"{names[0] if names else platform.processor()}, {len(names)} cores, {', '.join(used)}"


def versions() -> str:
    """Versions of Python, and of the packages that are installed."""
    found = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def shown(value: float, unit: str) -> str:
    """A value in a table; seconds below one as milliseconds."""
    if unit == "s" and value < 1:
        return f"{1000 * value:.3g} ms"
    return f"{value:.3g} s" if unit == "s" else f"{value:.0f} {unit}"


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
