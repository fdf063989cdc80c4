"""Finding objects in a frame by what is remembered of them, all as one batch."""

from collections.abc import Sequence

import torch

from samkit.memory.prediction import memories_of, part
from samkit.nn import ImageFeatures, Sam2
from samkit.nn.memory import ObjectPrediction
from samkit.video.object_state import ObjectState, TrackedFrame

__all__ = ["follow", "look_for"]


def follow(
    network: Sam2,
    features: ImageFeatures,
    states: Sequence[ObjectState],
    frame: int,
    *,
    backward: bool,
    frames: int | None,
) -> None:
    """Find objects in a frame, and remember it. Where they were prompted, the answer stands.

    Args:
        network: with memory.
        features: of the frame.
        states: of the objects; each was prompted somewhere.
        frame: number of the frame.
        backward: going towards the start of the video.
        frames: how many the video has, if that is known.
    """
    unknown = [state for state in states if frame not in state.answers]
    if unknown:
        found = look_for(network, features, unknown, frame, backward=backward, frames=frames)
        with torch.inference_mode():
            memories = memories_of(network, features, found, prompted=False)
        for i, state in enumerate(unknown):
            state.bank.add(frame, memories[i], prompted=False)
            state.see(TrackedFrame(frame=frame, found=part(found, i), backward=backward))
    for state in states:
        if frame in state.answers:
            state.see(
                TrackedFrame(frame=frame, found=state.answers[frame].found, backward=backward)
            )


def look_for(
    network: Sam2,
    features: ImageFeatures,
    states: Sequence[ObjectState],
    frame: int,
    *,
    backward: bool,
    frames: int | None,
) -> ObjectPrediction:
    """What objects look like in a frame; nothing is remembered. Arguments as for `follow`."""
    reachable = [state.bank.reachable(frame, backward=backward, frames=frames) for state in states]
    before = [state.in_frame(frame + 1 if backward else frame - 1) for state in states]
    with torch.inference_mode():
        prompts = network.propagation_prompts(
            [None if one is None else one.logits[0] for one in before]
        )
        conditioned = network.condition(features, reachable, prompts.has_mask)
        return network.segment(conditioned, prompts, ambiguous=True)
