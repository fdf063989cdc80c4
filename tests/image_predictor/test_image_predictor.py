"""embed, predict and predict_batch on tiny random networks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import CONFIGS, make, tiny_sam, tiny_sam2

from samkit.errors import ImageError, InputError, PromptError, SamkitError
from samkit.image_predictor import ImageEmbedding, ImagePredictor, batching
from samkit.image_predictor import predictor as predictor_module
from samkit.image_predictor.prompt_tokens import prompt_tensors, token_count
from samkit.masks import Masks
from samkit.nn import ImageFeatures, MaskPrediction, PromptTensors
from samkit.nn.fast.low_rank_views import LowRankViews
from samkit.prompts import Prompt
from samkit.transforms import ImageTransform

CLICK = Prompt.point(30, 20)
CLICKS = Prompt.point(30, 20) + Prompt.point(50.5, 8, label=0)
BOX = Prompt.box(10, 5, 60, 40)
MASK = Prompt.mask(np.indices((50, 80)).sum(0) % 37 > 17)
LOGITS = Prompt.mask(np.random.default_rng(3).normal(0, 5, (17, 23)))
ALL = [CLICK, CLICKS, BOX, BOX + CLICKS, MASK, MASK + CLICK, LOGITS + BOX]


def photo(height: int = 50, width: int = 80, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(params=list(CONFIGS))
def predictor(request: pytest.FixtureRequest) -> ImagePredictor:
    return ImagePredictor(make(CONFIGS[request.param]), device="cpu", dtype="float32")


@pytest.fixture
def sam2() -> ImagePredictor:
    return ImagePredictor(make(tiny_sam2()), device="cpu", dtype="float32")


def assert_same(a: Masks, b: Masks, *, exact: bool = False) -> None:
    """Equal but for rounding: logits relative to their scale, pixels but for a few."""
    assert len(a) == len(b)
    assert a.logits is not None
    assert b.logits is not None
    np.testing.assert_allclose(a.scores, b.scores, atol=0 if exact else 1e-5)
    scale = 0 if exact else 1e-5 * np.abs(b.logits).max()
    np.testing.assert_allclose(a.logits, b.logits, rtol=0, atol=scale)
    assert (a.masks != b.masks).mean() <= (0 if exact else 1e-3)


def test_one_prompt(predictor: ImagePredictor) -> None:
    masks = predictor.predict(photo(), CLICK)
    assert isinstance(masks, Masks)
    assert masks.masks.shape == (1, 50, 80)
    assert masks.masks.dtype == np.bool_
    assert masks.logits is not None
    assert masks.logits.shape == (1, 32, 32)
    assert masks.prompt_index.tolist() == [0]


def test_results_belong_to_prompts_in_order(predictor: ImagePredictor) -> None:
    masks = predictor.predict(photo(), ALL)
    assert len(masks) == len(ALL)
    assert masks.prompt_index.tolist() == list(range(len(ALL)))
    assert masks.object_ids.tolist() == list(range(len(ALL)))


def test_each_prompt_is_as_if_it_were_alone(predictor: ImagePredictor) -> None:
    embedding = predictor.embed(photo())
    together = predictor.predict(embedding, ALL)
    reversed_ = predictor.predict(embedding, ALL[::-1])
    for i, prompt in enumerate(ALL):
        alone = predictor.predict(embedding, prompt)
        assert_same(together[i], alone)
        assert_same(reversed_[len(ALL) - 1 - i], alone)


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
    decode = network.decode_masks

    def counted(features: ImageFeatures, given: PromptTensors) -> MaskPrediction:
        sizes.append(len(given))
        forms.append(type(network.attend(features, given).views))
        return decode(features, given)

    monkeypatch.setattr(batching, "_CACHE_BYTES", 2 * 64 * 64 * 4)  # two maps
    monkeypatch.setattr(predictor.network, "decode_masks", counted)
    together = predictor.predict(embedding, prompts)
    assert sizes == [12, 2, 2, 2, 15, 1]
    assert [form is LowRankViews for form in forms] == [True, False, False, False, True, False]
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


def test_no_prompts_no_masks(predictor: ImagePredictor) -> None:
    masks = predictor.predict(photo(), [])
    assert len(masks) == 0
    assert masks.image_size == (50, 80)


def test_candidates(predictor: ImagePredictor) -> None:
    embedding = predictor.embed(photo())
    three = predictor.predict(embedding, [CLICK, BOX], candidates=3)
    assert three.prompt_index.tolist() == [0, 0, 0, 1, 1, 1]
    assert_same(three[3:], predictor.predict(embedding, BOX, candidates=3))
    best = three.best()
    assert best.prompt_index.tolist() == [0, 1]
    assert best.scores.tolist() == [three.scores[:3].max(), three.scores[3:].max()]


@pytest.mark.parametrize("candidates", [0, 2, 4, -1, None, True, 3.0, np.array([1, 3])])
def test_other_numbers_of_candidates(sam2: ImagePredictor, candidates: int) -> None:
    with pytest.raises(InputError, match=r"candidates: expected 1 or 3"):
        sam2.predict(photo(), CLICK, candidates=candidates)


def test_embedding_once_is_embedding_each_time(predictor: ImagePredictor) -> None:
    embedding = predictor.embed(photo())
    a = predictor.predict(embedding, ALL)
    predictor.predict(embedding, [BOX])
    assert_same(predictor.predict(embedding, ALL), a, exact=True)
    assert_same(predictor.predict(photo(), ALL), a, exact=True)


def test_coordinates_are_pixels_of_the_image(
    sam2: ImagePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tokens that reach the network lie where the prompt lies in the input."""
    seen: list[PromptTensors] = []
    decode = sam2.network.decode_masks

    def spy(features: ImageFeatures, prompts: PromptTensors) -> MaskPrediction:
        seen.append(prompts)
        return decode(features, prompts)

    monkeypatch.setattr(sam2.network, "decode_masks", spy)
    sam2.predict(photo(50, 80), BOX + CLICKS)
    x, y = 128 / 80, 128 / 50
    assert seen[0].labels.tolist() == [[1, 0, 2, 3, -1]]
    expected = [[30 * x, 20 * y], [50.5 * x, 8 * y], [10 * x, 5 * y], [60 * x, 40 * y], [0, 0]]
    np.testing.assert_allclose(seen[0].points[0], expected, rtol=1e-6)


