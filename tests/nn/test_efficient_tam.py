"""EfficientTAM: its plain ViT and pooled memories, and the names of its published files."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import make, tiny_efficient_tam

from samkit import ImagePredictor, InputError, Prompt, VideoPredictor, export
from samkit.errors import CheckpointError
from samkit.nn import build
from samkit.nn.memory import MemoryTokens
from samkit.sizes import efficient_tam
from samkit.weights import MODELS, RegisteredModel, convert, load_network, registry, save_network
from samkit.weights.keys_sam2 import META
from samkit.weights.layouts import detect_layout


def layer_norm(x, weights, name):
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-6)


def linear(x, weights, name):
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def attention(x, weights, name, heads):
    """(N, C) of one window or of the whole grid -> (N, C)."""
    dim = x.shape[1] // heads
    parts = linear(x, weights, f"{name}.qkv").split(x.shape[1], 1)
    outputs = []
    for head in range(heads):
        q, k, v = (part[:, head * dim : (head + 1) * dim] for part in parts)
        outputs.append((q @ k.T / dim**0.5).softmax(1) @ v)
    return linear(torch.cat(outputs, 1), weights, f"{name}.proj")


def in_windows(x, size, function):
    """Windows of (H, W, C) one by one, those at the edges filled up with zeros."""
    height, width = x.shape[:2]
    filled = x.new_zeros(height + size, width + size, x.shape[2])
    filled[:height, :width] = x
    result = torch.zeros_like(filled)
    for top in range(0, height, size):
        for left in range(0, width, size):
            part = slice(top, top + size), slice(left, left + size)
            result[part] = function(filled[part].flatten(0, 1)).view(size, size, -1)
    return result[:height, :width]


@torch.inference_mode()
@pytest.mark.parametrize("size", [(128, 128), (96, 160)])
def test_image_encoder(size):
    network = make(tiny_efficient_tam())
    weights = META.from_samkit(network.state_dict())
    pixels = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    (found,) = network.image_encoder(pixels)

    trunk = "image_encoder.trunk"
    proj = weights[f"{trunk}.patch_embed.proj.weight"], weights[f"{trunk}.patch_embed.proj.bias"]
    x = F.conv2d(pixels, *proj, stride=16)[0]
    positions = weights[f"{trunk}.pos_embed"][0, 1:].T.reshape(1, 24, 5, 5)
    grid = (size[0] // 16, size[1] // 16)
    x = x + F.interpolate(positions, grid, mode="bicubic", align_corners=False)[0]
    x = x.permute(1, 2, 0)
    for i in range(3):
        block = f"{trunk}.blocks.{i}"
        y = layer_norm(x, weights, f"{block}.norm1")

        def attend(tokens, name=f"{block}.attn"):
            return attention(tokens, weights, name, 2)

        x = x + (attend(y.flatten(0, 1)).view_as(y) if i == 1 else in_windows(y, 3, attend))
        y = linear(layer_norm(x, weights, f"{block}.norm2"), weights, f"{block}.mlp.layers.0")
        x = x + linear(F.gelu(y), weights, f"{block}.mlp.layers.1")
    neck = "image_encoder.neck.convs.0"
    x = F.conv2d(x.permute(2, 0, 1)[None], weights[f"{neck}.conv_1x1.weight"])
    x = layer_norm(x.movedim(1, -1), weights, f"{neck}.norm_0").movedim(-1, 1)
    x = F.conv2d(x, weights[f"{neck}.conv_3x3.weight"], padding=1)
    x = layer_norm(x.movedim(1, -1), weights, f"{neck}.norm_1").movedim(-1, 1)
    torch.testing.assert_close(found, x, rtol=0, atol=1e-5 * x.abs().max().item())


def rotated(x, side):
    """Keys or queries (side * side, C), row by row: half of the pairs turn by x, half by y."""
    pairs = torch.view_as_complex(x.double().unflatten(1, (-1, 2)).contiguous())
    count = pairs.shape[1] // 2
    frequencies = 10000.0 ** -(torch.arange(count) * 4 / x.shape[1]).double()
    where = torch.arange(side * side)
    turns = [where[:, None] % side * frequencies, where[:, None] // side * frequencies]
    turned = pairs * torch.polar(torch.ones(side * side, 2 * count).double(), torch.cat(turns, 1))
    return torch.view_as_real(turned).flatten(1).float()


def recalled(layer, x, memory, side, pooling):
    """Cross-attention of one object to its memories, as the paper has it, cell by cell."""
    cells = side * side
    attn = layer.cross_attn_image
    q = rotated(attn.q_proj(layer.norm2(x)), side)
    k, v = attn.k_proj(memory.tokens[0] + memory.positions[0]), attn.v_proj(memory.tokens[0])
    maps = (len(k) - memory.pointer_tokens) // cells
    keys, values, more = [], [], []
    for i in range(maps):
        part = slice(i * cells, (i + 1) * cells)
        key, value = rotated(k[part], side), v[part]
        if pooling == "none" or maps == 1:
            keys, values, more = [*keys, *key], [*values, *value], [*more, *[0.0] * cells]
            continue
        for top in range(0, side, 2):
            for left in range(0, side, 2):
                first = top * side + left
                four = [first, first + 1, first + side, first + side + 1]
                keys.append(key[four].mean(0) + (2 * math.log(2) if pooling == "keys" else 0))
                values.append(value[four].mean(0))
                more.append(2 * math.log(2) if pooling == "logits" else 0.0)
    keys, values = [*keys, *k[maps * cells :]], [*values, *v[maps * cells :]]
    more = torch.tensor([*more, *[0.0] * memory.pointer_tokens])
    logits = q @ torch.stack(keys).T / q.shape[1] ** 0.5 + more
    return attn.out_proj(logits.softmax(1) @ torch.stack(values))


@torch.inference_mode()
@pytest.mark.parametrize("pooling", ["none", "logits", "keys"])
def test_memory_attention(pooling):
    """Objects of several memories in one call; one of a single memory, which is not pooled."""
    side, network = 8, make(tiny_efficient_tam(pooling))
    layer = network.memory_attention.layers[0]
    generator = torch.Generator().manual_seed(3)

    def memory(maps, pointers):
        shape = 1, maps * side * side + pointers, 8
        tokens, positions = (torch.randn(*shape, generator=generator) for _ in range(2))
        return MemoryTokens(tokens=tokens, positions=positions, pointer_tokens=pointers)

    objects = [memory(3, 4), memory(1, 2), memory(2, 0)]
    features = torch.randn(1, 16, side, side, generator=generator)
    before = []
    layer.norm2.register_forward_hook(lambda *given: before.append(given[1][0]))
    after = []
    layer.cross_attn_image.register_forward_hook(lambda *given: after.append(given[2]))
    network.memory_attention(features, MemoryTokens.padded(objects))
    inputs, outputs = (torch.cat(each) for each in (before, after))
    assert len(outputs) == 3
    for i, one in enumerate(objects):
        expected = recalled(layer, inputs[min(i, len(inputs) - 1)], one, side, pooling)
        scale = expected.abs().max().item()
        torch.testing.assert_close(outputs[i], expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("pooling", ["logits", "keys"])
def test_objects_tracked_together_are_as_objects_alone(pooling):
    """Also where one has a single memory, and the other several."""
    network = make(replace(tiny_efficient_tam(pooling), image_size=(64, 64)))
    with torch.no_grad():  # every object is there
        head = network.mask_decoder.pred_obj_score_head.layers[-1]
        head.bias.fill_(5.0)
        head.weight.zero_()
    predictor = ImagePredictor(network, device="cpu", dtype="float32")
    video = np.random.default_rng(0).integers(0, 255, (5, 48, 64, 3), np.uint8)
    prompts = {1: (0, Prompt.box(8, 10, 40, 36)), 2: (2, Prompt.point(30, 20))}

    def tracked(*object_ids):
        tracker = VideoPredictor(predictor, video)
        for object_id in object_ids:
            frame, prompt = prompts[object_id]
            tracker.prompt(frame, object_id, prompt)
        return {frame: masks.logits for frame, masks in tracker.track(start=0)}

    both = tracked(1, 2)
    for i, object_id in enumerate(prompts):
        alone = tracked(object_id)
        assert sorted(alone) == list(range(5))
        for frame, logits in alone.items():
            np.testing.assert_allclose(both[frame][i], logits[0], rtol=1e-3, atol=1e-3)


def test_names_and_shapes_of_the_published_files():
    with torch.device("meta"):
        state = META.from_samkit(build(efficient_tam("s")).state_dict())
        small = META.from_samkit(build(efficient_tam("ti")).state_dict())
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    of_encoder = {name: s for name, s in shapes.items() if name.startswith("image_encoder.")}
    block = {
        "norm1.weight": (384,),
        "norm1.bias": (384,),
        "attn.qkv.weight": (1152, 384),
        "attn.qkv.bias": (1152,),
        "attn.proj.weight": (384, 384),
        "attn.proj.bias": (384,),
        "norm2.weight": (384,),
        "norm2.bias": (384,),
        "mlp.layers.0.weight": (1536, 384),
        "mlp.layers.0.bias": (1536,),
        "mlp.layers.1.weight": (384, 1536),
        "mlp.layers.1.bias": (384,),
    }
    neck = {
        "conv_1x1.weight": (256, 384, 1, 1),
        "norm_0.weight": (256,),
        "norm_0.bias": (256,),
        "conv_3x3.weight": (256, 256, 3, 3),
        "norm_1.weight": (256,),
        "norm_1.bias": (256,),
    }
    assert of_encoder == {
        "image_encoder.trunk.pos_embed": (1, 197, 384),
        "image_encoder.trunk.patch_embed.proj.weight": (384, 3, 16, 16),
        "image_encoder.trunk.patch_embed.proj.bias": (384,),
        **{f"image_encoder.trunk.blocks.{i}.{n}": s for i in range(12) for n, s in block.items()},
        **{f"image_encoder.neck.convs.0.{name}": shape for name, shape in neck.items()},
    }
    assert small.keys() == state.keys()
    assert small["image_encoder.trunk.pos_embed"].shape == (1, 197, 192)
    # The rest is SAM 2's, without what takes finer maps.
    with torch.device("meta"):
        sam2 = META.from_samkit(build(MODELS["sam2-tiny"].config).state_dict())
    rest = {n: tuple(t.shape) for n, t in sam2.items() if not n.startswith("image_encoder.")}
    finer = {name for name in rest if ".conv_s" in name}
    assert len(finer) == 4
    assert shapes == of_encoder | {n: shape for n, shape in rest.items() if n not in finer}
    found = detect_layout(state)
    assert (found.family, found.names) == ("sam2", "meta")


def test_variants_are_told_by_the_name_of_the_file(monkeypatch, tmp_path):
    expected = {
        "s": ("none", 1024),
        "s-1": ("logits", 1024),
        "s-2": ("keys", 1024),
        "s-512": ("none", 512),
        "ti": ("none", 1024),
        "ti-1": ("logits", 1024),
        "ti-2": ("keys", 1024),
        "ti-512": ("none", 512),
    }
    sizes = {n: m.config for n, m in MODELS.items() if n.startswith("efficient-tam-")}
    assert {
        name.removeprefix("efficient-tam-"): (config.memory.pooling, config.image_size[0])
        for name, config in sizes.items()
    } == expected
    config = tiny_efficient_tam("keys")
    network = make(config)
    save_network(network, tmp_path / "mine.safetensors")
    row = RegisteredModel(name="efficient-tam-s-2", config=config, parameters=1, year=2024)
    monkeypatch.setitem(MODELS, "efficient-tam-s-2", row)
    assert registry.name_elsewhere("efficienttam_s_2.pt") == "efficient-tam-s-2"
    convert(tmp_path / "mine.safetensors", tmp_path / "efficienttam_s_2.pt", layout="meta")
    back = load_network(tmp_path / "efficienttam_s_2.pt")
    assert back.config == config
    assert all(torch.equal(back.state_dict()[n], t) for n, t in network.state_dict().items())
    with pytest.raises(CheckpointError, match="transformers has no such network"):
        convert(tmp_path / "mine.safetensors", tmp_path / "folder", layout="hugging-face")


def test_impossible_sizes():
    config = tiny_efficient_tam()
    config.validate()
    for changes in ({"pooling": "other"}, {"pooling": "keys", "latents": 4, "grid_latents": 2}):
        impossible = replace(config, memory=replace(config.memory, **changes))
        with pytest.raises(ValueError, match="pooling out of none, logits, keys"):
            impossible.validate()
    decoder = replace(config.mask_decoder, high_resolution=True)
    with pytest.raises(ValueError, match="finer maps"):
        replace(config, mask_decoder=decoder).validate()


def test_pooled_memories_are_not_exported(tmp_path):
    pytest.importorskip("onnx")
    predictor = ImagePredictor(make(tiny_efficient_tam("keys")), device="cpu", dtype="float32")
    with pytest.raises(InputError, match="pooled"):
        export(predictor, tmp_path / "out", parts="video")
