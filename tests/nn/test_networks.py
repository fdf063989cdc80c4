"""What must hold for every network: sizes, batches, channels, dropout, ragged prompts."""

from dataclasses import replace

import pytest
import torch
from tiny import ALL, make, tiny_mobile_sam, tiny_pico, tiny_sam, tiny_sam2

from samkit import sizes as nn_config
from samkit.nn import ImageFeatures, MaskPrediction, PromptTensors, Sam, Sam2, build
from samkit.nn.memory import Memory, ReachableMemory

CLICK = ([[20.0, 30.0], [0.0, 0.0]], [1, -1])
BOX = ([[10.0, 12.0], [90.0, 70.0], [0.0, 0.0]], [2, 3, -1])
MANY = ([[20.0, 30.0], [50.0, 8.0], [33.0, 99.0], [0.0, 0.0]], [1, 0, 1, -1])


@pytest.fixture(params=list(ALL))
def network(request: pytest.FixtureRequest) -> Sam | Sam2:
    return make(ALL[request.param])


def tensors(*prompts: tuple[list[list[float]], list[int]]) -> PromptTensors:
    length = max(len(labels) for _, labels in prompts)
    points = torch.zeros(len(prompts), length, 2)
    labels = torch.full((len(prompts), length), -2)
    for i, (xy, kinds) in enumerate(prompts):
        points[i, : len(xy)] = torch.tensor(xy)
        labels[i, : len(kinds)] = torch.tensor(kinds)
    return PromptTensors(points=points, labels=labels)


def image(height: int = 128, width: int = 128, count: int = 1, channels: int = 3) -> torch.Tensor:
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(1))


def assert_close(a: torch.Tensor, b: torch.Tensor) -> None:
    """Equal but for rounding, relative to the tensor's scale."""
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * b.abs().max().item())


def assert_equal(a: MaskPrediction, b: MaskPrediction) -> None:
    assert_close(a.logits, b.logits)
    assert_close(a.iou, b.iou)
    assert_close(a.tokens, b.tokens)


