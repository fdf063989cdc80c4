"""The laws of `Masks`: what goes in comes out, whichever way it is held and indexed."""

import copy
import inspect
import json
import pickle
import sys
import types
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from samkit.errors import InputError, MissingDependencyError
from samkit.masks import Masks
from samkit.masks.fields import FIELD_NAMES

FIELDS = ("masks", "areas", *FIELD_NAMES)
ONE = np.ones((1, 4, 5), bool)


def assert_same(left: Masks, right: Masks) -> None:
    assert left.image_size == right.image_size
    for name in FIELDS:
        a, b = getattr(left, name), getattr(right, name)
        assert (a is None) == (b is None), name
        if a is not None:
            assert a.dtype == b.dtype, name
            np.testing.assert_array_equal(a, b, err_msg=name)


def random_masks(count: int) -> Masks:
    rng = np.random.default_rng(count)
    return Masks(
        rng.random((count, 6, 7)) < 0.3,
        rng.random(count),
        object_ids=rng.permutation(count),
        prompt_index=rng.integers(0, 3, count),
        candidates=rng.integers(0, 3, count),
        presence=rng.random(count),
        stability=rng.random(count),
        points=rng.random((count, 2)),
        crop_boxes=rng.random((count, 4)),
        names=[f"kind {i % 3}" for i in range(count)],
        logits=rng.random((count, 2, 3)),
    )


def test_types_and_defaults() -> None:
    masks = Masks(np.stack([np.eye(4, 5, dtype=bool), np.zeros((4, 5), bool)]), [0.25, 1])
    assert masks.masks.dtype == bool
    assert masks.scores.dtype == np.float32
    assert masks.boxes.dtype == np.float32
    assert masks.boxes.tolist() == [[0, 0, 4, 4], [0, 0, 0, 0]]
    assert masks.areas.tolist() == [4, 0]
    assert masks.object_ids.tolist() == masks.prompt_index.tolist() == [0, 1]
    assert masks.object_ids.dtype == masks.prompt_index.dtype == masks.areas.dtype == np.int64
    assert masks.presence is None
    assert masks.logits is None
    assert masks.image_size == (4, 5)
    assert not masks.is_compressed


def test_given_boxes_are_kept() -> None:
    masks = Masks(ONE, [1], boxes=[[0.5, 1, 2, 3]])
    assert masks.boxes.tolist() == [[0.5, 1, 2, 3]]
    assert masks.compressed()[0].boxes.tolist() == [[0.5, 1, 2, 3]]


def test_nothing_can_be_changed(some: Masks) -> None:
    for masks in (some, some.compressed(), some[:], some[[]], Masks.concatenate([some, some])):
        for name in FIELDS:
            assert not getattr(masks, name).flags.writeable, name
            with pytest.raises(AttributeError):
                setattr(masks, name, None)
        with pytest.raises(AttributeError):
            masks.extra = 1  # type: ignore[attr-defined]


def test_the_input_is_copied_unless_it_is_read_only() -> None:
    pixels, scores = ONE.copy(), np.array([0.5], np.float32)
    masks = Masks(pixels, scores)
    pixels[:], scores[:] = False, 0
    assert masks.masks.all()
    assert masks.scores == 0.5
    assert scores.flags.writeable
    pixels.flags.writeable = False
    assert Masks(pixels, scores).masks is pixels


