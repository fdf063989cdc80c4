"""Networks from files: strict, whatever the layout, and never half right."""

import json
import warnings

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import make, tiny_pico
from weights.helpers import same_weights

from samkit.errors import CheckpointError, CheckpointKeysError, InputError
from samkit.nn import Sam2
from samkit.sizes import to_dict
from samkit.weights import keys_sam, load_network, save_network
from samkit.weights.layouts import is_memory


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
    loaded = load_network(tmp_path / "x.safetensors")
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = network.encode_image(pixels).embedding
        assert torch.equal(loaded.encode_image(pixels).embedding, expected)


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
