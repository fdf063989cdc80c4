"""HQ-SAM 2: what its decoder adds to the masks of SAM 2, and the names of its published file."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tiny import make, tiny_hq_sam2
from torch import nn

from samkit import ImagePredictor, InputError, export
from samkit.errors import CheckpointError
from samkit.nn import PromptTensors, build
from samkit.nn.image_views import DenseViews
from samkit.sizes import hq_sam2, sam2
from samkit.weights import convert, keys_sam2, save_network
from samkit.weights.keys_hq_sam2 import META
from samkit.weights.layouts import detect_layout


@pytest.fixture
def network():
    return make(tiny_hq_sam2())


def prompts(count):
    generator = torch.Generator().manual_seed(2)
    points = torch.rand(count, 2, 2, generator=generator) * 128
    return PromptTensors(points=points, labels=torch.ones(count, 2, dtype=torch.long))


def pixels():
    return torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))


def layer_norm(x, weights, name):
    x = F.layer_norm(x.movedim(1, -1), x.shape[1:2], eps=1e-6).movedim(-1, 1)
    return x * weights[f"{name}.weight"][:, None, None] + weights[f"{name}.bias"][:, None, None]


def mlp(x, weights, name):
    for i in range(3):
        x = F.linear(x, weights[f"{name}.layers.{i}.weight"], weights[f"{name}.layers.{i}.bias"])
        x = x.relu() if i < 2 else x
    return x


def expected(network, features, asked):
    """Logits of SAM 2 and those of HQ-SAM 2, from its tensors by their published names."""
    weights = META.from_samkit(network.mask_decoder.state_dict(prefix="mask_decoder."))
    weights = {name.removeprefix("sam_mask_decoder."): t for name, t in weights.items()}

    def conv(x, name, f, **given):
        return f(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **given)

    features = network.without_memory(features)
    embedded = network.prompt_encoder(asked, features.prompt_size)
    image = features.embedding + embedded.dense
    first = ("obj_score_token", "iou_token", "mask_tokens", "hf_token")
    own = torch.cat([weights[f"{name}.weight"] for name in first])
    count = len(embedded.sparse)
    views = DenseViews(
        image.flatten(2).transpose(1, 2),
        network.prompt_encoder.positions(8, 8).flatten(2).transpose(1, 2),
    )
    tokens = torch.cat([own.expand(count, -1, -1), embedded.sparse], 1)
    tokens, views = network.mask_decoder.transformer(views, tokens, None)
    unit = torch.eye(16)  # of the image tokens themselves
    image = torch.cat([x for _, x in views.linear(nn.Identity(), unit, torch.zeros(16))])
    x = image.transpose(1, 2).reshape(count, 16, 8, 8)
    finest, finer = features.high_resolution
    x = conv(x, "output_upscaling.0", F.conv_transpose2d, stride=2) + finer
    x = F.gelu(layer_norm(x, weights, "output_upscaling.1"))
    x = F.gelu(conv(x, "output_upscaling.3", F.conv_transpose2d, stride=2) + finest)
    y = conv(x, "embedding_maskfeature.0", F.conv2d, padding=1)
    y = F.gelu(layer_norm(y, weights, "embedding_maskfeature.1"))
    y = conv(y, "embedding_maskfeature.3", F.conv2d, padding=1)
    filters = [mlp(tokens[:, 2 + i], weights, f"output_hypernetworks_mlps.{i}") for i in range(4)]
    plain = torch.einsum("nkc,nchw->nkhw", torch.stack(filters, 1), x)
    return plain, torch.einsum("nc,nchw->nhw", mlp(tokens[:, 6], weights, "hf_mlp"), y)


@torch.inference_mode()
@pytest.mark.parametrize("count", [1, 9])
def test_logits_are_added_to_those_of_sam2(network, count):
    features = network.encode_image(pixels())
    assert features.further == ()
    plain, added = expected(network, features, prompts(count))
    found = network.decode_masks(features, prompts(count))
    whole = plain + added[:, None]
    torch.testing.assert_close(found.logits, whole, rtol=0, atol=1e-5 * whole.abs().max().item())


def stability_of(logits):
    inside, outside = (logits > delta for delta in (0.05, -0.05))
    return inside.sum((1, 2)) / outside.sum((1, 2))


@torch.inference_mode()
def test_whether_a_mask_is_stable_is_asked_of_sam2(network):
    features = network.encode_image(pixels())
    plain, added = expected(network, features, prompts(9))
    stability, of_the_sum = stability_of(plain[:, 0]), stability_of(plain[:, 0] + added)
    threshold = (stability.min() + stability.max()).item() / 2
    assert ((stability >= threshold) != (of_the_sum >= threshold)).any()
    network.mask_decoder.config = replace(
        network.mask_decoder.config, stability_threshold=threshold
    )
    found = network.decode_masks(features, prompts(9))
    single = network.mask_decoder.single(found)
    for i, stable in enumerate((stability >= threshold).tolist()):
        best = 0 if stable else int(found.iou[i, 1:].argmax()) + 1
        assert torch.equal(single.logits[i, 0], found.logits[i, best])
    some = network.mask_decoder.single(found.select(torch.tensor([7, 2])))
    assert torch.equal(some.logits, single.logits[[7, 2]])


def test_names_and_shapes_of_the_published_file():
    with torch.device("meta"):
        state = META.from_samkit(build(hq_sam2()).state_dict())
        rest = keys_sam2.META.from_samkit(build(sam2("large")).state_dict())
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    added = {
        "hf_token.weight": (1, 256),
        "hf_mlp.layers.0.weight": (256, 256),
        "hf_mlp.layers.0.bias": (256,),
        "hf_mlp.layers.1.weight": (256, 256),
        "hf_mlp.layers.1.bias": (256,),
        "hf_mlp.layers.2.weight": (32, 256),
        "hf_mlp.layers.2.bias": (32,),
        "embedding_maskfeature.0.weight": (64, 32, 3, 3),
        "embedding_maskfeature.0.bias": (64,),
        "embedding_maskfeature.1.weight": (64,),
        "embedding_maskfeature.1.bias": (64,),
        "embedding_maskfeature.3.weight": (32, 64, 3, 3),
        "embedding_maskfeature.3.bias": (32,),
    }
    assert shapes == {
        **{name: tuple(tensor.shape) for name, tensor in rest.items()},
        **{f"sam_mask_decoder.{name}": shape for name, shape in added.items()},
    }
    found = detect_layout(state)
    assert (found.family, found.names) == ("sam2", "meta")


def test_there_and_back(network, tmp_path):
    state = network.state_dict()
    save_network(network, tmp_path / "mine.safetensors")
    convert(tmp_path / "mine.safetensors", tmp_path / "mine.pt", layout="meta")
    theirs = torch.load(tmp_path / "mine.pt", weights_only=True)["model"]
    assert torch.equal(
        theirs["sam_mask_decoder.hf_token.weight"], state["mask_decoder.hq.token.weight"]
    )
    back = META.to_samkit(theirs)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in state.items())
    with pytest.raises(CheckpointError, match="HQ-SAM 2 is not part of it"):
        convert(tmp_path / "mine.safetensors", tmp_path / "folder", layout="hugging-face")


def test_it_is_not_exported(network, tmp_path):
    pytest.importorskip("onnx")
    with pytest.raises(InputError, match="HQ-SAM"):
        export(ImagePredictor(network, device="cpu", dtype="float32"), tmp_path / "out")
