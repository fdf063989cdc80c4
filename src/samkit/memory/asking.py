"""What the network says to a prompt on a frame, with memory where the prompt corrects."""

import torch

from samkit.image_predictor import ImageEmbedding
from samkit.memory import prediction as tracked
from samkit.nn import Sam2
from samkit.prompts import Prompt
from samkit.video.object_state import Answer, ObjectState
from samkit.video.propagation import look_for

__all__ = ["answer_prompt"]


def answer_prompt(
    network: Sam2,
    state: ObjectState,
    frame: int,
    prompt: Prompt,
    embedding: ImageEmbedding,
    *,
    frames: int | None,
) -> Answer:
    """Answer a prompt on a frame. Points refine what was said and found there; `state` is kept.

    Where the object was not tracked yet the prompt speaks for itself, without memory. Where it was,
    the prompt corrects what was found with memory, which is found again if it is not at hand.

    Args:
        network: with memory.
        state: of the object.
        frame: number of the frame.
        prompt: what is said now. A mask or a box starts anew, points add up.
        embedding: of the frame, on the network's device.
        frames: how many the video has, if that is known.
    """
    before = state.answers.get(frame)
    corrects = state.was_tracked(frame) if before is None else before.corrects
    starts_anew = tracked.starts_anew(prompt)
    whole = prompt if before is None or starts_anew else before.prompt + prompt
    features, recalled = embedding.features, None
    earlier = None if starts_anew else state.in_frame(frame)
    with torch.inference_mode():
        backward = corrects and _is_backward(state, frame)
        if corrects and earlier is None and not starts_anew:
            earlier = look_for(network, features, [state], frame, backward=backward, frames=frames)
        if whole.mask_input is not None:  # the mask stands for what it looked like
            earlier = None
        if corrects:
            has_mask = earlier is not None or whole.mask_input is not None
            recalled = network.condition(
                features,
                [state.bank.reachable(frame, backward=backward, frames=frames)],
                torch.tensor([has_mask], device=features.embedding.device),
            )
        found = tracked.answer(network, embedding, whole, earlier=earlier, recalled=recalled)
        (memory,) = tracked.memories_of(network, features, found, prompted=True)
    return Answer(prompt=whole, found=found, memory=memory, corrects=corrects)


def _is_backward(state: ObjectState, frame: int) -> bool:
    """From which side an object that was tracked came to a frame."""
    sight = state.sight_of(frame)
    if sight is not None:
        return sight.backward
    return frame < min(state.bank.prompted)
