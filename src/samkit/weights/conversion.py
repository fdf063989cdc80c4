"""Checkpoints written in the layouts that other libraries read."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from samkit.errors import CheckpointError, InputError, shown
from samkit.files import checked_path
from samkit.media import write_atomically
from samkit.sizes import Sam3Config, Sam31Config
from samkit.weights.detector import OpenedDetector, open_with_detector
from samkit.weights.hugging_face import config_to_json
from samkit.weights.layouts import is_unused, table_of
from samkit.weights.loading import OpenedCheckpoint
from samkit.weights.registry import MODELS
from samkit.weights.saving import header
from samkit.weights.tensor_file import write_safetensors, write_torch
from samkit.weights.whole_sam3 import as_meta, as_samkit, in_transformers

__all__ = ["LAYOUTS", "Layout", "check_target", "convert"]

Layout = Literal["samkit", "meta", "hugging-face", "ultralytics"]

LAYOUTS: tuple[Layout, ...] = ("samkit", "meta", "hugging-face", "ultralytics")


def convert(
    source: str | Path, target: str | Path, *, layout: Layout, progress: bool | None = None
) -> None:
    """Write a checkpoint in another layout: the same values and dtypes under other names.

    Converting there and back is bit-identical. Tensors that no network uses (MobileSAM's
    classifier) are kept. The layout of transformers cannot hold them, nor MobileSAM as a whole; for
    those of SAM 3 that Meta's file has nevertheless, zeros are written. The detector of SAM 3 is
    written where the source has it.

    Args:
        source: anything that `load_network` takes.
        target: a file, or a folder for ``"hugging-face"``; replaced when it is there.
        layout: ``"samkit"`` (safetensors with the sizes in its header), ``"meta"`` (a pickled
            state dict, for SAM 2 under ``"model"``), ``"ultralytics"`` (Meta's names, always
            under ``"model"``), or ``"hugging-face"`` (a folder with ``model.safetensors`` and
            ``config.json`` that transformers loads).
        progress: draw a progress bar for downloads; None draws one if stderr is a terminal.

    Raises:
        InputError: an unknown layout, or a target that cannot be written.
        CheckpointError: the source is not usable, or the layout cannot hold such a network.
    """
    target = check_target(target, layout)
    opened, detector = open_with_detector(source, progress=progress)
    if layout == "samkit":
        tensors, about = opened.state, header(opened.config, opened.metadata)
        if isinstance(opened.config, Sam3Config):
            about |= {"license": MODELS["sam3"].licence}  # which asks for being named
        if detector is not None:
            tensors, about = tensors | as_samkit(detector), about | detector.header
        write_safetensors(target, _own(tensors), about)
    elif layout == "hugging-face":
        _write_folder(opened, detector, target)
    else:
        state = _own(_as_meta(opened, detector, layout))
        wrapped = layout == "ultralytics" or opened.config.family == "sam2"
        write_torch(target, {"model": state} if wrapped else state)


def check_target(target: str | Path, layout: Layout) -> Path:
    """The path of what is converted, if its name is one for the layout.

    Raises:
        InputError: an unknown layout, or a name that belongs to another one.
    """
    path = checked_path(target, "what is converted")
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise InputError(f"expected a layout out of {', '.join(LAYOUTS)}, got {shown(layout)}")
    if layout in ("meta", "ultralytics") and path.suffix.lower() == ".safetensors":
        raise InputError(
            f"cannot write {path}: the layout {layout!r} is a pickle; expected a name such as "
            f"{path.with_suffix('.pt').name}"
        )
    return path


def _as_meta(
    opened: OpenedCheckpoint, detector: OpenedDetector | None, layout: Layout
) -> dict[str, Tensor]:
    """All tensors under Meta's names.

    Raises:
        CheckpointError: Meta's files cannot hold them, or hold more.
    """
    source, config = opened.source, opened.config
    if own := config.unpublished_features:
        raise CheckpointError(
            f"{source} can be written in the layout 'samkit' only, not {layout!r}: no other code "
            f"knows {' and '.join(own)}"
        )
    if not config.image_encoder.follows_from_shapes:
        raise CheckpointError(
            f"{source} cannot be written in the layout {layout!r}, which holds tensors only: its "
            "activation, or the kind or epsilon of its norms, is not that of released networks"
        )
    if isinstance(config, Sam31Config):
        raise CheckpointError(
            f"{source} cannot be written in the layout {layout!r}: Meta's file of SAM 3.1 holds "
            "its memory (multiplex), which samkit leaves out; expected the layout samkit"
        )
    state = table_of(opened.layout, "meta").from_samkit(opened.state)
    if not isinstance(config, Sam3Config):
        return state
    if detector is None:
        raise CheckpointError(
            f"{source} cannot be written in the layout {layout!r}: Meta's file of SAM 3 holds the "
            "detector of concepts, and this one does not"
        )
    return state | as_meta(detector, config)


def _write_folder(opened: OpenedCheckpoint, detector: OpenedDetector | None, folder: Path) -> None:
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise InputError(f"cannot write {folder}: expected a folder, but it is a file")
    dtypes = Counter(t.dtype for t in opened.state.values() if t.is_floating_point())
    dtype = str(dtypes.most_common(1)[0][0]).removeprefix("torch.")
    # First, because it raises where the layout cannot hold the network.
    config = config_to_json(opened.config, memory=opened.memory, dtype=dtype)
    family = opened.config.family
    state = {name: t for name, t in opened.state.items() if not is_unused(family, name)}
    state = table_of(opened.layout, "hugging-face").from_samkit(state)
    if detector is not None and opened.memory:  # of which transformers has a model of video alone
        more, config = in_transformers(detector, config, opened.config.dim)
        state |= more
    # One within the other, so that where either cannot be written neither is.
    with write_atomically(folder / "config.json") as temporary:
        temporary.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        write_safetensors(folder / "model.safetensors", _own(state), {"format": "pt"})


def _own(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor with memory of its own, so that none is written as part of a larger one."""
    return {
        name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in state.items()
    }
