"""Everything mode against the published algorithm done slowly, and at its edges."""

import json

import numpy as np
import pytest
import torch
from mask_generator import reference
from tiny import CONFIGS, make, tiny_sam, tiny_sam2

import samkit
from samkit import AutomaticMaskGenerator, ImagePredictor, Masks
from samkit.errors import ImageError, InputError, SamkitError
from samkit.nn import MaskPrediction
from samkit.nn.image_views import DenseViews
from samkit.nn.mask_decoder import Attended

HALF = {"pred_iou_thresh": 0.6, "stability_score_thresh": 0.6}
"""Thresholds that cut in the middle."""


def predictor_of(name):
    """A tiny network whose answers are blobs around the points that it is asked about.

    Random weights give much the same mask for every point. Here size, outline, holes, stability
    and score of each mask depend on the point, and on whether a mask was given with it.
    """
    network = make(CONFIGS[name])

    def attend(features, prompts):
        tokens = torch.zeros(len(prompts.points), 4, 16)
        tokens[:, 0, :2] = prompts.points[:, 0]
        tokens[:, 0, 2] = float(prompts.masks is not None)
        iou = 0.3 + 0.7 * _shuffled(prompts.points[:, :1, 0], prompts.points[:, :1, 1], 1.0)
        if prompts.masks is not None:
            iou = 0.9 * iou + 0.1 * (prompts.masks > 0).float().mean((2, 3))
        image = features.embedding.expand(len(tokens), -1, -1, -1)
        return Attended(
            tokens=tokens,
            iou=iou,
            object_score=None,
            views=DenseViews(image, torch.zeros_like(image[:1])),
            grid=tuple(features.embedding.shape[-2:]),
            high_resolution=(),
        )

    def masks(attended):
        height, width = (4 * side for side in attended.grid)
        x, y, again = attended.tokens[:, 0, :3].unbind(1)
        row = torch.arange(height)[:, None] + 0.5
        column = torch.arange(width)[None] + 0.5
        distance = torch.hypot(
            row - y.view(-1, 1, 1, 1) / 4, column - x.view(-1, 1, 1, 1) / 4
        )  # (N, 1, h, w)
        size, soft, rough = (
            _shuffled(x[:, None], y[:, None], k)[..., None, None] for k in (2, 3, 4)
        )
        ripple = torch.sin(row * (0.6 + size)) * torch.sin(column * (0.5 + soft))
        radius = 2 + 12 * size + again.view(-1, 1, 1, 1)
        logits = (radius - distance) / (0.2 + 2 * soft**2) + 4 * rough**3 * ripple
        return MaskPrediction(
            logits=logits, iou=attended.iou, tokens=attended.tokens, object_score=None
        )

    decoder = network.mask_decoder
    network.attend, decoder.masks = attend, masks
    decoder.single_masks = lambda attended: decoder.single(masks(attended))
    return ImagePredictor(network, device="cpu", dtype="float32")


def _shuffled(x, y, k):
    """(N, 4) numbers in 0..1 that jump with x and y (N, 1)."""
    wave = torch.sin(x * 12.9898 + y * 78.233 + torch.arange(4) * 3.7 * k) * 43.7585
    return wave - wave.floor()


@pytest.fixture(scope="module", params=["sam", "sam2"])
def predictor(request):
    return predictor_of(request.param)


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return np.kron(coarse, np.ones((12, 13, 1), np.uint8))  # 72 x 104