def test_padding_points_are_the_references() -> None:
    """SAM pads prompts without a box; SAM 2 pads all that have a point or a box."""
    for config, box_labels in ((tiny_sam(), [2, 3]), (tiny_sam2(), [2, 3, -1])):
        pad = config.prompt_encoder.pad_boxes
        transform = ImageTransform.for_network(config, (50, 80))
        for prompt, labels in (
            (BOX, box_labels),
            (CLICKS, [1, 0, -1]),
            (BOX + CLICK, [1, *box_labels]),
            (MASK, []),
        ):
            made = prompt_tensors([prompt], None, transform, pad, torch.device("cpu"))
            assert made.labels.tolist() == [labels]
            assert token_count(prompt, pad) == len(labels)


def test_points_outside_the_image_are_allowed(predictor: ImagePredictor) -> None:
    masks = predictor.predict(photo(), [Prompt.point(-20, 500), Prompt.box(-9, -9, 200, 30)])
    assert len(masks) == 2


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


def test_batches_of_different_sizes(predictor: ImagePredictor) -> None:
    images = [photo(50, 80, 1), photo(33, 20, 2), photo(64, 64, 3)]
    prompts = [[CLICK, BOX], Prompt.point(3, 4), []]
    results = predictor.predict_batch(images, prompts)
    assert [len(masks) for masks in results] == [2, 1, 0]
    for image, prompt, masks in zip(images, prompts, results, strict=True):
        assert masks.image_size == image.shape[:2]
        if prompt:
            assert_same(masks, predictor.predict(image, prompt))


def test_batches_may_hold_embeddings(sam2: ImagePredictor) -> None:
    images = [photo(seed=i) for i in range(3)]
    mixed = [images[0], sam2.embed(images[1]), images[2]]
    embeddings = sam2._embed_mixed(mixed)
    for image, embedding in zip(images, embeddings, strict=True):
        assert_same(sam2.predict(embedding, BOX), sam2.predict(image, BOX))


