"""Embeddings of features that were computed elsewhere."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import CONFIGS, make

from samkit import ImageEmbedding, ImagePredictor, Prompt
from samkit.errors import InputError


@pytest.fixture(params=CONFIGS)
def predictor(request):
    return ImagePredictor(make(CONFIGS[request.param]), device="cpu", dtype="float32")


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (50, 83, 3), np.uint8)


def test_the_same_as_by_embedding(predictor, image):
    embedding = predictor.embed(image)
    given = predictor.embedding(embedding.features, (50, 83))
    assert given.transform == embedding.transform
    for prompt in (Prompt.point(20, 20), Prompt.mask(np.eye(5))):
        expected, found = predictor.predict(embedding, prompt), predictor.predict(given, prompt)
        assert np.array_equal(found.logits, expected.logits)


def test_a_copy_of_another_size(predictor, image):
    features = predictor.embed(image).features
    small = predictor.predict(predictor.embedding(features, (50, 83)), Prompt.point(20, 20))
    large = predictor.predict(predictor.embedding(features, (100, 166)), Prompt.point(40, 40))
    assert large.image_size == (100, 166)
    assert np.allclose(large.logits, small.logits, atol=1e-2)


def test_another_precision(predictor, image):
    features = predictor.embed(image).features
    half = replace(
        features,
        embedding=features.embedding.half(),
        high_resolution=tuple(level.half() for level in features.high_resolution),
    )
    assert predictor.embedding(half, (50, 83)).features.embedding.dtype == torch.float32


def test_how_an_image_lies_in_the_input(predictor):
    own = predictor.transform((50, 83))
    assert own.input_size == predictor.network.config.image_size
    assert predictor.transform((50, 83), (64, 96)) == replace(own, input_size=(64, 96))


def test_other_features(predictor, image):
    features = predictor.embed(image).features
    twice = replace(
        features,
        embedding=features.embedding.repeat(2, 1, 1, 1),
        high_resolution=tuple(level.repeat(2, 1, 1, 1) for level in features.high_resolution),
    )
    narrow = replace(features, embedding=features.embedding[:, :4])
    levels = features.high_resolution
    other = replace(features, high_resolution=levels[:1] if levels else (features.embedding,))
    for wrong in (twice, narrow, other):
        with pytest.raises(InputError, match="one image of this network"):
            predictor.embedding(wrong, (50, 83))


@pytest.mark.parametrize(
    "change",
    [
        lambda f: None,
        lambda f: f.embedding,
        lambda f: replace(f, stride=8),
        lambda f: replace(f, embedding=torch.zeros(16)),
        lambda f: replace(f, embedding=torch.tensor(0.0)),
        lambda f: replace(f, embedding=f.embedding.long()),
        lambda f: replace(f, embedding=f.embedding * torch.nan),
        lambda f: replace(f, further=(torch.tensor(0.0),)),
        lambda f: replace(f, further=(f.embedding.to(torch.complex64),)),
        lambda f: f.map(lambda tensor: tensor[..., :0]),
    ],
)
def test_features_that_are_none(predictor, image, change):
    features = change(predictor.embed(image).features)
    with pytest.raises(InputError, match="features: expected"):
        predictor.embedding(features, (50, 83))


@pytest.mark.parametrize("size", [None, (0, 5), (5,), (5.0, 5.0), "55", (5, -1)])
def test_sizes_of_no_image(predictor, image, size):
    with pytest.raises(InputError, match="image_size: expected"):
        predictor.embedding(predictor.embed(image).features, size)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.bfloat16, torch.int32])
def test_embeddings_of_another_type(predictor, image, dtype):
    embedding = predictor.embed(image)
    features = embedding.features.map(lambda tensor: tensor.to(dtype))
    with pytest.raises(InputError, match="expected float"):
        predictor.predict(replace(embedding, features=features), Prompt.point(5, 5))


def test_files_that_shrink_after_they_were_read(predictor, image, tmp_path):
    """A mapped file would end the process."""
    path = tmp_path / "embedding.safetensors"
    predictor.embed(image).save(path)
    loaded = ImageEmbedding.load(path)
    os.truncate(path, 0)
    assert len(predictor.predict(loaded, Prompt.point(5, 5))) == 1


@pytest.mark.parametrize("path", [None, b"x", 3, ["x"], "", "a\0b", "\ud800"])
def test_paths_that_are_none(predictor, image, path):
    embedding = predictor.embed(image)
    for use in (ImageEmbedding.load, embedding.save):
        with pytest.raises(InputError, match="expected the path of"):
            use(path)


def test_further_maps_are_kept(predictor, image, tmp_path):
    """Maps that only some decoders read go wherever the embedding goes."""
    embedding = predictor.embed(image)
    maps = (torch.rand(1, 3, 5, 4), torch.rand(1, 2, 7, 7))
    embedding = replace(embedding, features=replace(embedding.features, further=maps))
    embedding.to("cpu").save(tmp_path / "embedding.safetensors")
    loaded = ImageEmbedding.load(tmp_path / "embedding.safetensors")
    assert len(loaded.features.high_resolution) == len(embedding.features.high_resolution)
    for saved, read in zip(embedding.features.tensors, loaded.features.tensors, strict=True):
        assert torch.equal(saved, read)
    given = predictor.embedding(loaded.features, (50, 83))
    assert all(torch.equal(a, b) for a, b in zip(given.features.further, maps, strict=True))
    chosen = loaded.features.select(torch.tensor([0, 0])).further
    assert [tuple(one.shape) for one in chosen] == [(2, 3, 5, 4), (2, 2, 7, 7)]
