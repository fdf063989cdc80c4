"""How many prompts go into one call of the mask decoder."""

from collections.abc import Iterator, Sequence
from itertools import takewhile

from samkit.image_predictor.prompt_tokens import token_count
from samkit.nn import ImageFeatures, Network
from samkit.nn.fast.low_rank_views import is_low_rank
from samkit.prompts import Prompt

__all__ = ["decoder_batches", "prompts_at_once"]

# Working memory of one decoder call; longer lists of prompts are decoded in several calls.
_DECODER_BYTES = 2**29
# On a CPU a call is faster while the maps of its prompts fit the cache, where each has its own.
_CACHE_BYTES = 2**24
# Prompts in a call that share one map: more are no faster.
_SHARING = 16


def decoder_batches(
    prompts: Sequence[Prompt], with_priors: bool, features: ImageFeatures, network: Network
) -> Iterator[tuple[int, int]]:
    """Start of each call and how many prompts it takes; all prompts are taken, in their order.

    A call takes a run of prompts that share the map of the image, else as many as come.
    """
    pad_boxes = network.config.prompt_encoder.pad_boxes
    alone = prompts_at_once(features, network, tokens=None)
    with_its_like = [
        alone
        if with_priors or prompt.mask_input is not None
        else prompts_at_once(features, network, tokens=token_count(prompt, pad_boxes))
        for prompt in prompts
    ]
    start = 0
    while start < len(prompts):
        window = with_its_like[start : start + _SHARING]
        sharing = list(takewhile(lambda count: count > alone, window))
        step = max(alone, min([len(sharing), *sharing]))
        yield start, step
        start += step


def prompts_at_once(features: ImageFeatures, network: Network, *, tokens: int | None) -> int:
    """How many prompts of a kind are best decoded in one call.

    Args:
        features: of the image.
        network: that decodes.
        tokens: points, corners and padding of each prompt; None where each has a mask, or features,
            of its own.
    """
    dim, height, width = features.embedding.shape[1:]
    places = height * width
    map_bytes = dim * places * 4
    if network.mask_decoder.iou_token.weight.device.type != "cpu":
        # One prompt needs some 16 maps.
        return max(1, _DECODER_BYTES // (map_bytes * 16))
    if tokens is not None and not network.prompt_encoder.draw_prompts:
        rows = network.mask_decoder.rows(tokens)
        if is_low_rank(rows, locations=places, dim=dim):
            # Each of two layers keeps so many numbers of a place, and as many again for a while.
            return max(1, min(_SHARING, _DECODER_BYTES // (rows * places * 4 * 6)))
    return max(1, _CACHE_BYTES // map_bytes)