def test_batch_needs_prompts_for_each_image(sam2: ImagePredictor) -> None:
    with pytest.raises(InputError, match="got 2 images and 1 lists"):
        sam2.predict_batch([photo(), photo()], [[CLICK]])
    assert sam2.predict_batch([], []) == []
    results = sam2.predict_batch((photo() for _ in range(2)), (CLICK for _ in range(2)))
    assert [len(masks) for masks in results] == [1, 1]
    for images, prompts in (
        ([photo()], CLICK),
        (photo(), [CLICK]),
        (sam2.embed(photo()), [CLICK]),
        ("photo.jpg", [CLICK]),
        (None, [CLICK]),
        ([photo()], {1: CLICK}),
    ):
        with pytest.raises(InputError, match="expected a list, with one entry for each image"):
            sam2.predict_batch(images, prompts)  # type: ignore[arg-type]


def test_rectangular_input() -> None:
    predictor = ImagePredictor(make(replace(tiny_sam(), image_size=(96, 160))), device="cpu")
    masks = predictor.predict(photo(), ALL)
    assert masks.logits is not None
    assert masks.logits.shape == (len(ALL), 24, 40)


def test_other_numbers_of_channels() -> None:
    five = {"mean": (0.5,) * 5, "std": (0.2,) * 5}
    predictor = ImagePredictor(make(replace(tiny_sam2(in_channels=5), **five)), device="cpu")
    image = np.random.default_rng(0).uniform(0, 255, (50, 80, 5)).astype(np.float32)
    assert predictor.predict(image, CLICK).image_size == (50, 80)
    for bad in (photo(), image[..., 0], image * np.nan, image[:0], image * 1j, [[1], [2, 3]]):
        with pytest.raises(ImageError, match=r"expected|takes arrays"):
            predictor.embed(bad)


def test_embeddings_can_be_saved(predictor: ImagePredictor, tmp_path: Path) -> None:
    embedding = predictor.embed(photo())
    embedding.save(tmp_path / "photo.safetensors")
    loaded = ImageEmbedding.load(tmp_path / "photo.safetensors")
    assert loaded.image_size == (50, 80)
    assert_same(predictor.predict(loaded, ALL), predictor.predict(embedding, ALL), exact=True)
    assert_same(predictor.predict(embedding.to("cpu"), ALL), predictor.predict(embedding, ALL))
    assert [path.name for path in tmp_path.iterdir()] == ["photo.safetensors"]


def test_what_is_no_embedding(sam2: ImagePredictor, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    good, cut = tmp_path / "good.safetensors", tmp_path / "cut.safetensors"
    sam2.embed(photo()).save(good)
    cut.write_bytes(good.read_bytes()[:500])
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, other)
    bad = [cut, other, tmp_path / "missing.safetensors", tmp_path]
    embedding = sam2.embed(photo())
    fine, finer = embedding.features.high_resolution
    tensors = {"embedding": embedding.features.embedding}
    tensors |= {"high_resolution.0": fine, "high_resolution.1": finer}
    about = {
        "version": 2,
        "network": embedding.network_id,
        "image_size": [50, 80],
        "input_size": [128, 128],
        "keep_aspect": False,
        "stride": 16,
        "prompt_scale": 1,
    }
    changes: list[tuple[dict[str, object], dict[str, object]]] = [
        ({"version": 1}, {}),
        ({"version": "two"}, {}),
        ({"version": None}, {}),
        ({"image_size": [0, 4]}, {}),
        ({"image_size": [-3, 4]}, {}),
        ({"image_size": [4]}, {}),
        ({"image_size": "ab"}, {}),
        ({"image_size": [10**9, 10**9]}, {}),
        ({"keep_aspect": "no"}, {}),
        ({"network": None}, {}),
        ({"stride": 0}, {}),
        ({"stride": 1e308}, {}),
        ({"stride": True}, {}),
        ({"prompt_scale": 0}, {}),
        ({"prompt_scale": 1.5}, {}),
        ({}, {"embedding": embedding.features.embedding.to(torch.int8)}),
        ({}, {"embedding": embedding.features.embedding * torch.inf}),
        ({}, {"high_resolution.1": finer * torch.nan}),
        ({}, {"embedding": torch.zeros(16)}),
        ({}, {"extra": torch.zeros(1, 1, 1, 1)}),
        ({}, {"high_resolution.9": finer.clone()}),
    ]
    for i, (said, held) in enumerate(changes):
        path = tmp_path / f"bad{i}.safetensors"
        header = {"samkit.embedding": json.dumps({**about, **said})}
        save_file({n: t.contiguous() for n, t in {**tensors, **held}.items()}, path, header)
        bad.append(path)
    for path in bad:
        with pytest.raises(InputError, match="cannot read an embedding"):
            ImageEmbedding.load(path)
    others: list[tuple[dict[str, object], dict[str, torch.Tensor]]] = [
        ({"keep_aspect": True}, {}),
        ({"input_size": [64, 128]}, {}),
        ({"stride": 8, "input_size": [64, 64]}, {}),
        ({"prompt_scale": 2}, {}),
        ({}, {"embedding": torch.zeros(1, 16, 3, 3)}),
        ({}, {"embedding": embedding.features.embedding[:, :-1]}),
        ({}, {"high_resolution.1": finer[:, :, :1]}),
        ({}, {"high_resolution.0": fine[:, :1]}),
        ({}, {"high_resolution.2": finer.clone()}),
        ({}, {"further.0": torch.zeros(2, 1, 1, 1)}),
    ]
    for said, held in others:
        header = {"samkit.embedding": json.dumps({**about, **said})}
        save_file({n: t.contiguous() for n, t in {**tensors, **held}.items()}, cut, header)
        with pytest.raises(InputError, match=r"embedding is damaged|features: expected"):
            sam2.predict(ImageEmbedding.load(cut), BOX)
    with pytest.raises(InputError):
        sam2.embed(photo()).save(good / "below-a-file")


