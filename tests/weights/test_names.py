"""Networks by name: of the registry, of the Hugging Face hub, of a file or folder."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from weights.helpers import same_weights, write_hugging_face

from samkit.errors import CheckpointError, DownloadError, UnknownModelError
from samkit.nn import Sam
from samkit.weights import find_model, load_network
from samkit.weights.registry import MODELS, RegisteredModel


@pytest.mark.parametrize("name", ["no/such/place", "sam2.1-tinny", ""])
def test_neither_name_nor_file(name):
    if name == "":
        name = "not a name"
    with pytest.raises(UnknownModelError):
        load_network(name)


@pytest.fixture
def no_network(monkeypatch):
    def refused(*arguments, **options):
        raise AssertionError("the network was asked")

    monkeypatch.delenv("SAMKIT_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("socket.getaddrinfo", refused)


@pytest.mark.parametrize(
    "path",
    [
        "missing.pt",
        "missing.ckpt",
        "runs/missing.CKPT",
        "runs/missing.pth.tar",
        "weights/missing.safetensors",
        "./missing",
        "../missing",
        "/missing/missing",
        "~/missing",
        Path("missing"),
        Path("owner/missing"),
    ],
)
def test_file_that_is_missing(path, no_network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UnknownModelError, match=r"no checkpoint at .*missing.*: no such file"):
        load_network(path)


@pytest.mark.parametrize("name", ["facebook/sam2.1-hiera-tiny", "owner/sam.v2", "owner/name"])
def test_repository_is_no_file(name, monkeypatch):
    asked = []

    def fetch_folder(repository):
        asked.append(repository)
        raise DownloadError("as asked")

    monkeypatch.setattr("samkit.weights.loading.fetch_folder", fetch_folder)
    with pytest.raises(DownloadError, match="as asked"):
        load_network(name)
    assert asked == [name]


@pytest.fixture
def registered(mobile_sam, contents, cache, monkeypatch):
    """A registered model whose file lies in the cache already."""
    cache.mkdir()
    path = cache / "tiny.pt"
    torch.save(mobile_sam.state_dict(), path)
    model = RegisteredModel(
        name="tiny",
        config=mobile_sam.config,
        url="http://127.0.0.1:9/tiny.pt",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        parameters=1,
        year=2023,
    )
    monkeypatch.setitem(MODELS, "tiny", model)
    return path


def test_registered_name(registered, mobile_sam):
    assert same_weights(load_network("tiny"), mobile_sam)


def test_registered_name_without_network(registered, cache):
    registered.unlink()
    with pytest.raises(DownloadError, match="pico"):
        load_network("tiny")


def test_pico_is_a_file_of_the_package():
    assert find_model("pico").filename == "pico.safetensors"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the hub that holds one repository; downloads are turned off."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("SAMKIT_OFFLINE", "1")
    repository = tmp_path / "hub" / "models--somebody--tiny"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    return snapshot


def test_repository_in_the_cache(sam, hub):
    write_hugging_face(sam, hub)
    loaded = load_network("somebody/tiny")
    assert isinstance(loaded, Sam)
    assert same_weights(loaded, sam)


def test_repository_in_the_cache_asks_no_network(sam, hub, no_network):
    write_hugging_face(sam, hub)
    assert same_weights(load_network("somebody/tiny"), sam)


def test_repository_in_shards(sam, hub):
    write_hugging_face(sam, hub)
    state = load_file(hub / "model.safetensors")
    (hub / "model.safetensors").unlink()
    placed = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(state)}
    for file in set(placed.values()):
        save_file({n: t for n, t in state.items() if placed[n] == file}, hub / file)
    (hub / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    assert same_weights(load_network("somebody/tiny"), sam)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"weight_map": [1]}',
        '{"weight_map": {"a": 3}}',
        '{"weight_map": {"a": "../b"}}',
        '{"weight_map": {"a": "\\ud800"}}',
        "[" * 10**5,
    ],
    ids=lambda text: text[:40],
)
def test_repository_with_a_bad_index(hub, text):
    (hub / "config.json").write_text("{}")
    (hub / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json"):
        load_network("somebody/tiny")


def test_repository_whose_weights_are_not_in_the_cache(hub):
    (hub / "config.json").write_text("{}")
    with pytest.raises(DownloadError, match="not in the cache"):  # weights may be published
        load_network("somebody/tiny")


def test_repository_that_is_not_there(hub):
    with pytest.raises(DownloadError, match=r"not in the cache.*pico"):
        load_network("somebody/else")


def test_folder_goes_before_the_hub(sam, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_hugging_face(sam, tmp_path / "somebody" / "tiny")
    assert same_weights(load_network("somebody/tiny"), sam)
