"""EdgeTAM gives what EdgeTamModel and EdgeTamVideoModel of transformers give.

Their image encoder is timm's RepViT. Here a plain one, under timm's names, stands in its place, so
that nothing else is needed; where timm is installed, the plain one is compared with it.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nn.parity.test_video import Theirs, assert_same
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    EdgeTamConfig,
    EdgeTamModel,
    EdgeTamVideoConfig,
    EdgeTamVideoModel,
    EdgeTamVisionConfig,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.edgetam_video.modeling_edgetam_video import EdgeTamVideoInferenceSession

from samkit import ImagePredictor, Prompt, VideoPredictor
from samkit.nn import Sam2
from samkit.nn.memory import MemoryTokens
from samkit.nn.position_encoding import sine_positions
from samkit.sizes import RepViTConfig
from samkit.weights import convert, load_network

SIZE, GRID, SIDE, LATENTS = 128, 8, 4, 6
DIM = 128  # twice that of a memory, so that a pointer becomes two of its tokens
IMAGE_SIZE = 256  # of a network without its memory, which then has 16 x 16 windows
DIMS, DEPTHS = [16, 24, 32, 48], [1, 2, 3, 1]


class PlainRepVit(nn.Module):
    """RepViT from its paper (2307.09283, figure 4), written as one loop over plain functions."""

    def __init__(self, embed_dim, depth, in_chans, **_):
        super().__init__()
        self.depth = depth
        self.stem = nn.ModuleDict(
            {
                "conv1": folded(in_chans, embed_dim[0] // 2, 3),
                "conv2": folded(embed_dim[0] // 2, embed_dim[0], 3),
            }
        )
        before = embed_dim[0]
        for i, (dim, count) in enumerate(zip(embed_dim, depth, strict=True)):
            stage = nn.ModuleDict()
            if i > 0:
                stage["downsample"] = nn.ModuleDict(
                    {
                        "pre_block": block(before, squeeze=False),
                        "spatial_downsample": folded(before, before, 3, before),
                        "channel_downsample": folded(before, dim, 1),
                        "ffn": mixer(dim),
                    }
                )
            stage["blocks"] = nn.ModuleList(block(dim, squeeze=j % 2 == 0) for j in range(count))
            self.add_module(f"stages_{i}", stage)
            before = dim

    def forward(self, x):
        x = apply(self.stem["conv2"], F.gelu(apply(self.stem["conv1"], x, 2)), 2)
        maps = []
        for i in range(len(self.depth)):
            stage = getattr(self, f"stages_{i}")
            if "downsample" in stage:
                down = stage["downsample"]
                x = run(down["pre_block"], x)
                x = apply(down["channel_downsample"], apply(down["spatial_downsample"], x, 2))
                x = x + mix(down["ffn"], x)
            for each in stage["blocks"]:
                x = run(each, x)
            maps.append(x)
        return maps


def folded(in_dim, dim, kernel, groups=1):
    conv = nn.Conv2d(in_dim, dim, kernel, groups=groups, bias=False)
    return nn.ModuleDict({"c": conv, "bn": nn.BatchNorm2d(dim)})


def apply(layer, x, stride=1):
    conv, norm = layer["c"], layer["bn"]
    scale = norm.weight / (norm.running_var + 1e-5).sqrt()
    weight = conv.weight * scale[:, None, None, None]
    bias = norm.bias - norm.running_mean * scale
    return F.conv2d(x, weight, bias, stride, conv.kernel_size[0] // 2, groups=conv.groups)


def mixer(dim):
    return nn.ModuleDict({"conv1": folded(dim, 2 * dim, 1), "conv2": folded(2 * dim, dim, 1)})


def mix(layer, x):
    return apply(layer["conv2"], F.gelu(apply(layer["conv1"], x)))


def block(dim, *, squeeze):
    parts = {
        "token_mixer": nn.ModuleDict(
            {"conv": folded(dim, dim, 3, dim), "conv1": folded(dim, dim, 1, dim)}
        ),
        "channel_mixer": mixer(dim),
    }
    if squeeze:
        hidden = max(8, int(dim / 4 + 4) // 8 * 8)
        parts["se"] = nn.ModuleDict(
            {"fc1": nn.Conv2d(dim, hidden, 1), "fc2": nn.Conv2d(hidden, dim, 1)}
        )
    return nn.ModuleDict(parts)


def run(layer, x):
    mixer = layer["token_mixer"]
    x = apply(mixer["conv"], x) + apply(mixer["conv1"], x) + x
    if "se" in layer:
        mean = x.mean((2, 3))[..., None, None]
        x = x * layer["se"]["fc2"](layer["se"]["fc1"](mean).clamp(min=0)).sigmoid()
    return x + mix(layer["channel_mixer"], x)


class PlainConfig(PretrainedConfig):
    model_type = "plain_repvit"

    def __init__(self, architecture="repvit_m1", model_args=None, **rest):
        self.architecture, self.model_args = architecture, model_args
        super().__init__(**rest)


class PlainModel(PreTrainedModel):
    config_class = PlainConfig

    def __init__(self, config):
        super().__init__(config)
        self.timm_model = PlainRepVit(**config.model_args)
        self.post_init()

    def forward(self, pixels, **_):
        return BaseModelOutput(last_hidden_state=self.timm_model(pixels))


AutoConfig.register("plain_repvit", PlainConfig)
AutoModel.register(PlainConfig, PlainModel)


def image_part(size, dim):
    arguments = {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]}
    vision = EdgeTamVisionConfig(
        backbone_config=PlainConfig(
            model_args={**arguments, "embed_dim": DIMS, "depth": DEPTHS},
        ),
        backbone_channel_list=DIMS[::-1],
        backbone_feature_sizes=[[size // stride] * 2 for stride in (4, 8, 16)],
        fpn_hidden_size=dim,
    )
    prompts = {"hidden_size": dim, "image_size": size, "mask_input_channels": 8}
    decoder = {
        "hidden_size": dim,
        "mlp_dim": 40,
        "num_attention_heads": 4,
        "iou_head_hidden_dim": 24,
    }
    return {
        "vision_config": vision,
        "prompt_encoder_config": prompts,
        "mask_decoder_config": decoder,
    }


MEMORY_PART = {
    "image_size": SIZE,
    "enable_temporal_pos_encoding_for_object_pointers": False,
    "enable_occlusion_spatial_embedding": False,
    "memory_attention_hidden_size": DIM,
    "memory_attention_mlp_hidden_size": 48,
    "memory_attention_rope_feat_sizes": [GRID, GRID],
    "memory_attention_rope_k_sizes": [SIDE, SIDE],
    "perceiver_resampler_num_latents": LATENTS,
    "perceiver_resampler_num_latents_2d": SIDE**2,
    "memory_encoder_hidden_size": DIM,
    "mask_downsampler_embed_dim": DIM,
    "memory_fuser_embed_dim": DIM,
    "memory_fuser_intermediate_dim": 4 * DIM,
    "memory_fuser_num_layers": 1,
    "num_maskmem": 5,
}


def randomised(model, randomise):
    randomise(model)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.abs_().add_(0.5)
        if name.endswith("bn.weight"):  # each layer adds to the one before
            tensor.mul_(0.2).add_(1)
    return model.eval()


@pytest.fixture
def image_pair(tmp_path, randomise):
    torch.manual_seed(0)
    config = EdgeTamConfig(**image_part(IMAGE_SIZE, 64))
    theirs = randomised(EdgeTamModel(config), randomise)
    theirs.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="image part of SAM 2 only"):
        ours = load_network(tmp_path)
    assert isinstance(ours, Sam2)
    assert ours.config.image_encoder == RepViTConfig(dims=tuple(DIMS), depths=tuple(DEPTHS))
    return ours, theirs


@pytest.fixture
def video_pair(tmp_path, randomise):
    torch.manual_seed(0)
    config = EdgeTamVideoConfig(**image_part(SIZE, DIM), **MEMORY_PART)
    theirs = randomised(EdgeTamVideoModel(config), randomise)
    theirs.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(9.0)  # objects are present
    theirs.save_pretrained(tmp_path)
    ours = load_network(tmp_path)
    assert ours.has_memory
    return ours, theirs


@pytest.fixture
def pixels():
    return torch.randn(1, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_image_embedding(image_pair, pixels, assert_close):
    ours, theirs = image_pair
    expected = theirs.vision_encoder(pixels).fpn_hidden_states
    for mine, want in zip(ours.image_encoder(pixels), expected, strict=True):
        assert_close(mine, want, f"map of {tuple(want.shape[-2:])}")
    features = ours.encode_image(pixels)
    stride4, stride8, stride16 = theirs.get_image_embeddings(pixels)
    assert_close(ours.without_memory(features).embedding, stride16, "embedding")
    assert_close(features.high_resolution[0], stride4, "stride 4")
    assert_close(features.high_resolution[1], stride8, "stride 8")


@torch.inference_mode()
def test_every_kind_of_prompt(image_pair, pixels, case_name, make_case, assert_close):
    ours, theirs = image_pair
    case = make_case(case_name, size=IMAGE_SIZE, family="sam2")
    prediction = ours.decode_masks(ours.encode_image(pixels), case.ours)
    expected = theirs(pixels, **case.theirs, multimask_output=True)
    assert_close(prediction.logits[:, 1:], expected.pred_masks[0], "logits")
    assert_close(prediction.iou[:, 1:], expected.iou_scores[0], "IoU")
    assert_close(prediction.object_score, expected.object_score_logits[0], "object score")
    single = ours.mask_decoder.single(prediction)
    expected = theirs(pixels, **case.theirs, multimask_output=False)
    assert_close(single.logits, expected.pred_masks[0], "logits of the single mask")
    assert_close(single.iou, expected.iou_scores[0], "IoU of the single mask")


@torch.inference_mode()
def test_perceiver(video_pair, assert_close):
    ours, theirs = video_pair
    maps = torch.randn(2, 64, GRID, GRID, generator=torch.Generator().manual_seed(2))
    where = sine_positions(64, GRID, GRID)
    # One at a time: it takes no more.
    tokens = torch.cat([theirs.spatial_perceiver(one, where)[0] for one in maps.split(1)])
    positions = theirs.spatial_perceiver(maps[:1], where)[1]
    assert tokens.shape[1] == LATENTS + SIDE**2
    assert_close(ours.spatial_perceiver(maps), tokens, "tokens")
    assert_close(ours.memory_positions((GRID, GRID)), positions[0], "positions")


@pytest.mark.parametrize("memories", [1, 3])
@pytest.mark.parametrize("pointers", [0, 4])
@torch.inference_mode()
def test_memory_attention(video_pair, assert_close, memories, pointers):
    ours, theirs = video_pair
    generator = torch.Generator().manual_seed(2)
    count = memories * (LATENTS + SIDE**2) + pointers
    features = torch.randn(1, DIM, GRID, GRID, generator=generator)
    tokens = torch.randn(1, count, 64, generator=generator)
    positions = torch.randn(1, count, 64, generator=generator)

    def sequence(maps):
        return maps.flatten(2).permute(2, 0, 1)

    expected = theirs.memory_attention(
        current_vision_features=sequence(features),
        memory=tokens.transpose(0, 1),
        current_vision_position_embeddings=sequence(sine_positions(DIM, GRID, GRID)),
        memory_posision_embeddings=positions.transpose(0, 1),
        num_object_pointer_tokens=pointers,
        num_spatial_memory_tokens=memories,
    )
    actual = ours.memory_attention(
        features, MemoryTokens(tokens=tokens, positions=positions, pointer_tokens=pointers)
    )
    assert_close(actual.flatten(2).transpose(1, 2), expected.reshape(1, -1, DIM), "features")


def test_tracking(video_pair):
    ours, theirs = video_pair
    y, x = np.mgrid[:SIZE, :SIZE]
    video = []
    for t in range(10):
        frame = np.stack([x, y, 128 + 60 * np.sin(x / 20 + t / 5)], -1)
        frame[20:60, 10 + 4 * t : 40 + 4 * t] = [250, 40, 40]
        frame[np.hypot(y - 90, x - 100 + 5 * t) < 15] = [30, 240, 90]
        video.append(frame.clip(0, 255).astype(np.uint8))
    predictor = ImagePredictor(ours, device="cpu", dtype="float32")
    tracker = VideoPredictor(predictor, np.stack(video))
    peer = Theirs(theirs, predictor, np.stack(video), EdgeTamVideoInferenceSession)

    tracker.prompt(2, 1, Prompt.box(18, 20, 48, 60))
    peer.prompt(2, 1, [[18.0, 20.0], [48.0, 60.0]], [2, 3])
    masks = tracker.prompt(2, 2, Prompt.point(90, 90))
    assert_same(masks, peer.prompt(2, 2, [[90.0, 90.0]], [1]), "prompts")
    for frame, masks in tracker.track("both", start=2):
        assert_same(masks, peer.step(frame, backward=frame < 2), f"frame {frame}")
        if frame == 6:
            corrected = tracker.prompt(6, 1, Prompt.point(50, 40, label=0))
            assert_same(corrected, peer.prompt(6, 1, [[50.0, 40.0]], [0]), "correction")


def test_converted_files_load_in_transformers(video_pair, tmp_path):
    """The names go there and back; the image encoder's type is timm's in what is written."""
    ours = video_pair[0]
    convert(tmp_path, tmp_path / "meta.pt", layout="meta")
    names = torch.load(tmp_path / "meta.pt", weights_only=True)["model"]
    assert names["spatial_perceiver.layers.1.attn.to_kv.weight"].shape == (128, 64)
    assert "image_encoder.trunk.body.stages_2.downsample.channel_downsample.bn.bias" in names
    back = load_network(tmp_path / "meta.pt").state_dict()
    assert all(torch.equal(back[name], tensor) for name, tensor in ours.state_dict().items())
    convert(tmp_path / "meta.pt", tmp_path / "folder", layout="hugging-face")
    written = load_file(tmp_path / "folder" / "model.safetensors")
    expected = load_file(tmp_path / "model.safetensors")
    twice = "prompt_encoder.shared_embedding.positional_embedding"
    assert written.keys() == expected.keys() | {twice}
    assert all(torch.equal(written[name], tensor) for name, tensor in expected.items())


@torch.inference_mode()
def test_plain_image_encoder_is_that_of_timm(assert_close):
    timm = pytest.importorskip("timm")  # with torchvision, too much for every run
    theirs = timm.create_model(
        "repvit_m1", features_only=True, out_indices=[0, 1, 2, 3], embed_dim=DIMS, depth=DEPTHS
    ).eval()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in theirs.state_dict().items():
        if tensor.is_floating_point():
            tensor.normal_(0, 0.3, generator=generator)
        if name.endswith("running_var"):
            tensor.abs_().add_(0.5)
    plain = PlainRepVit(DIMS, DEPTHS, 3).eval()
    plain.load_state_dict(theirs.state_dict())
    pixels = torch.randn(2, 3, 64, 96, generator=generator)
    for mine, want in zip(plain(pixels), theirs(pixels), strict=True):
        assert_close(mine, want, f"map of {tuple(want.shape[-2:])}")
