"""Masks of an earlier call are refined."""

from dataclasses import replace

import numpy as np
import pytest
from image_predictor.helpers import BOX, CLICK, MASK, assert_same, photo
from tiny import make, tiny_sam2

from samkit.errors import InputError, PromptError
from samkit.image_predictor import ImagePredictor
from samkit.masks import Masks
from samkit.prompts import Prompt


def test_prior_is_refined(predictor: ImagePredictor) -> None:
    embedding = predictor.embed(photo())
    first = predictor.predict(embedding, [CLICK, BOX])
    fix = Prompt.point(9, 40, label=0)
    finer = predictor.predict(embedding, [fix, CLICK], prior=first)
    assert finer.logits is not None
    without = predictor.predict(embedding, [fix, CLICK])
    assert without.logits is not None
    assert np.abs(finer.logits - without.logits).max() > 1e-3 * np.abs(without.logits).max()
    # One by one it is the same.
    assert_same(finer[1], predictor.predict(embedding, CLICK, prior=first[1]))


def test_prior_of_candidates_takes_the_best(sam2: ImagePredictor) -> None:
    three = sam2.predict(photo(), [CLICK, BOX], candidates=3)
    assert len(sam2.predict(photo(), [CLICK, BOX], prior=three.best())) == 2
    with pytest.raises(InputError, match=r"each of 2 prompts, got 6; .*best\(\)"):
        sam2.predict(photo(), [CLICK, BOX], prior=three)


def test_bad_priors(sam2: ImagePredictor) -> None:
    first = sam2.predict(photo(), CLICK)
    with pytest.raises(PromptError, match="has a mask already"):
        sam2.predict(photo(), MASK, prior=first)
    with pytest.raises(InputError, match=r"of this image of size \(30, 40\).*\(50, 80\)"):
        sam2.predict(photo(30, 40), CLICK, prior=first)
    with pytest.raises(InputError, match="expected one mask for each of 2"):
        sam2.predict(photo(), [CLICK, BOX], prior=first)
    with pytest.raises(InputError, match="expected Masks of an earlier call, got ndarray"):
        sam2.predict(photo(), CLICK, prior=first.masks[0])
    nan = Masks(first.masks, first.scores, logits=np.full((1, 32, 32), np.nan))
    with pytest.raises(InputError, match="expected finite logits"):
        sam2.predict(photo(), CLICK, prior=nan)
    other = ImagePredictor(make(replace(tiny_sam2(), image_size=(96, 160))), device="cpu")
    with pytest.raises(InputError, match="another network's"):
        sam2.predict(photo(), CLICK, prior=other.predict(photo(), CLICK))