def test_integers_of_zero_and_one_are_masks() -> None:
    assert Masks(np.eye(3, dtype=np.uint8)[None], [1]).areas.tolist() == [3]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"masks": ONE[0]}, r"\(N, H, W\), got \(4, 5\): use mask\[None\]"),
        ({"masks": ONE[None]}, r"\(N, H, W\), got \(1, 1, 4, 5\)"),
        ({"masks": ONE * 0.5}, "float64: use logits > 0"),
        ({"masks": np.ma.masked_array(ONE, ONE)}, "masks without masked values"),
        ({"scores": np.ma.masked_array([1.0], [True])}, "scores without masked values"),
        ({"masks": ONE * 255}, "to 255: use values > 0"),
        ({"masks": np.zeros((1, 0, 5), bool)}, "at least 1"),
        ({"masks": [[[True], [True, False]]]}, "masks as an array"),
        ({"scores": [1, 2]}, r"scores of shape \(1,\), got \(2,\)"),
        ({"scores": 1}, r"scores of shape \(1,\), got \(\)"),
        ({"scores": [np.nan]}, "scores to be finite"),
        ({"scores": [np.inf]}, "scores to be finite"),
        ({"scores": ["a"]}, "scores as an array of numbers"),
        ({"scores": [1j]}, "real numbers"),
        ({"object_ids": [1, 2]}, r"object_ids of shape \(1,\), got \(2,\)"),
        ({"object_ids": [1.5]}, "object_ids of integers, got float64"),
        ({"prompt_index": [True]}, "prompt_index of integers, got bool"),
        ({"candidates": [0.5]}, "candidates of integers, got float64"),
        ({"prompt_index": [[1], [1, 2]]}, "prompt_index as an array"),
        ({"presence": [1, 2]}, r"presence of shape \(1,\)"),
        ({"logits": np.zeros((2, 3, 3))}, r"logits of shape \(1, h, w\), got \(2, 3, 3\)"),
        ({"logits": np.zeros((3, 3))}, r"logits of shape \(1, h, w\), got \(3, 3\)"),
        ({"logits": np.zeros((1, 0, 3))}, "logits of shape"),
        ({"boxes": [1, 2, 3, 4]}, r"boxes of shape \(1, 4\), got \(4,\)"),
        ({"boxes": [[1, 2, 3, np.nan]]}, "boxes to be finite"),
        ({"names": "dog"}, r"names of shape \(1,\) of texts, got \(\)"),
        ({"names": ["dog", "cat"]}, r"names of shape \(1,\) of texts, got \(2,\)"),
        ({"names": [3]}, r"names of shape \(1,\) of texts, got \(1,\) of int64"),
    ],
)
def test_fields_that_do_not_fit(arguments: dict[str, Any], reason: str) -> None:
    given_ = {"masks": ONE, "scores": [1], **arguments}
    with pytest.raises(InputError, match=reason):
        Masks(**given_)
    if "masks" not in arguments:
        pixels = given_.pop("masks")
        with pytest.raises(InputError, match=reason):
            Masks.from_rle(Masks(pixels, [1]).to_rle(), (4, 5), **given_)


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (4,), 4, None, "ab", (4.0, 5.0), (1, 2, 3)])
def test_image_sizes_that_are_none(size: Any) -> None:
    with pytest.raises(InputError, match="image size"):
        Masks.empty(size)


def test_compressed_is_the_same(some: Masks) -> None:
    packed = some.compressed()
    assert packed.is_compressed
    assert packed.compressed() is packed
    assert packed.masks is not packed.masks
    assert_same(packed, some)
    assert_same(packed[:], some)
    for left, right in zip(packed, some, strict=True):
        assert left.is_compressed
        assert_same(left, right)


def test_from_rle(some: Masks) -> None:
    fields = {name: getattr(some, name) for name in FIELDS if name not in ("masks", "areas")}
    scores = fields.pop("scores")
    again = Masks.from_rle(some.to_rle(), some.image_size, scores, **fields)
    assert again.is_compressed
    assert_same(again, some)


@pytest.mark.parametrize("rles", [None, 5, "0", {"size": [4, 5], "counts": [20]}])
def test_what_is_no_list_of_rles(rles: Any) -> None:
    with pytest.raises(InputError, match="expected a list of RLEs, got"):
        Masks.from_rle(rles, (4, 5), [0.5])


@pytest.mark.parametrize("name", ["scores", "object_ids", "boxes", "logits"])
def test_tensors_that_are_no_arrays(name: str) -> None:
    values = {"scores": [0.5], name: torch.zeros(1, requires_grad=True)}
    with pytest.raises(InputError, match=f"expected {name} as an array"):
        Masks(np.ones((1, 4, 5), bool), **values)


@pytest.mark.parametrize("limit", [2**28, 1])
def test_from_pixels(some: Masks, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """One after the other, dense or as run lengths: the same masks."""
    monkeypatch.setattr("samkit.masks.storage.DENSE_BYTES", limit)
    fields = {name: getattr(some, name) for name in FIELDS if name not in ("masks", "areas")}
    scores = fields.pop("scores")
    again = Masks.from_pixels(iter(some.masks), some.image_size, scores, **fields)
    assert again.is_compressed == (len(some) > 0 and limit == 1)
    assert_same(again, some)
    assert not again.masks.flags.writeable


def test_masks_to_be_joined_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samkit.masks.storage.DENSE_BYTES", 3 * ONE.size)
    for total, compressed in ((None, False), (3, False), (4, True)):
        masks = Masks.from_pixels(ONE, (4, 5), [1], total=total)
        assert masks.is_compressed == compressed, total


@pytest.mark.parametrize(
    ("masks", "reason"),
    [
        ([], "as many masks as scores, 1, got 0"),
        ([ONE[0], ONE[0]], "as many masks as scores, 1, got more"),
        ([ONE[0].astype(np.uint8)], r"masks \(4, 5\) of bool, got \(4, 5\) of uint8"),
        ([ONE[0].T], r"masks \(4, 5\) of bool, got \(5, 4\)"),
        ([[[True]]], "masks as arrays, got list"),
    ],
)
@pytest.mark.parametrize("total", [1, 10**9])
def test_pixels_that_do_not_fit(masks: list[np.ndarray], reason: str, total: int) -> None:
    with pytest.raises(InputError, match=reason):
        Masks.from_pixels(masks, (4, 5), [1], total=total)


def test_from_counts(some: Masks) -> None:
    counts = [rle["counts"].encode() for rle in some.to_rle()]
    fields = {name: getattr(some, name) for name in FIELDS if name not in ("masks", "areas")}
    again = Masks._from_counts(counts, some.image_size, fields.pop("scores"), **fields)
    assert again.is_compressed
    assert_same(again, some)


def test_a_field_that_does_not_exist() -> None:
    for value in (None, [1]):
        with pytest.raises(TypeError, match="unexpected keyword argument 'box'"):
            Masks(ONE, [1], box=value)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="unexpected keyword argument 'box'"):
            Masks.from_pixels(ONE, (4, 5), [1], box=value)