def test_embedding_of_another_network_is_refused(sam2: ImagePredictor) -> None:
    other = make(tiny_sam2())
    with torch.no_grad():
        next(iter(other.image_encoder.parameters())).mul_(1.5)
    with pytest.raises(InputError, match="another network"):
        sam2.predict(ImagePredictor(other, device="cpu").embed(photo()), CLICK)


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_half_precision_keeps_coordinates(dtype: object) -> None:
    config = tiny_sam2()
    full = ImagePredictor(make(config), device="cpu").predict(photo(), ALL)
    half = ImagePredictor(make(config), device="cpu", dtype=dtype).predict(photo(), ALL)  # type: ignore[arg-type]
    assert half.scores.dtype == np.float32
    assert half.logits is not None
    assert half.logits.dtype == np.float32
    assert full.logits is not None
    assert (half.masks == full.masks).mean() > 0.9


@pytest.mark.parametrize("device", ["cuda:99", "tpu9", "", "meta!", "meta", "hpu", None, []])
def test_devices_that_are_not_there(device: str) -> None:
    with pytest.raises(InputError, match="is not available here"):
        ImagePredictor(make(tiny_sam2()), device=device)
    with pytest.raises(InputError, match="is not available here"):
        ImagePredictor(make(tiny_sam2()), device="cpu").embed(photo()).to(device)


@pytest.mark.parametrize("network", [None, "pico", torch.nn.Linear(2, 2)])
def test_what_is_no_network(network: object) -> None:
    with pytest.raises(InputError, match=r"expected a network \(samkit.nn.Network\)"):
        ImagePredictor(network)  # type: ignore[arg-type]


def test_a_network_is_not_changed_by_a_second_predictor() -> None:
    network = make(tiny_sam2())
    first = ImagePredictor(network, device="cpu", dtype="float32")
    ImagePredictor(network, device="cpu", dtype="bfloat16")
    assert len(first.predict(photo(), CLICK)) == 1
    assert first.network is network
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_embeddings_cross_precisions() -> None:
    network = make(tiny_sam2())
    full = ImagePredictor(network, device="cpu", dtype="float32")
    half = ImagePredictor(network, device="cpu", dtype="bfloat16")
    assert len(full.predict(half.embed(photo()), ALL)) == len(ALL)
    assert len(half.predict(full.embed(photo()).to("cpu"), ALL)) == len(ALL)


def test_a_network_whose_answer_is_not_a_number() -> None:
    network = make(tiny_sam2())
    with torch.no_grad():
        network.mask_decoder.iou_token.weight.fill_(torch.nan)
    with pytest.raises(SamkitError, match="not a number"):
        ImagePredictor(network, device="cpu").predict(photo(), CLICK)


