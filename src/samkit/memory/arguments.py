"""Checks of arguments: networks with memory, ids, frame numbers, prompts."""

from collections.abc import Collection, Mapping

from samkit.arguments import whole_number
from samkit.errors import InputError, PromptError
from samkit.image_predictor import ImagePredictor
from samkit.nn import MemoryNetwork
from samkit.prompts import Prompt
from samkit.runtimes import is_exported
from samkit.sizes import NetworkConfig, Sam31Config

__all__ = [
    "check_known",
    "check_memory",
    "checked_id",
    "checked_prompt",
    "checked_prompts",
    "network_with_memory",
]


def network_with_memory(predictor: object, use: str) -> MemoryNetwork:
    """The network of a predictor, if it has a memory.

    Args:
        predictor: an ImagePredictor, or anything else, which is an error.
        use: what memory is needed for; the subject of the error message.

    Raises:
        InputError: not an ImagePredictor, or its network has no memory.
    """
    if not isinstance(predictor, ImagePredictor):
        raise InputError(
            f"expected an ImagePredictor (samkit.load gives one), got {type(predictor).__name__}"
        )
    network = predictor.network
    if isinstance(network, MemoryNetwork) and not network.has_memory and is_exported(network):
        raise InputError(
            f"{use} needs the parts for video, which this export has not; export again with "
            "--parts video"
        )
    check_memory(network.config, use)
    if not isinstance(network, MemoryNetwork) or not network.has_memory:
        raise InputError(_needs_memory(use))
    return network


def check_memory(config: NetworkConfig, use: str) -> None:
    """Check that networks of such sizes have a memory.

    Raises:
        InputError: they have none.
    """
    if isinstance(config, Sam31Config):
        raise InputError(
            f"{use} needs a memory, and of SAM 3.1 samkit has the part for images alone, not its "
            "memory of 16 objects at a time (multiplex): take sam3, which also finds by words in "
            "video, or sam2.1-tiny or larger"
        )
    if not config.has_memory:
        raise InputError(_needs_memory(use))


def _needs_memory(use: str) -> str:
    return (
        f"{use} needs a SAM 2 network with its memory; load pico or sam2.1-tiny, -small, "
        "-base-plus or -large"
    )


def checked_id(value: object) -> int:
    """The id of an object: an integer of 64 bits, which is what `Masks` can hold.

    Raises:
        InputError: anything else.
    """
    return whole_number("object_id", value)


def check_known(object_id: int, known: Collection[int]) -> None:
    """Check that an object is among the known ones.

    Raises:
        InputError: it is not.
    """
    if object_id not in known:
        ids = ", ".join(map(str, known)) or "none"
        raise InputError(f"object_id: expected a known object ({ids}), got {object_id}")


def checked_prompts(value: object) -> dict[int, Prompt]:
    """A prompt for each of any number of objects, by id.

    Raises:
        InputError: not a mapping, or a wrong id; PromptError: not a prompt.
    """
    if not isinstance(value, Mapping):
        raise InputError(
            f"prompts: expected {{object id: Prompt}}, got {type(value).__name__}; "
            "for a single object write {1: prompt}"
        )
    return {checked_id(key): checked_prompt(prompt) for key, prompt in value.items()}


def checked_prompt(value: object) -> Prompt:
    """A prompt.

    Raises:
        PromptError: anything else.
    """
    if not isinstance(value, Prompt):
        raise PromptError(f"expected a Prompt, got {type(value).__name__}")
    return value
