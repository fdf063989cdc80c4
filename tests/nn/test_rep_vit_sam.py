"""RepViT-SAM: its image encoder, and the names of its published file."""

import pytest
import torch
import torch.nn.functional as F
from tiny import make, tiny_rep_vit_sam

from samkit.nn import build
from samkit.sizes import rep_vit_sam
from samkit.weights import convert, load_network, save_network
from samkit.weights.keys_rep_vit_sam import META
from samkit.weights.layouts import detect_layout


class Published:
    """The image encoder from its tensors, by their published names."""

    def __init__(self, weights):
        self.weights = {n.removeprefix("image_encoder."): t for n, t in weights.items()}

    def norm(self, x, name):
        w = [self.weights[f"{name}.{part}"] for part in ("running_mean", "running_var")]
        return F.batch_norm(x, *w, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def conv(self, x, name, stride=1):
        weight = self.weights[f"{name}.c.weight"]
        kernel, groups = weight.shape[-1], x.shape[1] // weight.shape[1]
        x = F.conv2d(x, weight, None, stride, kernel // 2, groups=groups)
        return self.norm(x, f"{name}.bn")

    def mixed(self, x, name):
        return x + self.conv(F.gelu(self.conv(x, f"{name}.m.0")), f"{name}.m.2")

    def block(self, x, name):
        first = f"{name}.token_mixer.0"
        by_channel = [self.weights[f"{first}.conv1.{part}"] for part in ("weight", "bias")]
        added = F.conv2d(x, *by_channel, groups=x.shape[1])
        x = self.norm(self.conv(x, f"{first}.conv") + added + x, f"{first}.bn")
        squeeze = f"{name}.token_mixer.1"
        if f"{squeeze}.fc1.weight" in self.weights:
            scale = x.mean((2, 3))
            for part, function in (("fc1", F.relu), ("fc2", torch.sigmoid)):
                weight = self.weights[f"{squeeze}.{part}.weight"][:, :, 0, 0]
                scale = function(F.linear(scale, weight, self.weights[f"{squeeze}.{part}.bias"]))
            x = x * scale[:, :, None, None]
        return self.mixed(x, f"{name}.channel_mixer")

    def transition(self, x, name, stride):
        x = self.conv(x, f"{name}.token_mixer.0", stride)
        return self.mixed(self.conv(x, f"{name}.token_mixer.2"), f"{name}.channel_mixer")

    def neck(self, x):
        for i in (0, 2):
            weight = self.weights[f"neck.{i}.weight"]
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2).movedim(1, -1)
            norm = self.weights[f"neck.{i + 1}.weight"], self.weights[f"neck.{i + 1}.bias"]
            x = F.layer_norm(x, x.shape[-1:], *norm, 1e-6).movedim(-1, 1)
        return x


@torch.inference_mode()
@pytest.mark.parametrize("size", [(128, 128), (96, 160)])
def test_image_encoder(size):
    network = make(tiny_rep_vit_sam())
    theirs = Published(META.from_samkit(network.state_dict()))
    pixels = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    x = F.gelu(theirs.conv(pixels, "features.0.0", 2))
    x = theirs.conv(x, "features.0.2", 2)
    # Depths of 1, 2, 3 and 2, and a block more before each of the three transitions.
    for i in range(1, 15):
        name = f"features.{i}"
        if i in (3, 7, 12):
            x = theirs.transition(x, name, 1 if i == 12 else 2)
        else:
            x = theirs.block(x, name)
    x = theirs.neck(x)
    found = network.image_encoder(pixels)
    assert found.shape == (1, 16, size[0] // 16, size[1] // 16)
    torch.testing.assert_close(found, x, rtol=0, atol=1e-5 * x.abs().max().item())


def of_norm(dim):
    return {
        **dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (dim,)),
        "num_batches_tracked": (),
    }


def of_conv(in_dim, out_dim, kernel, groups=1):
    return {
        "c.weight": (out_dim, in_dim // groups, kernel, kernel),
        **{f"bn.{name}": shape for name, shape in of_norm(out_dim).items()},
    }


def named(prefix, shapes):
    return {f"{prefix}.{name}": shape for name, shape in shapes.items()}


def test_names_and_shapes_of_the_published_file():
    with torch.device("meta"):
        state = META.from_samkit(build(rep_vit_sam()).state_dict())
    shapes = {
        name.removeprefix("image_encoder."): tuple(tensor.shape)
        for name, tensor in state.items()
        if name.startswith("image_encoder.")
    }
    expected = {
        **named("features.0.0", of_conv(3, 40, 3)),
        **named("features.0.2", of_conv(40, 80, 3)),
        "neck.0.weight": (256, 640, 1, 1),
        "neck.1.weight": (256,),
        "neck.1.bias": (256,),
        "neck.2.weight": (256, 256, 3, 3),
        "neck.3.weight": (256,),
        "neck.3.bias": (256,),
    }
    # Channels and whether a block squeezes, as the authors' table has them; None: channels double.
    stages = [(80, 6), (160, 6), (320, 34), (640, 2)]
    blocks = []
    for dim, depth in stages:
        blocks += [] if dim == 80 else [(dim, None)]
        blocks += [(dim, i % 2 == 0) for i in range(depth)]
        blocks += [] if dim == 640 else [(dim, False)]
    squeezed = {80: 24, 160: 40, 320: 80, 640: 160}
    for i, (dim, squeezes) in enumerate(blocks, 1):
        mixer = f"features.{i}.token_mixer"
        if squeezes is None:
            expected |= named(f"{mixer}.0", of_conv(dim // 2, dim // 2, 3, dim // 2))
            expected |= named(f"{mixer}.2", of_conv(dim // 2, dim, 1))
        else:
            expected |= named(f"{mixer}.0.conv", of_conv(dim, dim, 3, dim))
            expected |= named(f"{mixer}.0.conv1", {"weight": (dim, 1, 1, 1), "bias": (dim,)})
            expected |= named(f"{mixer}.0.bn", of_norm(dim))
        if squeezes:
            few = squeezed[dim]
            expected |= named(f"{mixer}.1.fc1", {"weight": (few, dim, 1, 1), "bias": (few,)})
            expected |= named(f"{mixer}.1.fc2", {"weight": (dim, few, 1, 1), "bias": (dim,)})
        expected |= named(f"features.{i}.channel_mixer.m.0", of_conv(dim, 2 * dim, 1))
        expected |= named(f"features.{i}.channel_mixer.m.2", of_conv(2 * dim, dim, 1))
    assert len(blocks) == 54
    assert shapes == expected
    found = detect_layout(state)
    assert (found.family, found.names) == ("sam", "meta")


def test_there_and_back(tmp_path):
    network = make(tiny_rep_vit_sam())
    save_network(network, tmp_path / "mine.safetensors")
    convert(tmp_path / "mine.safetensors", tmp_path / "mine.pt", layout="meta")
    names = torch.load(tmp_path / "mine.pt", weights_only=True)
    assert "mask_decoder.transformer.layers.1.mlp.lin2.bias" in names
    assert "image_encoder.features.1.token_mixer.1.fc1.bias" in names
    back = load_network(tmp_path / "mine.pt")
    assert back.config.image_encoder == network.config.image_encoder
    assert all(torch.equal(back.state_dict()[n], t) for n, t in network.state_dict().items())