@pytest.mark.parametrize("dtype", ["int8", "double", torch.float64, ""])
def test_unknown_dtypes(dtype: object) -> None:
    with pytest.raises(InputError, match="dtype: expected auto, float32"):
        ImagePredictor(make(tiny_sam2()), device="cpu", dtype=dtype)  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", ["amx_bf16", "avx512_bf16"])
def test_auto_dtype_follows_the_hardware(monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    for fast, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda fast=fast: {unit: fast})
        assert ImagePredictor(make(tiny_sam2()), device="cpu").dtype == expected


def test_bad_prompts_are_found_before_the_image_is_looked_at(sam2: ImagePredictor) -> None:
    for bad in ((3, 4), [[3, 4]], "dog", None, np.zeros((2, 2)), [CLICK, (1, 2)]):
        with pytest.raises(PromptError):
            sam2.predict("no-such-file.jpg", bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "image", [np.zeros((0, 5, 3), np.uint8), np.zeros(3), "missing.jpg", b"no image", None]
)
def test_bad_images(sam2: ImagePredictor, image: object) -> None:
    with pytest.raises(ImageError):
        sam2.embed(image)
    with pytest.raises(SamkitError):
        sam2.predict(image, CLICK)


def test_inputs_are_never_changed(predictor: ImagePredictor) -> None:
    image = photo()
    before = image.copy()
    mask = np.random.default_rng(0).normal(size=(50, 80)).astype(np.float32)
    mask_before = mask.copy()
    predictor.predict(image, Prompt.mask(mask) + CLICK)
    assert np.array_equal(image, before)
    assert np.array_equal(mask, mask_before)


def test_results_are_the_same_each_time(predictor: ImagePredictor) -> None:
    assert_same(predictor.predict(photo(), ALL), predictor.predict(photo(), ALL), exact=True)


def test_repr_says_what_it_is(sam2: ImagePredictor) -> None:
    assert repr(sam2.embed(photo())) == (
        "<ImageEmbedding of an image 50 x 80 (height x width): 16 x 8 x 8, float32 on cpu, "
        "0.0164 MB>"
    )
    assert repr(sam2) == "ImagePredictor(Sam2 with Hiera, input 128x128, float32 on cpu)"


def test_metadata_of_a_saved_embedding_is_readable(sam2: ImagePredictor, tmp_path: Path) -> None:
    from safetensors import safe_open

    sam2.embed(photo()).save(tmp_path / "e.safetensors")
    with safe_open(tmp_path / "e.safetensors", "pt") as file:
        about = json.loads(file.metadata()["samkit.embedding"])
    assert about["image_size"] == [50, 80]


def test_a_loaded_network_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take twice the memory; a network that the caller has is left as it is."""
    network = make(tiny_sam2())
    monkeypatch.setattr(predictor_module.weights, "load_network", lambda model: network)
    loaded = predictor_module.load("any", device="cpu", dtype="bfloat16")
    assert loaded.network is network
    assert {tensor.dtype for tensor in network.image_encoder.parameters()} == {torch.bfloat16}
    own = make(tiny_sam2())
    given = ImagePredictor(own, device="cpu", dtype="bfloat16")
    assert given.network is not own
    assert {tensor.dtype for tensor in own.parameters()} == {torch.float32}


def test_devices_and_dtypes_of_other_types() -> None:
    network = make(tiny_sam())
    for device in (2**63, -(10**5000), object()):
        with pytest.raises(InputError, match="is not available here"):
            ImagePredictor(network, device=device)  # type: ignore[arg-type]
    for dtype in (np.ones(2), 10**5000, [], {}):
        with pytest.raises(InputError, match="dtype: expected auto, float32"):
            ImagePredictor(network, device="cpu", dtype=dtype)  # type: ignore[arg-type]


def test_embeddings_made_of_other_types() -> None:
    predictor = ImagePredictor(make(tiny_sam()), device="cpu", dtype="float32")
    embedding = predictor.embed(photo())
    with pytest.raises(InputError, match="expected an ImageTransform, got list"):
        predictor.predict(replace(embedding, transform=[]), CLICK)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="made by another network"):
        predictor.predict(replace(embedding, network_id=np.ones(2)), CLICK)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected an ImageEmbedding, got dict"):
        predictor.check_embedding({})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="image_size: expected"):
        predictor.transform("50x80")  # type: ignore[arg-type]