def test_the_constructor_names_every_field() -> None:
    names = list(inspect.signature(Masks).parameters)
    assert names[:2] == ["masks", "scores"]
    assert sorted(names[1:]) == sorted(FIELD_NAMES)
    given = {
        "scores": [0.5],
        "object_ids": [7],
        "prompt_index": [3],
        "candidates": [2],
        "presence": [0.25],
        "stability": [0.75],
        "points": [[1, 2]],
        "crop_boxes": [[1, 2, 3, 4]],
        "boxes": [[0, 1, 2, 3]],
        "names": ["dog"],
        "logits": [[[-1, 1]]],
    }
    assert sorted(given) == sorted(FIELD_NAMES)
    masks = Masks(np.ones((1, 4, 5), bool), **given)  # type: ignore[arg-type]
    for name, value in given.items():
        np.testing.assert_array_equal(getattr(masks, name), value)


def test_without_logits(some: Masks) -> None:
    for masks in (some, some.compressed()):
        light = masks.without_logits()
        assert light.logits is None
        assert masks.logits is not None
        assert light.is_compressed == masks.is_compressed
        for name in FIELDS[:-1]:
            np.testing.assert_array_equal(getattr(light, name), getattr(masks, name))


@st.composite
def indices(draw: st.DrawFn) -> tuple[int, Any]:
    count = draw(st.integers(0, 6))
    choices: list[st.SearchStrategy[Any]] = [
        st.slices(count),
        hnp.arrays(bool, count),
        st.lists(st.booleans(), min_size=count, max_size=count),
        st.just([]),
    ]
    if count:
        one = st.integers(-count, count - 1)
        choices += [one, st.lists(one), st.lists(one).map(lambda x: np.array(x, np.int32))]
        choices += [one.map(np.int64), one.map(np.array)]
    return count, draw(st.one_of(choices))


@given(indices())
def test_every_field_follows_the_index(case: tuple[int, Any]) -> None:
    count, index = case
    masks = random_masks(count)
    keys = np.asarray(index, int) if isinstance(index, list) and not index else index
    for held in (masks, masks.compressed()):
        chosen = held[index]
        assert chosen.is_compressed == held.is_compressed
        assert len(chosen) == len(np.atleast_1d(np.arange(count)[keys]))
        for name in FIELDS:
            expected = getattr(masks, name)[keys]
            got = getattr(chosen, name)
            np.testing.assert_array_equal(got, expected.reshape(got.shape))


@pytest.mark.parametrize(
    "index",
    [
        *(3, -4, [0, 3], 10**30, "a", 1.0, None, [0.5], (0, 1), (), True, [True]),
        *(slice(None, None, 0), slice("a")),
        *(np.ones(4, bool), np.zeros((1, 1), int), [[0], [1, 2]], np.zeros(0)),
    ],
)
def test_wrong_indices(index: Any) -> None:
    masks = random_masks(3)
    for held in (masks, masks.compressed()):
        with pytest.raises(IndexError):
            held[index]


def test_zero_masks_have_no_first() -> None:
    masks = Masks.empty((4, 5))
    assert len(masks) == 0
    assert list(masks) == []
    assert masks.boxes.shape == (0, 4)
    assert masks.masks.shape == (0, 4, 5)
    for index in (0, -1):
        with pytest.raises(IndexError):
            masks[index]
    assert len(masks.best()) == 0


def test_neighbours_are_not_copied() -> None:
    masks = random_masks(5)
    for index in (2, slice(1, 4), [1, 2], np.array([0, 1, 1, 0, 0], bool)):
        assert np.shares_memory(masks[index].masks, masks.masks)


@given(st.lists(st.integers(0, 4)), st.booleans())
def test_concatenate_undoes_slicing(cuts: list[int], packed: bool) -> None:
    masks = random_masks(4)
    edges = [0, *sorted(cuts), 4]
    parts = [masks[a:b] for a, b in pairwise(edges)]
    if packed:
        parts[0] = parts[0].compressed()
    joined = Masks.concatenate(parts)
    assert joined.is_compressed == packed
    assert_same(joined, masks)