def assert_same(found, expected):
    """The same masks in any order, with all that is told of them."""
    ours = {rle["counts"]: i for i, rle in enumerate(found.to_rle())}
    masks = np.array([record["mask"] for record in expected], bool)
    if not len(masks):
        assert len(found) == 0
        return
    theirs = [rle["counts"] for rle in Masks(masks, np.ones(len(masks))).to_rle()]
    assert len(found) == len(expected)
    assert set(ours) == set(theirs)
    for counts, record in zip(theirs, expected, strict=True):
        if theirs.count(counts) > 1:
            continue
        i = ours[counts]
        assert found.scores[i] == pytest.approx(record["score"], abs=1e-5)
        assert found.stability[i] == pytest.approx(np.nan_to_num(record["stability"]), abs=1e-5)
        assert found.points[i] == pytest.approx(record["point"], abs=1e-4)
        assert found.crop_boxes[i].tolist() == list(record["crop"])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"multimask_output": False},
        {"use_m2m": True},
        {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2},
        {"crop_n_layers": 1, "min_mask_region_area": 40, "crop_nms_thresh": 0.5},
        {"mask_threshold": 0.4, "stability_score_offset": 0.6, "box_nms_thresh": 0.4},
        {"min_mask_region_area": 60},
        {"points_per_batch": 3},
    ],
    ids=lambda options: "-".join(options) or "default",
)
def test_the_published_algorithm(predictor, image, options):
    options = {"points_per_side": 6, **HALF, **options}
    generator = AutomaticMaskGenerator(predictor, **options)
    expected = reference.generate(predictor, image, generator.config)
    found = generator(image)
    assert_same(found, expected)
    assert found.is_compressed
    streamed = list(generator.stream(image))
    assert [one.to_rle() for one in streamed] == [[rle] for rle in found.to_rle()]
    assert [int(one.object_ids[0]) for one in streamed] == found.object_ids.tolist()


def test_something_is_left_and_something_is_not(predictor, image):
    """The comparison above is worth something only if thresholds cut in the middle."""
    some = AutomaticMaskGenerator(predictor, points_per_side=5, **HALF)(image)
    every = AutomaticMaskGenerator(predictor, preset="recall", points_per_side=5)(image)
    assert 0 < len(some) < len(every)


