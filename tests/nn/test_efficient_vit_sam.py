"""EfficientViT-SAM: its image encoder, its prompt frame, and the names of its published files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import make, tiny_efficient_vit_sam

from samkit import ImagePredictor, Prompt
from samkit.errors import CheckpointError
from samkit.nn import build
from samkit.sizes import efficient_vit_sam
from samkit.weights import convert, load_network, save_network
from samkit.weights.adapting import with_input_size
from samkit.weights.infer import infer_config
from samkit.weights.keys_efficient_vit_sam import META
from samkit.weights.layouts import detect_layout

SIZES = ("l0", "l1", "l2", "xl0", "xl1")


class Published:
    """The image encoder from its tensors, by their published names."""

    def __init__(self, weights):
        self.weights = {n.removeprefix("image_encoder."): t for n, t in weights.items()}

    def blocks(self, name):
        count = 0
        while any(each.startswith(f"{name}.{count}.") for each in self.weights):
            count += 1
        return [f"{name}.{i}" for i in range(count)]

    def layer(self, x, name, stride=1, *, active=True):
        weight, bias = self.weights[f"{name}.conv.weight"], self.weights.get(f"{name}.conv.bias")
        kernel, groups = weight.shape[-1], x.shape[1] // weight.shape[1]
        x = F.conv2d(x, weight, bias, stride, kernel // 2, groups=groups)
        if f"{name}.norm.weight" in self.weights:
            mean, var, scale, shift = (
                self.weights[f"{name}.norm.{part}"][:, None, None]
                for part in ("running_mean", "running_var", "weight", "bias")
            )
            x = (x - mean) / (var + 1e-6).sqrt() * scale + shift
        inner = 0.7978845608028654 * (x + 0.044715 * x**3)  # sqrt(2 / pi)
        return 0.5 * x * (1 + inner.tanh()) if active else x

    def main(self, x, name, stride=1):
        """Whichever block it is, by the names of its layers."""
        if f"{name}.qkv.conv.weight" in self.weights:
            return self.attention(x, name)
        if f"{name}.conv1.conv.weight" in self.weights:
            return self.layer(self.layer(x, f"{name}.conv1"), f"{name}.conv2", active=False)
        if f"{name}.inverted_conv.conv.weight" in self.weights:
            x = self.layer(x, f"{name}.inverted_conv")
            x = self.layer(x, f"{name}.depth_conv", stride)
        else:
            x = self.layer(x, f"{name}.spatial_conv", stride)
        return self.layer(x, f"{name}.point_conv", active=False)

    def attention(self, x, name):
        """As a matrix of weights, between all places."""
        qkv = self.layer(x, f"{name}.qkv", active=False)
        by_place, by_channel = (self.weights[f"{name}.aggreg.0.{i}.weight"] for i in range(2))
        assert by_place.shape[1] == 1
        assert by_channel.shape[1] == 32
        second = F.conv2d(qkv, by_place, padding=by_place.shape[-1] // 2, groups=len(by_place))
        second = F.conv2d(second, by_channel, groups=len(by_channel) // 32)
        outputs = []
        for head in torch.cat([qkv, second], 1).flatten(2).split(96, 1):
            q, k, v = head.split(32, 1)
            weights = q.relu().transpose(1, 2) @ k.relu()  # (B, H * W, H * W)
            weights = weights / (weights.sum(2, keepdim=True) + 1e-15)
            outputs.append((weights @ v.transpose(1, 2)).transpose(1, 2))
        joined = torch.cat(outputs, 1).unflatten(2, x.shape[-2:])
        return self.layer(joined, f"{name}.proj", active=False)

    def stage(self, x, name):
        first, *others = self.blocks(f"{name}.op_list")
        x = self.main(x, f"{first}.main", 2) if "stages.0" not in name else self.layer(x, first, 2)
        for block in others:
            if f"{block}.context_module.main.qkv.conv.weight" in self.weights:
                x = x + self.main(x, f"{block}.context_module.main")
                x = x + self.main(x, f"{block}.local_module.main")
            else:
                x = x + self.main(x, f"{block}.main")
        return x

    def __call__(self, x):
        maps = []
        for name in self.blocks("backbone.stages"):
            x = self.stage(x, name)
            maps.append(x)
        size = maps[-3].shape[-2:]
        x = 0
        for i in range(3):
            op = self.layer(maps[-1 - i], f"neck.input_ops.{i}.op_list.0", active=False)
            x = x + F.interpolate(op, size, mode="bicubic", align_corners=False)
        for block in self.blocks("neck.middle.op_list"):
            x = x + self.main(x, f"{block}.main")
        x = self.layer(x, "neck.output_ops.0.op_list.0", active=False).movedim(1, -1)
        weight, bias = self.weights["norm.weight"], self.weights["norm.bias"]
        return F.layer_norm(x, x.shape[-1:], weight, bias, 1e-6).movedim(-1, 1)


@torch.inference_mode()
@pytest.mark.parametrize("size", [(128, 128), (64, 192)])
@pytest.mark.parametrize("stages", [5, 6])
def test_image_encoder(stages, size):
    network = make(tiny_efficient_vit_sam(stages))
    theirs = Published(META.from_samkit(network.state_dict()))
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    found, expected = network.image_encoder(pixels), theirs(pixels)
    stride = 8 if stages == 5 else 16
    assert found.shape == (2, 16, size[0] // stride, size[1] // stride)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * expected.abs().max().item())


@torch.inference_mode()
def test_the_small_ones_see_half_of_the_prompt_frame():
    network = make(tiny_efficient_vit_sam())
    predictor = ImagePredictor(network, device="cpu", dtype="float32")
    photo = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    embedding = predictor.embed(photo)
    assert embedding.features.embedding.shape == (1, 16, 16, 16)
    assert embedding.features.prompt_size == (256, 256)
    masks = predictor.predict(embedding, Prompt.point(30, 20), candidates=3)
    assert masks.masks.shape == (3, 60, 80)
    assert masks.logits.shape == (3, 64, 64)
    other = with_input_size(network, (64, 96))
    assert other.config.prompt_size == (128, 192)


def test_every_parameter_learns():
    network = make(tiny_efficient_vit_sam(6))
    network.image_encoder(torch.randn(1, 3, 128, 128)).square().mean().backward()
    idle = [n for n, p in network.image_encoder.named_parameters() if not p.grad.any()]
    assert idle == []


def test_released_sizes():
    found = {}
    for size in SIZES:
        config = efficient_vit_sam(size)
        config.validate()
        found[size] = (config.image_size, config.prompt_size, config.grid)
        with torch.device("meta"):
            state = build(config).state_dict()
        assert infer_config(state, "sam") == config
    small = ((512, 512), (1024, 1024), (64, 64))
    large = ((1024, 1024), (1024, 1024), (64, 64))
    assert found == {size: large if "x" in size else small for size in SIZES}


# Shapes of a few tensors, which with the plain implementation above tell all others.
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (
            "l0",
            {
                "backbone.stages.0.op_list.0.conv.weight": (32, 3, 3, 3),
                "backbone.stages.0.op_list.1.main.conv2.norm.running_var": (32,),
                "backbone.stages.1.op_list.0.main.spatial_conv.conv.weight": (512, 32, 3, 3),
                "backbone.stages.2.op_list.1.main.point_conv.norm.bias": (128,),
                "backbone.stages.3.op_list.0.main.inverted_conv.conv.bias": (2048,),
                "backbone.stages.3.op_list.4.main.depth_conv.conv.weight": (1024, 1, 3, 3),
                "backbone.stages.4.op_list.0.main.depth_conv.conv.weight": (6144, 1, 3, 3),
                "backbone.stages.4.op_list.4.context_module.main.qkv.conv.weight": (
                    1536,
                    512,
                    1,
                    1,
                ),
                "backbone.stages.4.op_list.4.context_module.main.aggreg.0.0.weight": (
                    1536,
                    1,
                    5,
                    5,
                ),
                "backbone.stages.4.op_list.4.context_module.main.aggreg.0.1.weight": (
                    1536,
                    32,
                    1,
                    1,
                ),
                "backbone.stages.4.op_list.4.context_module.main.proj.conv.weight": (
                    512,
                    1024,
                    1,
                    1,
                ),
                "backbone.stages.4.op_list.4.local_module.main.inverted_conv.conv.bias": (3072,),
                "neck.input_ops.0.op_list.0.conv.weight": (256, 512, 1, 1),
                "neck.input_ops.2.op_list.0.norm.weight": (256,),
                "neck.middle.op_list.3.main.spatial_conv.conv.weight": (256, 256, 3, 3),
                "neck.output_ops.0.op_list.0.conv.bias": (256,),
                "norm.weight": (256,),
            },
        ),
        (
            "xl1",
            {
                "backbone.stages.0.op_list.1.main.conv1.conv.weight": (32, 32, 3, 3),
                "backbone.stages.3.op_list.4.main.spatial_conv.conv.weight": (1024, 256, 3, 3),
                "backbone.stages.4.op_list.0.main.inverted_conv.conv.weight": (4096, 256, 1, 1),
                "backbone.stages.4.op_list.6.local_module.main.depth_conv.conv.bias": (2048,),
                "backbone.stages.5.op_list.0.main.inverted_conv.conv.weight": (12288, 512, 1, 1),
                "backbone.stages.5.op_list.6.context_module.main.aggreg.0.0.weight": (
                    3072,
                    1,
                    3,
                    3,
                ),
                "backbone.stages.5.op_list.6.local_module.main.depth_conv.conv.bias": (6144,),
                "neck.input_ops.0.op_list.0.conv.weight": (256, 1024, 1, 1),
                "neck.middle.op_list.11.main.spatial_conv.conv.weight": (1024, 256, 3, 3),
            },
        ),
    ],
)
def test_names_and_shapes_of_the_published_files(size, expected):
    with torch.device("meta"):
        state = META.from_samkit(build(efficient_vit_sam(size)).state_dict())
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert {name: shapes.get(f"image_encoder.{name}") for name in expected} == expected
    found = detect_layout(state)
    assert (found.family, found.names) == ("sam", "meta")


def test_there_and_back(tmp_path):
    network = make(tiny_efficient_vit_sam())
    save_network(network, tmp_path / "mine.safetensors")
    convert(tmp_path / "mine.safetensors", tmp_path / "mine.pt", layout="meta")
    back = META.to_samkit(torch.load(tmp_path / "mine.pt", weights_only=True))
    state = network.state_dict()
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in state.items())
    # Its tensors do not tell that the tiny one sees less than the released ones.
    config = load_network(tmp_path / "mine.pt").config
    assert config.image_encoder == network.config.image_encoder
    assert config.image_size == (512, 512)
    with pytest.raises(CheckpointError, match="transformers has no such network"):
        convert(tmp_path / "mine.pt", tmp_path / "folder", layout="hugging-face")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dims": (4, 8, 8, 32), "depths": (1, 1, 1, 1)}, "five or six stages"),
        ({"depths": (1, 1, 1, 2)}, "five or six stages"),
        ({"dims": (4, 8, 8, 8, 40)}, "channels that their heads divide"),
    ],
)
def test_impossible_sizes(changes, message):
    config = tiny_efficient_vit_sam()
    with pytest.raises(ValueError, match=message):
        replace(config, image_encoder=replace(config.image_encoder, **changes)).validate()
