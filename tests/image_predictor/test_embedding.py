"""Embeddings are values: saved, loaded, checked."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from image_predictor.helpers import ALL, BOX, CLICK, assert_same, photo
from tiny import make, tiny_sam, tiny_sam2

from samkit.errors import InputError
from samkit.image_predictor import ImageEmbedding, ImagePredictor


def test_embedding_once_is_embedding_each_time(predictor: ImagePredictor) -> None:
    embedding = predictor.embed(photo())
    a = predictor.predict(embedding, ALL)
    predictor.predict(embedding, [BOX])
    assert_same(predictor.predict(embedding, ALL), a, exact=True)
    assert_same(predictor.predict(photo(), ALL), a, exact=True)


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


def test_embeddings_cross_precisions() -> None:
    network = make(tiny_sam2())
    full = ImagePredictor(network, device="cpu", dtype="float32")
    half = ImagePredictor(network, device="cpu", dtype="bfloat16")
    assert len(full.predict(half.embed(photo()), ALL)) == len(ALL)
    assert len(half.predict(full.embed(photo()).to("cpu"), ALL)) == len(ALL)


def test_metadata_of_a_saved_embedding_is_readable(sam2: ImagePredictor, tmp_path: Path) -> None:
    from safetensors import safe_open

    sam2.embed(photo()).save(tmp_path / "e.safetensors")
    with safe_open(tmp_path / "e.safetensors", "pt") as file:
        about = json.loads(file.metadata()["samkit.embedding"])
    assert about["image_size"] == [50, 80]


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
