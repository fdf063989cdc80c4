"""Many prompts, which go into several calls of the decoder."""

from dataclasses import replace

import numpy as np
import pytest
from image_predictor.helpers import ALL, assert_same, photo
from tiny import make, tiny_sam

from samkit.errors import InputError
from samkit.image_predictor import ImagePredictor, batching
from samkit.image_predictor import predictor as predictor_module
from samkit.nn import ImageFeatures, PromptTensors
from samkit.nn.fast.low_rank_views import LowRankViews
from samkit.nn.mask_decoder import Attended
from samkit.prompts import Prompt


@pytest.mark.parametrize("limit", [1, 10**6, 2**29])
def test_long_lists_are_decoded_in_parts(
    predictor: ImagePredictor, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    embedding = predictor.embed(photo())
    expected = predictor.predict(embedding, ALL, candidates=3)
    monkeypatch.setattr(batching, "_DECODER_BYTES", limit)
    masks = predictor.predict(embedding, ALL, candidates=3)
    assert_same(masks, expected)
    assert masks.prompt_index.tolist() == [i for i in range(len(ALL)) for _ in range(3)]


def test_prompts_that_share_the_image_are_decoded_in_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = make(replace(tiny_sam(), dim=64))
    predictor = ImagePredictor(network, device="cpu", dtype="float32")
    embedding = predictor.embed(photo())
    clicks = [Prompt.point(3 + 2 * i, 40 - i) for i in range(30)]
    long = Prompt.points([(5 * i, 4 * i) for i in range(9)], [1] * 9)
    mask = Prompt.mask(np.eye(50, 80) > 0)
    prompts = [*clicks[:12], long, *clicks[12:15], mask, mask, *clicks[15:], long]
    alone = [predictor.predict(embedding, prompt) for prompt in prompts]

    sizes, forms = [], []
    attend = network.attend

    def counted(features: ImageFeatures, given: PromptTensors) -> Attended:
        attended = attend(features, given)
        sizes.append(len(given))
        forms.append(type(attended.views))
        return attended

    monkeypatch.setattr(batching, "_CACHE_BYTES", 2 * 64 * 64 * 4)  # two maps
    monkeypatch.setattr(predictor.network, "attend", counted)
    together = predictor.predict(embedding, prompts)
    assert sizes == [12, 2, 2, 2, 15, 1]
    # Two clicks are few, but this image was asked about before.
    assert [form is LowRankViews for form in forms] == [True, False, True, False, True, False]
    for i, one in enumerate(alone):
        assert_same(together[i], one)


def test_many_masks_are_compressed_and_drop_their_logits(
    predictor: ImagePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = predictor.predict(photo(), ALL)
    assert not expected.is_compressed
    monkeypatch.setattr("samkit.masks.storage.DENSE_BYTES", 1000)
    monkeypatch.setattr(predictor_module, "_LOGITS_BYTES", 1000)
    masks = predictor.predict(photo(), ALL)
    assert masks.is_compressed
    assert masks.logits is None
    assert np.array_equal(masks.masks, expected.masks)
    with pytest.raises(InputError, match="logits"):
        predictor.predict(photo(), ALL[:4], prior=masks[:4])
