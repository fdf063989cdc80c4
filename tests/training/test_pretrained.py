"""The trunk of pico against EfficientNet-Lite as it was published, on the same weights."""

from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F
from tiny import tiny_pico, tiny_sam2

from samkit.errors import InputError, MissingDependencyError
from samkit.nn import build
from samkit.nn.efficientnet_lite import EfficientNetLite
from samkit.sizes import EfficientNetLiteConfig, pico
from samkit.training import pretrained
from samkit.training.pretrained import PACKAGE, load_imagenet, load_trunk, published_weights

# Kernel, stride, expansion, and channels and depth of the size "lite2" for each stage.
LITE2 = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 3),
    (5, 2, 6, 48, 3),
    (3, 2, 6, 88, 4),
    (5, 1, 6, 120, 4),
    (5, 2, 6, 208, 5),
    (3, 1, 6, 352, 1),
)


def published_forward(weights, pixels, stages=LITE2):
    """The features of each stage; written from the paper and TensorFlow's padding "SAME"."""

    def conv(x, name, stride=1, groups=1):
        weight = weights[f"{name}.weight"]
        kernel = weight.shape[-1]
        pads = []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), weight, stride=stride, groups=groups)

    def norm(x, name):
        values = (weights[f"{name}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *values, eps=1e-3)

    x = F.relu6(norm(conv(pixels, "_conv_stem", 2), "_bn0"))
    features, i = [], 0
    for _, stride, expansion, _, depth in stages:
        for k in range(depth):
            name, y = f"_blocks.{i}", x
            if expansion > 1:
                y = F.relu6(norm(conv(y, f"{name}._expand_conv"), f"{name}._bn0"))
            step = stride if k == 0 else 1
            y = conv(y, f"{name}._depthwise_conv", step, groups=y.shape[1])
            y = F.relu6(norm(y, f"{name}._bn1"))
            y = norm(conv(y, f"{name}._project_conv"), f"{name}._bn2")
            x = x + y if k else y
            i += 1
        features.append(x)
    return features


def random_weights(stem, stages):
    generator = torch.Generator().manual_seed(0)
    weights = {}

    def add(conv, norm, *shape):
        fan_in = shape[1] * shape[2] * shape[3]
        weights[f"{conv}.weight"] = torch.randn(shape, generator=generator) / fan_in**0.5
        weights[f"{norm}.weight"] = torch.rand(shape[0], generator=generator) + 0.5
        weights[f"{norm}.bias"] = torch.randn(shape[0], generator=generator)
        weights[f"{norm}.running_mean"] = torch.randn(shape[0], generator=generator)
        weights[f"{norm}.running_var"] = torch.rand(shape[0], generator=generator) + 0.5

    add("_conv_stem", "_bn0", stem, 3, 3, 3)
    dim, i = stem, 0
    for kernel, _, expansion, out, depth in stages:
        for _ in range(depth):
            hidden = dim * expansion
            if expansion > 1:
                add(f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0", hidden, dim, 1, 1)
            add(f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1", hidden, 1, kernel, kernel)
            add(f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2", out, hidden, 1, 1)
            dim, i = out, i + 1
    return weights


def unnormalised(trunk):
    trunk.norms = torch.nn.ModuleList([torch.nn.Identity()] * 4)
    return trunk.eval()


def assert_parity(trunk, weights, pixels, stages=LITE2):
    load_trunk(trunk, weights)
    with torch.no_grad():
        ours, theirs = unnormalised(trunk)(pixels), published_forward(weights, pixels, stages)
    for stage, mine in zip((1, 2, 4, 6), ours, strict=True):
        difference = (mine - theirs[stage]).abs().max() / theirs[stage].std()
        assert difference < 1e-4, (stage, difference)


@pytest.mark.parametrize("size", [(64, 96), (160, 32)])
def test_parity_on_random_weights(size):
    sizes = tiny_pico().image_encoder
    shape = zip(LITE2, sizes.dims, sizes.depths, strict=True)
    stages = [(kernel, stride, factor, dim, n) for (kernel, stride, factor, *_), dim, n in shape]
    weights = random_weights(sizes.stem_dim, stages)
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    assert_parity(EfficientNetLite(sizes), weights, pixels, stages)


@pytest.mark.skipif(find_spec(PACKAGE.replace("-", "_")) is None, reason=f"needs {PACKAGE}")
def test_parity_on_the_published_weights():
    pixels = torch.rand(1, 3, 160, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert_parity(EfficientNetLite(EfficientNetLiteConfig()), published_weights(), pixels)
    network = build(pico())
    load_imagenet(network)
    stem = network.image_encoder.trunk.stem.weight
    assert torch.equal(stem[:, :, 0], torch.zeros_like(stem[:, :, 0]))  # the padding


def test_weights_of_another_size():
    weights = random_weights(8, [(k, s, e, 8, 1) for k, s, e, *_ in LITE2])
    with pytest.raises(InputError, match="_conv_stem of"):
        load_trunk(EfficientNetLite(EfficientNetLiteConfig()), weights)


def test_another_trunk():
    with pytest.raises(InputError, match="EfficientNet-Lite"):
        load_imagenet(build(tiny_sam2()))


def test_the_package_is_missing(monkeypatch):
    monkeypatch.setattr("samkit.training.pretrained.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=f"pip install {PACKAGE}"):
        load_imagenet(build(tiny_pico()))


def test_features_of_an_image_do_not_depend_on_others():
    torch.manual_seed(0)
    trunk = EfficientNetLite(tiny_pico().image_encoder).train()
    pixels = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        together, alone = trunk(pixels), trunk(pixels[1:2])
    for many, one in zip(together, alone, strict=True):
        torch.testing.assert_close(many[1:2], one, rtol=1e-4, atol=1e-5)


def test_norms_learn_where_the_stages_are_frozen():
    trunk = EfficientNetLite(tiny_pico().image_encoder)
    trunk.stages.requires_grad_(False)
    trunk.stem.requires_grad_(False)
    sum(maps.square().sum() for maps in trunk(torch.randn(4, 3, 64, 64))).backward()
    assert all(norm.weight.grad is not None for norm in trunk.norms)


@pytest.mark.parametrize("files", [[], ["a.pth", "b.pth"], None])
def test_a_package_that_is_damaged(tmp_path, monkeypatch, files):
    if files is not None:
        (tmp_path / "models").mkdir()
        for name in files:
            (tmp_path / "models" / name).touch()
    monkeypatch.setattr(pretrained, "find_spec", lambda name: object())
    monkeypatch.setattr(pretrained, "files", lambda name: tmp_path)
    with pytest.raises(InputError, match="install it again"):
        published_weights()


@pytest.mark.parametrize("weights", [{}, {"_bn0.weight": None}, {"_bn0.weight": torch.ones(3)}])
def test_weights_of_something_else(weights):
    with pytest.raises(InputError, match="imagenet: expected the weights of a trunk"):
        load_trunk(EfficientNetLite(EfficientNetLiteConfig()), weights)