def test_large_images_and_odd_shapes(predictor):
    for height, width in ((1, 1), (3, 2), (20, 600), (500, 40)):
        pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
        options = {"points_per_side": 3, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
        generator = AutomaticMaskGenerator(predictor, **options)
        found = generator(pixels)
        expected = reference.generate(predictor, pixels, generator.config)
        assert len(found) == len(expected)
        # At large scales a pixel or two lies where rounding decides.
        assert np.sort(found.scores) == pytest.approx(sorted(r["score"] for r in expected))
        areas = sorted(record["mask"].sum() for record in expected)
        assert np.sort(found.areas) == pytest.approx(areas, abs=2)
        for layers in (1, 2):
            many = AutomaticMaskGenerator(predictor, crop_n_layers=layers, **options)(pixels)
            assert many.image_size == (height, width)


def test_nothing_found_is_empty(predictor, image):
    found = AutomaticMaskGenerator(predictor, points_per_side=2, pred_iou_thresh=1.0)(image)
    assert isinstance(found, Masks)
    assert found.image_size == (72, 104)
    assert found.is_compressed
    assert found.masks.shape == (0, 72, 104)
    assert len(found[found.stability > 0.5]) == 0
    assert found.points.shape == (0, 2)
    assert found.crop_boxes.shape == (0, 4)


def test_each_crop_is_embedded_once(image, monkeypatch):
    predictor = predictor_of("sam2")
    sizes = []
    embed = ImagePredictor.embed

    def counted(self, pixels):
        sizes.append(pixels.shape[:2])
        return embed(self, pixels)

    monkeypatch.setattr(ImagePredictor, "embed", counted)
    AutomaticMaskGenerator(predictor, points_per_side=4, crop_n_layers=1)(image)
    assert len(sizes) == 5
    assert sizes[-1] == (72, 104)


def test_masks_are_made_for_good_scores_only(image, monkeypatch):
    """The costly half of the decoder sees only points with a mask of which the network is sure."""
    predictor = predictor_of("sam")
    decoder = predictor.network.mask_decoder
    asked = []
    masks = decoder.masks
    monkeypatch.setattr(decoder, "masks", lambda a: (asked.append(len(a.iou)), masks(a))[1])
    for threshold in (0.0, 0.95):
        AutomaticMaskGenerator(predictor, points_per_side=6, pred_iou_thresh=threshold)(image)
    assert asked[0] == 36
    assert 0 < sum(asked[1:]) < 15


@pytest.mark.parametrize("name", list(CONFIGS))
def test_real_networks_agree_too(image, name):
    predictor = ImagePredictor(make(CONFIGS[name]), device="cpu", dtype="float32")
    generator = AutomaticMaskGenerator(
        predictor, points_per_side=3, pred_iou_thresh=0.0, stability_score_thresh=0.1
    )
    found = generator(image)
    expected = reference.generate(predictor, image, generator.config)
    assert len(found) == len(expected)
    assert np.sort(found.areas) == pytest.approx(
        np.sort([record["mask"].sum() for record in expected]), abs=3
    )


def test_disjoint_masks_share_no_pixel(predictor, image):
    options = {"points_per_side": 5, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    overlapping = AutomaticMaskGenerator(predictor, **options)(image)
    assert overlapping.masks.sum(0).max() > 1
    found = AutomaticMaskGenerator(predictor, preset="disjoint", **options)(image)
    assert len(found) > 0
    assert found.masks.sum(0).max() == 1
    assert (found.areas >= 100).all()
    assert (np.diff(found.scores) <= 0).all()
    everything = overlapping.masks.any(0)
    assert (everything | ~found.masks.any(0)).mean() > 0.99


def test_own_points(predictor, image):
    grid = np.array([[0.2, 0.3], [0.7, 0.9]])
    options = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
    found = AutomaticMaskGenerator(predictor, point_grids=[grid], **options)(image)
    assert {tuple(point) for point in found.points.tolist()} <= {
        tuple(point) for point in (grid * [104, 72]).astype(np.float32).tolist()
    }
    none = AutomaticMaskGenerator(predictor, point_grids=[np.zeros((0, 2))])(image)
    assert len(none) == 0


def test_what_is_told_of_masks_survives_files(predictor, image, tmp_path):
    found = AutomaticMaskGenerator(predictor, preset="recall", points_per_side=3)(image)
    for name in ("x.npz", "x.json"):
        found.save(tmp_path / name)
        again = Masks.load(tmp_path / name)
        for field in ("stability", "points", "crop_boxes", "scores", "prompt_index"):
            assert getattr(again, field) == pytest.approx(getattr(found, field)), field
    annotation = json.loads((tmp_path / "x.json").read_text())["annotations"][0]
    assert {"stability_score", "point", "crop_box_xyxy", "area", "score"} <= set(annotation)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "all"}, "preset: expected one of default, recall, disjoint"),
        ({"points_per_sid": 3}, "unknown option points_per_sid: expected .*points_per_side"),
        ({"points_per_side": 0}, "points_per_side: expected a number from 1"),
        ({"points_per_side": 2.5}, "points_per_side: expected a whole number"),
        ({"points_per_side": None}, "either points_per_side or point_grids"),
        ({"point_grids": [np.zeros((1, 2))], "points_per_side": 3}, "either points_per_side or"),
        ({"point_grids": [np.zeros((1, 2))], "crop_n_layers": 1}, "a list of 2 arrays"),
        ({"point_grids": [[[0.5]]]}, "expected shape"),
        ({"point_grids": [[[0.5, 2.0]]]}, "values from 0 to 1"),
        ({"point_grids": [[[0.5, np.nan]]]}, "values from 0 to 1"),
        ({"point_grids": "x"}, "a list of 1 arrays"),
        ({"pred_iou_thresh": 1.5}, "pred_iou_thresh: expected a number from 0 to 1"),
        ({"pred_iou_thresh": "x"}, "pred_iou_thresh: expected a number"),
        ({"stability_score_offset": -1}, "stability_score_offset: expected"),
        ({"mask_threshold": np.nan}, "mask_threshold: expected a finite"),
        ({"crop_n_layers": 9}, "crop_n_layers: expected a number from 0 to 6"),
        ({"points_per_batch": 0}, "points_per_batch"),
        ({"min_mask_region_area": -1}, "min_mask_region_area"),
        ({"mask_threshold": 10**400}, "mask_threshold: expected a finite"),
        ({"disjoint": "no"}, "disjoint: expected True or False"),
    ],
)
def test_bad_options(options, message):
    predictor = ImagePredictor(make(tiny_sam2()), device="cpu")
    with pytest.raises(InputError, match=message):
        AutomaticMaskGenerator(predictor, **options)


