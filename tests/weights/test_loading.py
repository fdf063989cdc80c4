"""Networks from files: strict, whatever the layout, and never half right."""

import hashlib
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import make, tiny_pico

from samkit.errors import (
    CheckpointError,
    CheckpointKeysError,
    DownloadError,
    InputError,
    UnknownModelError,
)
from samkit.nn import Sam, Sam2
from samkit.sizes import to_dict
from samkit.weights import find_model, keys_sam, load_network, save_network
from samkit.weights.layouts import detect_layout, is_memory, table_of
from samkit.weights.registry import MODELS, RegisteredModel


def same_weights(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_saved_and_loaded(network, tmp_path):
    path = tmp_path / "new" / "x.safetensors"
    save_network(network, path)
    loaded = load_network(path)
    assert loaded.config == network.config
    assert same_weights(loaded, network)
    assert not loaded.training
    assert all(p.requires_grad for p in loaded.parameters())
    assert [p.name for p in path.parent.iterdir()] == ["x.safetensors"]


def test_a_string_will_do(sam, tmp_path):
    save_network(sam, str(tmp_path / "x.safetensors"))
    assert same_weights(load_network(str(tmp_path / "x.safetensors")), sam)


def test_loaded_network_works(network, tmp_path):
    save_network(network, tmp_path / "x.safetensors")
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = network.encode_image(pixels).embedding
        assert torch.equal(
            load_network(tmp_path / "x.safetensors").encode_image(pixels).embedding, expected
        )


def test_header_of_a_saved_file(sam, tmp_path):
    save_network(sam, tmp_path / "x.safetensors", metadata={"trained on": "two photographs"})
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        header = file.metadata()
    assert header["trained on"] == "two photographs"
    assert json.loads(header["samkit.config"]) == json.loads(json.dumps(to_dict(sam.config)))


def test_half_precision_keeps_buffers_and_loads_as_float32(mobile_sam, tmp_path):
    save_network(mobile_sam, tmp_path / "x.safetensors", dtype=torch.float16)
    saved = load_file(tmp_path / "x.safetensors")
    buffers = dict(mobile_sam.named_buffers())
    assert {t.dtype for n, t in saved.items() if n not in buffers} == {torch.float16}
    for name, tensor in saved.items():
        if name in buffers:
            assert torch.equal(tensor, buffers[name])
    loaded = load_network(tmp_path / "x.safetensors")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    counts = [n for n in loaded.state_dict() if n.endswith("num_batches_tracked")]
    assert counts
    assert loaded.state_dict()[counts[0]].dtype == torch.int64


def test_weights_outlive_the_file(sam, tmp_path):
    path = tmp_path / "x.pt"
    torch.save(keys_sam.META.from_samkit(sam.state_dict()), path)
    loaded = load_network(path)
    path.write_bytes(b"")
    assert same_weights(loaded, sam)


@pytest.mark.parametrize("change", ["missing", "unexpected", "misshapen"])
def test_strict(sam, tmp_path, change):
    state = dict(sam.state_dict())
    name = "mask_decoder.iou_token.weight"
    if change == "missing":
        del state[name]
    elif change == "unexpected":
        state["mask_decoder.extra.weight"] = torch.ones(1)
    else:
        state[name] = torch.ones(1, 3)
    path = tmp_path / "x.safetensors"
    save_file(state, path, {"samkit.config": json.dumps(to_dict(sam.config))})
    with pytest.raises(CheckpointKeysError) as caught:
        load_network(path)
    error = caught.value
    assert error.missing == ((name,) if change == "missing" else ())
    assert error.unexpected == (("mask_decoder.extra.weight",) if change == "unexpected" else ())
    assert error.misshapen == (((name, (1, 16), (1, 3)),) if change == "misshapen" else ())
    assert str(path) in str(error)


@pytest.mark.parametrize("text", ["{", "3", "{}", '{"family": "sam"}'])
def test_sizes_that_cannot_be_understood(sam, tmp_path, text):
    save_file(sam.state_dict(), tmp_path / "x.safetensors", {"samkit.config": text})
    with pytest.raises(CheckpointError, match="another version of samkit"):
        load_network(tmp_path / "x.safetensors")


def test_sizes_of_another_family(sam, sam2_network, tmp_path):
    header = {"samkit.config": json.dumps(to_dict(sam2_network.config))}
    save_file(sam.state_dict(), tmp_path / "x.safetensors", header)
    with pytest.raises(CheckpointError, match="family 'sam2', its tensors of 'sam'"):
        load_network(tmp_path / "x.safetensors")


def test_something_else_entirely(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="unknown kind"):
        load_network(tmp_path / "x.pt")


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


def test_untrained_memory_is_known_and_not_saved(sam2_network, tmp_path):
    state = {n: t for n, t in sam2_network.state_dict().items() if not is_memory(n)}
    header = {"samkit.config": json.dumps(to_dict(sam2_network.config))}
    save_file(state, tmp_path / "image.safetensors", header)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # samkit's own file: it was left out on purpose
        loaded = load_network(tmp_path / "image.safetensors")
    assert torch.equal(torch.rand(1), expected), "loading must not use the caller's random numbers"
    assert isinstance(loaded, Sam2)
    assert not loaded.has_memory
    assert all(torch.isfinite(p).all() for p in loaded.parameters())
    save_network(loaded, tmp_path / "again.safetensors")
    assert load_file(tmp_path / "again.safetensors").keys() == state.keys()


def test_part_of_the_memory_is_an_error(sam2_network, tmp_path):
    state = dict(sam2_network.state_dict())
    del state["no_obj_ptr"]
    header = {"samkit.config": json.dumps(to_dict(sam2_network.config))}
    save_file(state, tmp_path / "x.safetensors", header)
    with pytest.raises(CheckpointKeysError, match="1 missing: no_obj_ptr"):
        load_network(tmp_path / "x.safetensors")


def test_whole_memory_gives_no_warning(sam2_network, tmp_path):
    save_network(sam2_network, tmp_path / "x.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_network(tmp_path / "x.safetensors").has_memory


def test_unused_tensors_are_no_error(mobile_sam, tmp_path):
    extra = {"image_encoder.head.weight": torch.ones(3, 2), "pixel_mean": torch.ones(3, 1, 1)}
    header = {"samkit.config": json.dumps(to_dict(mobile_sam.config))}
    save_file({**mobile_sam.state_dict(), **extra}, tmp_path / "x.safetensors", header)
    assert same_weights(load_network(tmp_path / "x.safetensors"), mobile_sam)


def test_save_that_cannot_be_written(sam, tmp_path):
    with pytest.raises(InputError, match="folder"):
        save_network(sam, tmp_path)


# ---- what training tools write


def in_layout_of_meta(network, prefix):
    state = network.state_dict()
    state = table_of(detect_layout(state), "meta").from_samkit(state)
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("prefix", ["module.", "model._orig_mod."])
def test_prefix_is_taken_off(network, prefix, tmp_path):
    header = {"samkit.config": json.dumps(to_dict(network.config))}
    save_file(in_layout_of_meta(network, prefix), tmp_path / "x.safetensors", header)
    with pytest.warns(UserWarning, match=r"x\.safetensors .* taken off") as said:
        loaded = load_network(tmp_path / "x.safetensors")
    assert [one.filename for one in said] == [__file__]
    assert same_weights(loaded, network)


@pytest.mark.parametrize(
    "prefix",
    ["model.", "sam.", "_orig_mod.", "base_model.model.", "module.model.sam.", "model.module."],
)
def test_each_prefix(sam, prefix, tmp_path):
    content = {"state_dict": in_layout_of_meta(sam, prefix), "best": np.float64(0.5)}
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.warns(UserWarning, match=f"'{re.escape(prefix)}' was taken off"):
        assert same_weights(load_network(tmp_path / "x.ckpt"), sam)


@pytest.mark.parametrize("outside", ["", "model.", "_fsdp_wrapped_module."])
@pytest.mark.parametrize("inside", ["_orig_mod", "module", "_checkpoint_wrapped_module"])
def test_parts_of_the_network_that_were_wrapped(sam, outside, inside, tmp_path):
    """As by torch.compile(model.image_encoder)."""
    plain = in_layout_of_meta(sam, outside)
    wrapped = {
        re.sub(r"(image_encoder|mask_decoder)\.", rf"\1.{inside}.", name): tensor
        for name, tensor in plain.items()
    }
    header = {"samkit.config": json.dumps(to_dict(sam.config))}
    save_file(wrapped, tmp_path / "x.safetensors", header)
    with pytest.warns(UserWarning, match="was taken off the names"):
        assert same_weights(load_network(tmp_path / "x.safetensors"), sam)
    copies = {name: tensor.clone() for name, tensor in plain.items()}
    save_file(wrapped | copies, tmp_path / "x.safetensors", header)
    with pytest.raises(CheckpointError, match="twice"):
        load_network(tmp_path / "x.safetensors")


def test_adapter_in_a_folder(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="LoRA alone"):
        load_network(tmp_path)


def test_prefix_in_the_layout_of_hugging_face(sam, tmp_path):
    write_hugging_face(sam, tmp_path / "folder")
    path = tmp_path / "folder" / "model.safetensors"
    save_file({f"model.{name}": tensor for name, tensor in load_file(path).items()}, path)
    with pytest.warns(UserWarning, match=r"'model\.' was taken off"):
        assert same_weights(load_network(tmp_path / "folder"), sam)


def test_moving_average_of_torch(sam, tmp_path):
    averaged = torch.optim.swa_utils.AveragedModel(sam)
    torch.save({"ema": averaged.state_dict()}, tmp_path / "x.pt")
    with pytest.warns(UserWarning, match=r"'module\.' was taken off"):
        assert same_weights(load_network(tmp_path / "x.pt"), sam)


def test_tensors_beside_a_prefix_are_unexpected(sam, tmp_path):
    state = {**in_layout_of_meta(sam, "model."), "loss.weight": torch.ones(1)}
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(CheckpointKeysError, match=r"1 unexpected: loss\.weight"):
        load_network(tmp_path / "x.pt")


def test_names_with_and_without_a_prefix(sam, tmp_path):
    state = {**in_layout_of_meta(sam, "model."), "pixel_mean": torch.ones(1)}
    torch.save({**state, "model.pixel_mean": torch.zeros(1)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"same name with and without 'model\.'"):
        load_network(tmp_path / "x.pt")


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.image_encoder.blocks.0.attn.qkv.lora_A.default.weight",
        "image_encoder.blocks.0.attn.qkv.lora_B.weight",
        "image_encoder.blocks.0.attn.qkv.lora_A",
        "image_encoder.blocks.0.attn.qkv.lora.down.weight",
        "image_encoder.blocks.0.attn.qkv.LoRA_A.weight",
        "image_encoder.blocks.0.attn.qkv.linear_a_q.weight",
        "image_encoder.blocks.0.attn.qkv.hada_w1_a",
        "image_encoder.blocks.0.attn.qkv.lokr_w1",
        "mask_decoder.modules_to_save.default.iou_token.weight",
        "image_encoder.blocks.0.attn.qkv.base_layer.weight",
    ],
)
def test_lora_that_is_not_merged(sam, name, tmp_path):
    torch.save({**sam.state_dict(), name: torch.ones(1)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=re.escape(name) + r".*merge_and_unload\(\)"):
        load_network(tmp_path / "x.pt")


# ---- registered names


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


# ---- the Hugging Face hub


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


def write_hugging_face(network, folder):
    from samkit.weights import convert

    save_network(network, folder.parent / "source.safetensors")
    convert(folder.parent / "source.safetensors", folder, layout="hugging-face")


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


@pytest.mark.parametrize("has_header", [True, False])
def test_a_file_of_the_earlier_pico(tmp_path, has_header):
    state = {"image_encoder.trunk.stem.0.conv.weight": torch.zeros(32, 3, 3, 3)}
    state |= {name: t for name, t in make(tiny_pico()).state_dict().items() if "trunk" not in name}
    sizes = to_dict(tiny_pico())
    sizes["image_encoder"] = {"kind": "resnet", "stage_dims": [64, 128, 192, 256]}
    path = tmp_path / "old.safetensors"
    save_file(state, path, {"samkit.config": json.dumps(sizes)} if has_header else None)
    with pytest.raises(CheckpointError, match=r"earlier pico.*train again"):
        load_network(path)


def test_weights_that_half_precision_cannot_hold(tmp_path):
    network = make(tiny_pico())
    with torch.no_grad():
        next(network.parameters()).fill_(1e5)
    with pytest.raises(InputError, match=r"has numbers that torch\.float16 cannot hold"):
        save_network(network, tmp_path / "x.safetensors", dtype=torch.float16)
    assert not list(tmp_path.iterdir())
