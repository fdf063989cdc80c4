"""Networks from weights, strictly."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from samkit.errors import CheckpointError, CheckpointKeysError, UnknownModelError
from samkit.files import checked_path, parse_json
from samkit.nn import Network, build
from samkit.nn.numberless import without_numbers
from samkit.sizes import NetworkConfig, Sam2Config, from_dict
from samkit.weights.checkpoint import CHECKPOINT_SUFFIXES, Checkpoint, read_state_dict
from samkit.weights.download import fetch, put_by_hand
from samkit.weights.hub import fetch_file, fetch_folder, is_hub_id
from samkit.weights.hugging_face import config_from_json
from samkit.weights.infer import former_pico, infer_config, infer_memory
from samkit.weights.keys import Layout
from samkit.weights.layouts import (
    detect_layout,
    find_prefix,
    has_memory,
    is_left_out,
    is_memory,
    is_unused,
    unwrapped,
)
from samkit.weights.registry import (
    MODELS,
    RegisteredModel,
    did_you_mean,
    find_model,
    name_elsewhere,
)
from samkit.weights.saving import CONFIG_KEY

__all__ = [
    "NamedCheckpoint",
    "OpenedCheckpoint",
    "check_shapes",
    "checked",
    "load_network",
    "locate",
    "open_checkpoint",
    "read_named",
    "take_own",
]

# A count that torch's AveragedModel saves beside the tensors of the network.
_AVERAGED = "n_averaged"
# No published file has so many bytes for each parameter.
_MOST_PER_PARAMETER = 16
# Errors that impossible sizes cause.
_IMPOSSIBLE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, kw_only=True)
class NamedCheckpoint:
    """A checkpoint whose tensors have the names of a layout.

    Attributes:
        checkpoint: its contents.
        layout: the layout.
        wrapper: what a training tool had put before the names, or into them; empty for nothing.
    """

    checkpoint: Checkpoint
    layout: Layout
    wrapper: str


@dataclass(frozen=True, kw_only=True)
class OpenedCheckpoint:
    """A checkpoint whose tensors were checked against its network.

    Attributes:
        source: where it was read, for messages.
        layout: how the tensors were named.
        config: sizes of the network.
        state: tensors under samkit's names, in the checkpoint's dtypes.
        memory: whether it holds a memory.
        metadata: texts in the header of a safetensors file.
    """

    source: str
    layout: Layout
    config: NetworkConfig
    state: dict[str, Tensor]
    memory: bool
    metadata: dict[str, str]


def load_network(source: str | Path, *, progress: bool | None = None) -> Network:
    """Build the network that a checkpoint belongs to, and fill in its weights.

    Args:
        source: a name of the registry, a checkpoint file, a folder in the layout of transformers,
            or a repository on the Hugging Face hub (``owner/name``). A text that begins as a path
            (``./``, ``/``, ``~``) or ends as a file of weights (``.pt``, ``.ckpt``) is no name.
        progress: draw a progress bar for downloads; None draws one if stderr is a terminal.

    Returns:
        The network in evaluation mode, on the CPU, in float32. A checkpoint of SAM 2 without its
        memory gives a network whose `has_memory` is False, and a warning unless samkit wrote it
        (such as transformers' Sam2Model). What a training tool put before the names of tensors
        (``module.``) is taken off, with a warning.

    Raises:
        UnknownModelError: neither a registered name nor a file or folder.
        DownloadError: the weights could not be fetched.
        UnsafeCheckpointError: a pickle that would run code.
        CheckpointKeysError: tensors are missing, unexpected or wrongly shaped.
        CheckpointError: not a checkpoint, or one of another family.
    """
    opened = open_checkpoint(source, progress=progress)
    with without_numbers():
        network = build(opened.config)
    for name in [name for name in opened.state if is_unused(opened.config.family, name)]:
        del opened.state[name]
    state = take_own(opened.state)
    if opened.config.has_memory and not opened.memory:
        if CONFIG_KEY not in opened.metadata:  # samkit's own files leave out an untrained memory
            warnings.warn(
                f"{opened.source} holds the image part of SAM 2 only. Images work; the memory that "
                "video needs starts untrained",
                stacklevel=2,
            )
        state |= _untrained_memory(opened.config)
    network.load_state_dict(state, assign=True)
    network.has_memory = opened.memory
    return network.eval()


def take_own(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with memory of their own, floats as float32; `state` is empty afterwards.

    Those of a file may share memory, or be a part of another, and are copied then. Each is
    forgotten before the next one is copied, so that both are never there as a whole, if nothing
    else holds them.
    """
    sharing = Counter(_memory(tensor) for tensor in state.values())
    own = {}
    for name in list(state):
        tensor = state.pop(name).detach()
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        address, length = _memory(tensor)
        is_own = sharing[address, length] == 1 and length == tensor.nbytes
        own[name] = tensor.to(dtype, copy=not (is_own and tensor.is_contiguous()))
    return own


def _memory(tensor: Tensor) -> tuple[int, int]:
    """Address and bytes of the memory of a tensor, which others may share; (0, 0): elsewhere."""
    if tensor.layout != torch.strided or tensor.is_meta:
        return 0, 0
    storage = tensor.untyped_storage()
    return storage.data_ptr(), storage.nbytes()


def open_checkpoint(source: str | Path, *, progress: bool | None = None) -> OpenedCheckpoint:
    """Find and read a checkpoint, rename its tensors and check that all of them fit.

    Raises:
        The errors of `load_network`.
    """
    path, registered = locate(source, progress)
    return checked(read_named(path, skip=is_left_out), registered)


def read_named(path: Path, *, skip: Callable[[str], bool] | None = None) -> NamedCheckpoint:
    """Read a checkpoint, and take off what training tools put before the names, or into them.

    Raises:
        The errors of `read_state_dict`; CheckpointError also where no layout is known.
    """
    checkpoint = read_state_dict(path, skip=skip)
    tensors = {unwrapped(name): tensor for name, tensor in checkpoint.tensors.items()}
    if len(tensors) < len(checkpoint.tensors):
        raise CheckpointError(
            f"{checkpoint.source} holds a part of its network twice, once as a tool wraps it "
            "(such as _orig_mod.); expected one of each name"
        )
    is_wrapped = tensors.keys() != checkpoint.tensors.keys()
    prefix = find_prefix(tensors, checkpoint.source)
    tensors = _without(prefix, tensors, checkpoint.source)
    layout = detect_layout(tensors, checkpoint.source)
    wrapper = repr(prefix) if prefix else "what wraps parts of a network" if is_wrapped else ""
    return NamedCheckpoint(
        checkpoint=replace(checkpoint, tensors=tensors), layout=layout, wrapper=wrapper
    )


def checked(named: NamedCheckpoint, registered: RegisteredModel | None) -> OpenedCheckpoint:
    """A checkpoint under samkit's names, if all of its tensors fit its network.

    Raises:
        The errors of `load_network`.
    """
    checkpoint, layout = named.checkpoint, named.layout
    state = layout.table.to_samkit(checkpoint.tensors)
    config = _config(checkpoint, layout.family, state, registered)
    _check(checkpoint.source, layout.family, state, config)
    if named.wrapper:
        warnings.warn(
            f"{checkpoint.source} was saved by a training tool: {named.wrapper} was taken off the "
            "names of its tensors",
            stacklevel=4,
        )
    return OpenedCheckpoint(
        source=checkpoint.source,
        layout=layout,
        config=config,
        state=state,
        memory=has_memory(state),
        metadata=checkpoint.metadata,
    )


def _without(prefix: str, tensors: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """Tensors without what a training tool put before their names."""
    shorter = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    if len(shorter) < len(tensors):
        raise CheckpointError(
            f"{source} holds tensors of the same name with and without {prefix!r}; "
            "expected one of each name"
        )
    if prefix:
        shorter.pop(_AVERAGED, None)
    return shorter


def locate(source: str | Path, progress: bool | None) -> tuple[Path, RegisteredModel | None]:
    """Where the file or folder of a checkpoint is, downloaded if need be; its row of the registry.

    Raises:
        UnknownModelError, DownloadError: as of `load_network`.
    """
    path = checked_path(source, "a checkpoint, or the name of a model", UnknownModelError)
    try:
        path = path.expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnknownModelError(
            f"{str(source)[:80]!r} is neither a name nor a path: {reason}"
        ) from error
    if isinstance(source, str) and source in MODELS:
        return _fetched(MODELS[source], progress), MODELS[source]
    if path.exists():
        return path, None
    if not isinstance(source, str) or _is_path(source):
        raise UnknownModelError(
            f"no checkpoint at {path}: no such file or folder.{did_you_mean(path.name)}"
        )
    if is_hub_id(source):
        return fetch_folder(source), None
    if len(path.parts) > 1:
        raise UnknownModelError(
            f"{source!r} is neither a file or folder nor a Hugging Face id (owner/name)."
            f"{did_you_mean(path.name)}"
        )
    return path, find_model(source)


def _fetched(model: RegisteredModel, progress: bool | None) -> Path:
    if model.repository is not None:
        if model.is_folder:
            return fetch_folder(model.repository)
        return fetch_file(model.repository, model.hub_file)
    if model.url is None:
        return Path(__file__).with_name(model.filename)
    if model.sha256 is None:
        return put_by_hand(model.url, filename=model.filename)
    return fetch(
        model.url,
        filename=model.filename,
        sha256=model.sha256,
        most_bytes=_MOST_PER_PARAMETER * model.parameters,
        progress=progress,
    )


def _is_path(text: str) -> bool:
    """Whether a text can mean nothing but a file or folder."""
    return (
        text.startswith((".", "~", "/", os.sep)) or Path(text).suffix.lower() in CHECKPOINT_SUFFIXES
    )


def _config(
    checkpoint: Checkpoint,
    family: str,
    state: Mapping[str, Tensor],
    registered: RegisteredModel | None,
) -> NetworkConfig:
    """Sizes from the first of these that is there: header, config.json, registry, shapes.

    A file that is called as one of a registered model has its sizes, if its tensors fit: they do
    not tell the size of the input.
    """
    source = checkpoint.source
    if CONFIG_KEY in checkpoint.metadata:
        try:
            values = parse_json(checkpoint.metadata[CONFIG_KEY], CONFIG_KEY)
            if values["image_encoder"]["kind"] == "resnet":
                raise CheckpointError(former_pico(source))
            return from_dict(values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{source} was written by another version of samkit: cannot understand its "
                f"{CONFIG_KEY} ({error})"
            ) from error
    if checkpoint.config is not None:
        config = config_from_json(checkpoint.config, f"config.json of {source}")
        if isinstance(config, Sam2Config) and "maskmem_tpos_enc" in state:
            config = replace(config, memory=infer_memory(state, config.memory, source))
        return config
    if registered is not None:
        return registered.config
    named = MODELS.get(name_elsewhere(Path(source).name) or "")
    if named is not None and _fits(source, family, state, named.config):
        return named.config
    try:
        config = infer_config(state, family, source)
        _check(source, family, state, config)
        return config
    except CheckpointError:
        for model in MODELS.values():  # one may have the same shapes
            if _fits(source, family, state, model.config):
                return model.config
        raise


def _fits(source: str, family: str, state: Mapping[str, Tensor], config: NetworkConfig) -> bool:
    try:
        _check(source, family, state, config)
    except CheckpointError:
        return False
    return True


def _check(source: str, family: str, state: Mapping[str, Tensor], config: NetworkConfig) -> None:
    """Check that sizes are possible, and that the tensors are those of such a network."""
    if config.family != family:
        raise CheckpointError(
            f"the sizes in {source} are of family {config.family!r}, its tensors of {family!r}"
        )
    try:
        config.validate()
        expected = _tensors(config)
    except _IMPOSSIBLE as error:
        raise CheckpointError(f"the sizes in {source} are impossible: {error}") from error
    if not has_memory(state):
        expected = {name: tensor for name, tensor in expected.items() if not is_memory(name)}
    for name, want in expected.items():
        tensor = state.get(name)
        if tensor is not None and (
            tensor.is_meta
            or tensor.layout != torch.strided
            or tensor.is_floating_point() != want.is_floating_point()
        ):
            raise CheckpointError(
                f"{source}: expected {name} to hold plain {want.dtype} numbers, got "
                f"{tensor.dtype} ({tensor.layout}, on {tensor.device})"
            )
    used = {name: tensor for name, tensor in state.items() if not is_unused(family, name)}
    check_shapes(source, used, expected)


@lru_cache(maxsize=4)
def _tensors(config: NetworkConfig) -> Mapping[str, Tensor]:
    """The tensors of a network, without numbers. Opening a checkpoint may ask for them twice."""
    with without_numbers():
        return build(config).state_dict()


def check_shapes(source: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Check that tensors have the names and shapes of the expected ones.

    Raises:
        CheckpointKeysError: they differ; ``source`` is the subject of the message.
    """
    missing = tuple(name for name in expected if name not in state)
    unexpected = tuple(name for name in state if name not in expected)
    misshapen = tuple(
        (name, tuple(want.shape), tuple(state[name].shape))
        for name, want in expected.items()
        if name in state and state[name].shape != want.shape
    )
    if missing or unexpected or misshapen:
        raise CheckpointKeysError(
            source, missing=missing, unexpected=unexpected, misshapen=misshapen
        )


def _untrained_memory(config: NetworkConfig) -> dict[str, Tensor]:
    # Reproducible, and independent of the caller's random state.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(0)
        state = build(config).state_dict()
    return {name: tensor for name, tensor in state.items() if is_memory(name)}