def test_bad_predictors_and_images(image):
    with pytest.raises(InputError, match=r"expected an ImagePredictor .*got Sam2"):
        AutomaticMaskGenerator(make(tiny_sam2()))
    generator = AutomaticMaskGenerator(ImagePredictor(make(tiny_sam()), device="cpu"))
    with pytest.raises(ImageError):
        generator("nowhere.jpg")
    with pytest.raises(ImageError):
        next(generator.stream(np.zeros((0, 4, 3), np.uint8)))


def test_a_network_that_answers_nan_is_an_error(image):
    network = make(tiny_sam2())
    with torch.no_grad():
        network.mask_decoder.iou_prediction_head.layers[-1].bias.fill_(torch.nan)
    generator = AutomaticMaskGenerator(ImagePredictor(network, device="cpu"), points_per_side=2)
    with pytest.raises(SamkitError, match="not a number"):
        generator(image)


def test_thin_and_small_images_with_thresholds(predictor):
    """Low resolution is no shortcut where it is higher than the image's."""
    for size in ((1, 1), (199, 1), (9, 6), (25, 9), (13, 19)):
        pixels = np.random.default_rng(2).integers(0, 256, (*size, 3), np.uint8)
        generator = AutomaticMaskGenerator(predictor, points_per_side=4, **HALF)
        expected = reference.generate(predictor, pixels, generator.config)
        assert len(generator(pixels)) == len(expected), size


def test_the_image_is_not_changed(predictor, image):
    before = image.copy()
    AutomaticMaskGenerator(predictor, points_per_side=2, crop_n_layers=1)(image)
    assert np.array_equal(image, before)


def test_thresholds_suit_the_family():
    values = {
        name: AutomaticMaskGenerator(ImagePredictor(make(config), device="cpu")).config
        for name, config in CONFIGS.items()
    }
    assert values["sam"].pred_iou_thresh == 0.88
    assert values["mobile-sam"].pred_iou_thresh == 0.88
    assert values["sam2"].pred_iou_thresh == 0.8
    assert values["pico"].pred_iou_thresh < 0.8
    assert samkit.AutomaticMaskGenerator is AutomaticMaskGenerator


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": {}}, "preset: expected one of"),
        ({"preset": np.ones(2)}, "preset: expected one of"),
        ({"points_per_batch": None}, "points_per_batch: expected a whole number, got None"),
        ({"crop_n_layers": None}, "crop_n_layers: expected a whole number, got None"),
        ({"min_mask_region_area": None}, "min_mask_region_area: expected a whole number"),
        ({"crop_n_layers": 10**5000}, "crop_n_layers: expected a number from 0 to 6"),
        ({"pred_iou_thresh": 10**5000}, "pred_iou_thresh: expected a number from 0 to 1"),
        ({"use_m2m": 10**5000}, "use_m2m: expected True or False"),
        ({"point_grids": [[[10**400, 0.5]]]}, r"point_grids\[0\]: expected numbers"),
        ({"point_grids": [[[0.5j, 0.5]]]}, r"point_grids\[0\]: expected numbers"),
        ({"point_grids": [torch.ones(1, 2, requires_grad=True)]}, r"point_grids\[0\]"),
    ],
)
def test_options_of_other_types(options, message):
    with pytest.raises(InputError, match=message):
        AutomaticMaskGenerator(predictor_of("sam"), **options)


def test_an_embedding_of_another_type():
    generator = AutomaticMaskGenerator(predictor_of("sam"))
    for wrong in (True, "path", np.ones((3, 4))):
        with pytest.raises(InputError, match="expected an ImageEmbedding, got"):
            generator(np.zeros((20, 30, 3), np.uint8), embedding=wrong)


def test_repr_says_what_it_is():
    predictor = ImagePredictor(make(tiny_sam2()), device="cpu", dtype="float32")
    assert repr(AutomaticMaskGenerator(predictor, points_per_side=8)) == (
        f"<AutomaticMaskGenerator: 8 x 8 points, {predictor!r}>"
    )
    own = AutomaticMaskGenerator(predictor, point_grids=[np.full((3, 2), 0.5)] * 2, crop_n_layers=1)
    assert "3 points and 1 layer of crops" in repr(own)