@torch.inference_mode()
@pytest.mark.parametrize("size", [(128, 128), (96, 160), (32, 64), (160, 32)])
def test_any_input_size(network: Sam | Sam2, size: tuple[int, int]) -> None:
    features = network.encode_image(image(*size))
    assert features.embedding.shape == (1, 16, size[0] // 16, size[1] // 16)
    assert features.prompt_size == size
    for stride, level in zip((4, 8), features.high_resolution, strict=False):
        assert level.shape[2:] == (size[0] // stride, size[1] // stride)
    prediction = network.decode_masks(features, tensors(CLICK, BOX))
    assert prediction.logits.shape == (2, 4, size[0] // 4, size[1] // 4)
    assert prediction.iou.shape == (2, 4)
    assert prediction.tokens.shape == (2, 4, 16)
    assert prediction.logits.isfinite().all()
    if isinstance(network, Sam2):
        assert prediction.object_score is not None
        assert prediction.object_score.shape == (2, 1)
    else:
        assert prediction.object_score is None


@torch.inference_mode()
def test_a_batch_of_images_is_each_image(network: Sam | Sam2) -> None:
    pixels = image(count=2)
    both = network.encode_image(pixels)
    for i in range(2):
        alone = network.encode_image(pixels[i : i + 1])
        assert_close(both.embedding[i : i + 1], alone.embedding)


@torch.inference_mode()
def test_one_image_serves_all_prompts(network: Sam | Sam2) -> None:
    features = network.encode_image(image())
    prompts = tensors(CLICK, BOX, MANY)
    repeated = features.select(torch.zeros(3, dtype=torch.long))
    shared, own = network.decode_masks(features, prompts), network.decode_masks(repeated, prompts)
    assert_equal(shared, own)


@torch.inference_mode()
def test_prompts_do_not_depend_on_their_company(network: Sam | Sam2) -> None:
    features = network.encode_image(image())
    together = network.decode_masks(features, tensors(CLICK, BOX, MANY))
    for i, prompt in enumerate((CLICK, BOX, MANY)):
        alone = network.decode_masks(features, tensors(prompt))
        assert_equal(
            MaskPrediction(
                logits=together.logits[i : i + 1],
                iou=together.iou[i : i + 1],
                tokens=together.tokens[i : i + 1],
                object_score=None,
            ),
            alone,
        )


@torch.inference_mode()
def test_prompts_with_and_without_mask_in_one_batch(network: Sam | Sam2) -> None:
    features = network.encode_image(image())
    masks = 10 * image(32, 32, count=2, channels=1)
    both = tensors(CLICK, BOX)
    mixed = replace(both, masks=masks, has_mask=torch.tensor([True, False]))
    prediction = network.decode_masks(features, mixed)
    first = network.decode_masks(features, replace(tensors(CLICK), masks=masks[:1]))
    second = network.decode_masks(features, tensors(BOX))
    assert_close(prediction.logits[:1], first.logits)
    assert_close(prediction.logits[1:], second.logits)
    without = network.decode_masks(features, tensors(CLICK)).logits
    assert (first.logits - without).abs().max() > 1e-3 * without.abs().max()


@torch.inference_mode()
def test_a_mask_alone_is_a_prompt(network: Sam | Sam2) -> None:
    features = network.encode_image(image())
    prompts = PromptTensors(
        points=torch.zeros(1, 0, 2),
        labels=torch.zeros(1, 0, dtype=torch.long),
        masks=image(32, 32, channels=1),
    )
    assert network.decode_masks(features, prompts).logits.isfinite().all()


@pytest.mark.parametrize("make_config", [tiny_sam, tiny_mobile_sam, tiny_sam2, tiny_pico])
@pytest.mark.parametrize("channels", [1, 5])
def test_input_channels(make_config: object, channels: int) -> None:
    network = make(make_config(in_channels=channels))  # type: ignore[operator]
    with torch.inference_mode():
        assert network.encode_image(image(channels=channels)).embedding.isfinite().all()


@pytest.mark.parametrize(
    "config",
    [
        tiny_sam(dropout=0.3),
        tiny_sam(attention_dropout=0.3),
        tiny_sam(drop_path=0.5),
        tiny_mobile_sam(dropout=0.3),
        tiny_mobile_sam(drop_path=0.5),
        tiny_sam2(drop_path=0.5),
    ],
    ids=["vit", "vit-attention", "vit-path", "tiny-vit", "tiny-vit-path", "hiera-path"],
)
def test_drop_rates_act_in_training_only(config: nn_config.SamConfig) -> None:
    torch.manual_seed(0)
    network = make(config)
    pixels = image(count=4)
    with torch.no_grad():
        a, b = (network.encode_image(pixels).embedding for _ in range(2))
        assert torch.equal(a, b)
        network.train()
        # Batch norm in training uses the batch itself, so it agrees between calls.
        a, b = (network.encode_image(pixels).embedding for _ in range(2))
        assert not torch.allclose(a, b)


@pytest.mark.parametrize("config", list(ALL.values()), ids=list(ALL))
def test_every_parameter_of_the_image_part_learns(config: nn_config.SamConfig) -> None:
    network = make(config)
    masks = 10 * image(32, 32, count=2, channels=1)
    prompts = replace(
        tensors((BOX[0] + CLICK[0], BOX[1] + CLICK[1]), (MANY[0], [0, 0, 1, -1])),
        masks=masks,
        has_mask=torch.tensor([True, False]),
    )
    prediction = network.decode_masks(network.encode_image(image()), prompts)
    loss = prediction.logits.square().mean() + prediction.iou.square().mean()
    if prediction.object_score is not None:
        loss = loss + prediction.object_score.square().mean()
    loss.backward()
    memory = ("memory", "maskmem", "no_mem_pos", "no_obj", "obj_ptr", "mask_downsample", "spatial")
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    unused = "image_encoder.neck.convs.3.conv_"  # half the resolution, in SAM 3
    idle = [name for name in idle if not name.startswith((*memory, unused))]
    # What the bias of the keys adds is the same for all keys of a query: softmax takes it away.
    assert [name for name in idle if not name.endswith("token_to_image.k_proj.bias")] == []


def test_full_sizes_have_the_published_parameter_counts() -> None:
    counts = {
        "sam-vit-b": (nn_config.sam_vit("b"), 93_735_472),
        "sam-vit-l": (nn_config.sam_vit("l"), 312_342_832),
        "sam-vit-h": (nn_config.sam_vit("h"), 641_090_608),
        "sam2.1-tiny": (nn_config.sam2("tiny"), 38_962_498),
    }
    for name, (config, expected) in counts.items():
        with torch.device("meta"):
            network = build(config)
        assert sum(p.numel() for p in network.parameters()) == expected, name


@pytest.mark.parametrize(
    "config",
    [
        *ALL.values(),
        nn_config.sam_vit("h"),
        nn_config.mobile_sam(),
        nn_config.sam2("large", version="2"),
        nn_config.pico(),
    ],
)
def test_configs_survive_json(config: nn_config.SamConfig) -> None:
    import json

    assert nn_config.from_dict(json.loads(json.dumps(nn_config.to_dict(config)))) == config


def test_pico_is_small() -> None:
    network = build(nn_config.pico())
    assert sum(p.numel() for p in network.parameters()) < 7_000_000
    nn_config.pico().validate()


def test_features_can_be_selected() -> None:
    features = ImageFeatures(embedding=torch.arange(6.0).view(3, 2, 1, 1))
    assert features.select(slice(1, 2)).embedding.flatten().tolist() == [2, 3]
    chosen = features.select(torch.tensor([2, 0]))
    assert chosen.embedding[:, 0].flatten().tolist() == [4, 0]


def test_what_memory_finds_is_added_to_the_features_of_pico() -> None:
    network = make(tiny_pico())
    memory = network.config.memory
    features = network.encode_image(torch.randn(1, 3, 64, 64))
    seen = Memory(tokens=torch.randn(16, memory.dim), pointer=torch.zeros(network.config.dim))
    one = ReachableMemory(memories=((0, seen),), pointers=(), span=1)
    recalled = network.recall(features, [one, one])
    added = network.condition(features, recalled).embedding - features.embedding
    torch.testing.assert_close(added, recalled + network.no_mem_embed.view(1, -1, 1, 1))
