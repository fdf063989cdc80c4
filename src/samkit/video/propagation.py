"""One frame of a video: objects are tracked into it, or prompted in it."""

from collections.abc import Sequence

from torch import Tensor

from samkit.image_predictor import ImageEmbedding
from samkit.memory.prediction import (
    PromptedObject,
    predict_from_memory,
    predict_prompted,
    remember,
)
from samkit.nn import ImageFeatures, MemoryNetwork
from samkit.prompts import Prompt
from samkit.video.object_state import ObjectState, TrackedFrame

__all__ = ["prompt_frame", "propagate"]


def propagate(
    network: MemoryNetwork,
    features: ImageFeatures,
    states: Sequence[ObjectState],
    frame: int,
    *,
    backward: bool,
    frames: int | None,
) -> None:
    """Track objects into a frame, all as one batch, and remember it. Prompted frames stay.

    Args:
        network: with memory.
        features: of the frame.
        states: of the objects; each was prompted somewhere.
        frame: number of the frame.
        backward: going towards the start of the video.
        frames: how many the video has, if that is known.
    """
    unprompted = [state for state in states if frame not in state.prompted]
    if unprompted:
        prediction = predict_from_memory(
            network,
            features,
            [s.bank.reachable(frame, backward=backward, frames=frames) for s in unprompted],
            [_previous_logits(state, frame, backward=backward) for state in unprompted],
        )
        memories = remember(network, features, prediction, prompted=False)
        for state, memory, one in zip(unprompted, memories, prediction.each(), strict=True):
            state.bank.add(frame, memory, prompted=False)
            state.add_tracked(TrackedFrame(frame=frame, prediction=one, backward=backward))
    for state in states:
        if frame in state.prompted:
            one = state.prompted[frame].prediction
            state.add_tracked(TrackedFrame(frame=frame, prediction=one, backward=backward))


def prompt_frame(
    network: MemoryNetwork,
    state: ObjectState,
    frame: int,
    prompt: Prompt,
    embedding: ImageEmbedding,
    *,
    frames: int | None,
) -> PromptedObject:
    """Predict an object in a frame from a prompt; `state` is not changed.

    Where the object was not tracked yet, only the prompt counts. Where it was, the prompt corrects
    the prediction from memory, which is computed again if it is not kept.

    Args:
        network: with memory.
        state: of the object.
        frame: number of the frame.
        prompt: the new prompt.
        embedding: of the frame, on the network's device.
        frames: how many the video has, if that is known.
    """
    before = state.prompted.get(frame)
    reachable = previous = None
    if state.was_tracked(frame) if before is None else before.corrects:
        backward = state.came_backward(frame)
        reachable = state.bank.reachable(frame, backward=backward, frames=frames)
        previous = _previous_logits(state, frame, backward=backward)
    return predict_prompted(
        network,
        embedding,
        prompt,
        before=before,
        current=state.prediction_in(frame),
        reachable=reachable,
        previous=previous,
    )


def _previous_logits(state: ObjectState, frame: int, *, backward: bool) -> Tensor | None:
    """Mask logits (h, w) in the frame before, in the direction of tracking, if they are kept."""
    before = state.prediction_in(frame + 1 if backward else frame - 1)
    return None if before is None else before.logits[0]