def test_concatenate_keeps_what_all_have() -> None:
    plain = Masks(ONE, [1])
    with_all = Masks(ONE, [1], presence=[1], logits=np.zeros((1, 2, 2)))
    larger = Masks(ONE, [1], presence=[1], logits=np.zeros((1, 3, 3)))
    assert Masks.concatenate([plain, with_all]).presence is None
    assert Masks.concatenate([with_all, larger]).logits is None
    assert Masks.concatenate([with_all, larger]).presence is not None
    assert Masks.concatenate([Masks.empty((4, 5)), with_all]).logits is not None
    boxed = Masks(ONE, [1], boxes=[[1, 1, 2, 2]])
    assert Masks.concatenate([plain, boxed]).boxes.tolist() == [[0, 0, 5, 4], [1, 1, 2, 2]]
    empty = Masks.empty((4, 5))
    assert len(Masks.concatenate([empty, empty.compressed()])) == 0
    assert Masks.concatenate([empty, empty.compressed()]).is_compressed


def test_a_single_part_is_not_copied() -> None:
    masks, empty = random_masks(3), Masks.empty((6, 7))
    assert Masks.concatenate([masks]) is masks
    assert Masks.concatenate([empty, masks, empty]) is masks
    packed = Masks.concatenate([masks, empty.compressed()])
    assert packed.is_compressed
    assert_same(packed, masks)
    assert Masks.concatenate([empty]) is empty


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], "one image size"),
        ([Masks.empty((4, 5)), Masks.empty((5, 4))], "one image size"),
        ([ONE], "got ndarray"),
    ],
)
def test_what_cannot_be_concatenated(parts: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Masks.concatenate(parts)


def test_best() -> None:
    masks = Masks(
        np.zeros((5, 2, 2), bool), [0.5, 0.9, 0.3, 0.9, 0.4], prompt_index=[7, 2, 7, 2, 7]
    )
    for held in (masks, masks.compressed()):
        assert held.best().scores.tolist() == pytest.approx([0.5, 0.9])
        assert held.best().prompt_index.tolist() == [7, 2]
        assert held.best().object_ids.tolist() == [0, 1]


def test_repr() -> None:
    assert repr(Masks.empty((4, 5))) == "<0 masks of 4 x 5 (height x width)>"
    assert repr(Masks(ONE, [0.5]).compressed()) == (
        "<1 mask of 4 x 5 (height x width), score 0.50, compressed>"
    )


def test_pickle(some: Masks) -> None:
    for held in (some, some.compressed()):
        for again in (pickle.loads(pickle.dumps(held)), copy.deepcopy(held)):
            assert_same(again, held)
            for name in FIELDS:
                value = getattr(again, name)
                assert value is None or not value.flags.writeable, name


def test_ids_do_not_wrap() -> None:
    with pytest.raises(InputError, match="64-bit"):
        Masks(ONE, [0.5], object_ids=np.array([2**64 - 1], np.uint64))


def test_to_coco(some: Masks) -> None:
    annotations = some.to_coco(image_id=5, category_id=2, first_id=10)
    assert [one["id"] for one in annotations] == list(range(10, 10 + len(some)))
    for i, one in enumerate(annotations):
        x, y, width, height = one["bbox"]
        assert [x, y, x + width, y + height] == some.boxes[i].tolist()
        assert one["image_id"] == 5
        assert one["category_id"] == 2
        assert one["area"] == some.areas[i]
        assert one["score"] == some.scores[i]
        assert one["object_id"] == some.object_ids[i]
        assert one["prompt_index"] == some.prompt_index[i]
        assert one["presence"] == some.presence[i]
        assert one["segmentation"] == some.to_rle()[i]


@pytest.mark.parametrize("name", ["image_id", "category_id", "first_id"])
@pytest.mark.parametrize("value", [None, "1", 1.0, True])
def test_ids_of_coco_that_are_no_numbers(some: Masks, name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{name}: expected a whole number"):
        some.to_coco(**{name: value})
    assert json.dumps(some.to_coco(**{name: np.int64(3)})) == json.dumps(some.to_coco(**{name: 3}))


def test_supervision_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingDependencyError, match="pip install supervision"):
        Masks(ONE, [1]).to_supervision()


def test_to_supervision(some: Masks, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = types.ModuleType("supervision")
    stand_in.Detections = types.SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "supervision", stand_in)
    found = some.to_supervision()
    np.testing.assert_array_equal(found.xyxy, some.boxes)
    np.testing.assert_array_equal(found.mask, some.masks)
    np.testing.assert_array_equal(found.confidence, some.scores)
    np.testing.assert_array_equal(found.tracker_id, some.object_ids)
    np.testing.assert_array_equal(found.data["prompt_index"], some.prompt_index)
