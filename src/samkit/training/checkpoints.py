"""The state of a training run to a file, and back."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from samkit.errors import CheckpointError
from samkit.files import parse_json
from samkit.training.trainer import Trainer
from samkit.weights.loading import check_shapes
from samkit.weights.tensor_file import write_torch
from samkit.weights.torch_reader import read_torch

__all__ = ["resume", "save"]


def save(trainer: Trainer, path: Path) -> None:
    """Write the state of a run to a file."""
    state = {
        "config": json.dumps(trainer.config.to_dict()),
        "network": trainer.network.state_dict(),
        "average": trainer.ema,
        "optimizer": trainer.optimizer.state_dict(),
        "step": trainer.step,
        "seconds": trainer.seconds,
        "measured": trainer.validated,
    }
    write_torch(path, state)


def resume(trainer: Trainer, path: Path) -> None:
    """Give a new trainer the state that `save` wrote, of a run of the same configuration.

    Raises:
        CheckpointError: there is no such file, it is damaged, or is of another configuration.
    """
    if not path.is_file():
        raise CheckpointError(f"cannot resume: there is no checkpoint {path}")
    expected = "expected the whole file that training has written"
    try:
        state: dict[str, Any] = read_torch(path)
        theirs = dict(parse_json(state["config"], "its config"))
    except Exception as error:  # another or damaged file raises nearly anything
        raise CheckpointError(f"{path} is not a checkpoint of a run: {expected}") from error
    ours = json.loads(json.dumps(trainer.config.to_dict()))
    # Validation and the cache change no weights.
    ignored = ("validation", "validate_every", "validation_images", "cache_megabytes")
    changed = sorted(n for n in ours if n not in ignored and ours[n] != theirs.get(n))
    if changed:
        raise CheckpointError(
            f"{path} belongs to a run with other {', '.join(changed)}, and only the same run "
            "is resumed; begin a new one from the weights of that one instead"
        )
    try:
        _restore(trainer, state)
    except Exception as error:
        raise CheckpointError(f"{path} is damaged: {expected} ({error})") from error
    trainer.start_clock()


def _restore(trainer: Trainer, state: dict[str, Any]) -> None:
    """Take over what `save` wrote; damaged values raise nearly anything."""
    check_shapes("its network", state["network"], trainer.network.state_dict())
    check_shapes("its average", state["average"], trainer.ema)
    _check_kinds(state["network"], trainer.network.state_dict())
    _check_kinds(state["average"], trainer.ema)
    step, seconds, validated = state["step"], state["seconds"], state["measured"]
    if type(step) is not int or type(validated) is not int or type(seconds) is not float:
        raise ValueError(f"step {step!r:.80} after {seconds!r:.80} seconds")
    last = math.inf if trainer.config.steps is None else trainer.config.steps
    if not 0 <= step <= last or not -1 <= validated <= step or not 0 <= seconds < math.inf:
        raise ValueError(f"step {step} after {seconds} seconds")
    trainer.network.load_state_dict(state["network"])
    for name, value in trainer.ema.items():
        value.copy_(state["average"][name])
    settings = _settings(trainer)
    trainer.optimizer.load_state_dict(state["optimizer"])
    if _settings(trainer) != settings:
        raise ValueError("its optimizer has other settings")
    if step and len(trainer.optimizer.state) != len(trainer.trainable):
        raise ValueError("its optimizer lacks moments")
    for parameter, moments in trainer.optimizer.state.items():
        count = parameter.new_zeros(())
        wanted = {"step": count, "exp_avg": parameter, "exp_avg_sq": parameter}
        check_shapes("its optimizer", moments, wanted)
        _check_kinds(moments, wanted)
        if float(moments["step"]) != step:
            raise ValueError("its optimizer is at another step")
    trainer.step, trainer.seconds, trainer.validated = step, seconds, validated


def _settings(trainer: Trainer) -> list[dict[str, Any]]:
    """Those of the optimiser, without the learning rate, which every step sets."""
    left_out = ("lr", "params")
    groups = trainer.optimizer.param_groups
    return [{n: v for n, v in group.items() if n not in left_out} for group in groups]


def _check_kinds(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Check that tensors are plain, of the expected types, and finite."""
    for name, want in expected.items():
        tensor = tensors[name]
        is_plain = tensor.layout == want.layout and not tensor.is_meta
        # Optimisers crash where numbers share memory, as those of expanded tensors do.
        if tensor.dtype != want.dtype or not is_plain or not tensor.is_contiguous():
            raise ValueError(f"{name} is {tensor.dtype}, expected plain {want.dtype}")
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} is not finite")
