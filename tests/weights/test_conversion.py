"""Every layout into every other and back, bit for bit."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_pico, tiny_sam2
from transformers import Sam2Model, Sam2VideoModel, SamModel

from samkit.errors import CheckpointError, InputError
from samkit.nn import PromptTensors, build
from samkit.sizes import to_dict
from samkit.weights import MODELS, convert, infer, load_network, save_network
from samkit.weights.checkpoint import read_state_dict
from samkit.weights.conversion import LAYOUTS
from samkit.weights.layouts import is_memory


def identical(one, other):
    """Same names, dtypes and bits."""
    return one.keys() == other.keys() and all(
        one[k].dtype == other[k].dtype and torch.equal(one[k], other[k]) for k in one
    )


def tensors(path):
    return read_state_dict(path).tensors


def weights(config):
    """Weights of that size that are quick to make; the decoder's are in float16."""
    with torch.device("meta"):
        state = build(config).state_dict()
    generator = torch.Generator().manual_seed(0)
    pool = torch.randn(2**16, generator=generator)

    def fill(i, name, tensor):
        if not tensor.is_floating_point():
            return torch.tensor(i)
        count = tensor.numel()
        values = pool.roll(i).repeat(-(-count // len(pool)))[:count].view(tensor.shape)
        return values.to(torch.float16 if name.startswith("mask_decoder") else torch.float32)

    return {name: fill(i, name, tensor) for i, (name, tensor) in enumerate(state.items())}


@pytest.mark.parametrize("there", LAYOUTS)
@pytest.mark.parametrize("back", LAYOUTS)
def test_every_pair(sam, tmp_path, there, back):
    round_trip(sam, tmp_path, there, back)


@pytest.mark.parametrize("there", LAYOUTS)
@pytest.mark.parametrize("back", LAYOUTS)
def test_every_pair_of_sam2(tmp_path, monkeypatch, there, back):
    # Meta's file does not say its sizes, so they have to be released ones.
    config = replace(tiny_sam2(), memory=replace(tiny_sam2().memory, dim=64))
    monkeypatch.setattr(infer, "_RELEASED", (config,))
    path, state = tmp_path / "source.safetensors", weights(config)
    save_file(state, path, {"samkit.config": json.dumps(to_dict(config))})
    check_round_trip(path, state, tmp_path, there, back)


def round_trip(network, folder, there, back):
    path = folder / "source.safetensors"
    save_network(network, path)
    check_round_trip(path, load_file(path), folder, there, back)


def check_round_trip(source, state, folder, there, back):
    """source -> there -> back -> there again, then to samkit: nothing may change."""
    convert(source, folder / "one", layout=there)
    convert(folder / "one", folder / "two", layout=back)
    convert(folder / "two", folder / "three", layout=there)
    assert identical(tensors(folder / "one"), tensors(folder / "three"))
    convert(folder / "three", folder / "four", layout="samkit")
    assert identical(tensors(folder / "four"), state)


@pytest.mark.parametrize("name", ["sam-vit-b", "mobile-sam", "sam2-tiny", "sam2.1-tiny"])
def test_released_sizes_of_meta(tmp_path, name):
    state = weights(MODELS[name].config)
    header = {"samkit.config": json.dumps(to_dict(MODELS[name].config))}
    save_file(state, tmp_path / "source.safetensors", header)
    convert(tmp_path / "source.safetensors", tmp_path / "meta.pt", layout="meta")
    written = torch.load(tmp_path / "meta.pt", weights_only=True, mmap=True)
    assert list(written) == ["model"] if name.startswith("sam2") else "model" not in written
    convert(tmp_path / "meta.pt", tmp_path / "again.safetensors", layout="samkit")
    assert identical(tensors(tmp_path / "again.safetensors"), state)
    # The sizes were told from the tensors alone.
    config = json.loads(read_state_dict(tmp_path / "again.safetensors").metadata["samkit.config"])
    assert config == json.loads(header["samkit.config"])


def test_unused_tensors_are_carried_through(mobile_sam, tmp_path):
    extra = {
        "image_encoder.head.weight": torch.ones(3, 2),
        "image_encoder.head.bias": torch.ones(3),
        "image_encoder.norm_head.weight": torch.ones(2),
        "image_encoder.layers.1.blocks.0.attn.attention_bias_idxs": torch.arange(4).view(2, 2),
    }
    state = {**mobile_sam.state_dict(), **extra}
    torch.save({"model": state}, tmp_path / "mobile.pt")
    # Its sizes are not the released ones, but all of them can be told.
    convert(tmp_path / "mobile.pt", tmp_path / "ours.safetensors", layout="samkit")
    convert(tmp_path / "ours.safetensors", tmp_path / "back.pt", layout="ultralytics")
    assert extra.keys() <= tensors(tmp_path / "ours.safetensors").keys()
    assert tensors(tmp_path / "back.pt").keys() == {
        n.replace("mlp.layers.0", "mlp.lin1").replace("mlp.layers.1", "mlp.lin2") for n in state
    }
    for name in extra:
        assert torch.equal(tensors(tmp_path / "back.pt")[name], extra[name])


def prompts(network):
    size = network.config.image_size[0]
    labels = [[1, 0, -1]]
    points = torch.tensor([[[20.0, 30.0], [50.0, 10.0], [0.0, 0.0]]])
    given = {"input_points": points[:, None, :2], "input_labels": torch.tensor([[[1, 0]]])}
    return size, PromptTensors(points=points, labels=torch.tensor(labels)), given


@torch.inference_mode()
def test_transformers_loads_sam(sam, tmp_path):
    save_network(sam, tmp_path / "x.safetensors")
    convert(tmp_path / "x.safetensors", tmp_path / "hf", layout="hugging-face")
    theirs = SamModel.from_pretrained(tmp_path / "hf").eval()
    size, ours, given = prompts(sam)
    pixels = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    expected = theirs(pixels, **given).pred_masks[0]
    actual = sam.decode_masks(sam.encode_image(pixels), ours).logits[:, 1:]
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("memory", [True, False])
@torch.inference_mode()
def test_transformers_loads_sam2(sam2_network, tmp_path, memory):
    state = {n: t for n, t in sam2_network.state_dict().items() if memory or not is_memory(n)}
    header = {"samkit.config": json.dumps(to_dict(sam2_network.config))}
    save_file(state, tmp_path / "x.safetensors", header)
    convert(tmp_path / "x.safetensors", tmp_path / "hf", layout="hugging-face")
    size, ours, given = prompts(sam2_network)
    pixels = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    prediction = sam2_network.decode_masks(sam2_network.encode_image(pixels), ours)
    if memory:
        theirs = Sam2VideoModel.from_pretrained(tmp_path / "hf").eval()
        features = torch.randn(1, 32, 4, 4)
        masks = torch.randn(1, 1, 64, 64)
        expected = theirs.memory_encoder(features, masks)[0]
        actual = sam2_network.memory_encoder(features, masks)
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
        iou = theirs._single_frame_forward(pixels, **given, multimask_output=True).iou_scores[0]
    else:
        theirs = Sam2Model.from_pretrained(tmp_path / "hf").eval()
        output = theirs(pixels, **given)
        iou = output.iou_scores[0]
        torch.testing.assert_close(
            prediction.logits[:, 1:], output.pred_masks[0], rtol=1e-4, atol=1e-5
        )
    torch.testing.assert_close(prediction.iou[:, 1:], iou, rtol=1e-4, atol=1e-5)


def test_transformers_saves_what_we_wrote(sam2_network, tmp_path):
    save_network(sam2_network, tmp_path / "x.safetensors")
    convert(tmp_path / "x.safetensors", tmp_path / "hf", layout="hugging-face")
    Sam2VideoModel.from_pretrained(tmp_path / "hf").save_pretrained(tmp_path / "again")
    assert identical(tensors(tmp_path / "hf"), tensors(tmp_path / "again"))
    assert load_network(tmp_path / "again").config == sam2_network.config


def test_metadata_is_kept(sam, tmp_path):
    save_network(sam, tmp_path / "x.safetensors", metadata={"who": "me"})
    convert(tmp_path / "x.safetensors", tmp_path / "y.safetensors", layout="samkit")
    assert read_state_dict(tmp_path / "y.safetensors").metadata["who"] == "me"


def test_in_place(sam, tmp_path):
    path = tmp_path / "x"
    save_network(sam, path)
    before = tensors(path)
    before = {name: tensor.clone() for name, tensor in before.items()}
    convert(path, path, layout="meta")
    convert(path, path, layout="samkit")
    assert identical(tensors(path), before)


@pytest.mark.parametrize("layout", ["meta", "hugging-face", "ultralytics"])
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("drawn", "drawn prompts"),
        ("fused", "fusion blocks"),
        ("pico", "an EfficientNet-Lite as image encoder.*drawn prompts.*fusion blocks"),
    ],
)
def test_own_additions_exist_only_here(tmp_path, layout, change, match):
    config = {
        "drawn": tiny_sam2(draw_prompts=True),
        "fused": replace(
            tiny_sam2(), mask_decoder=replace(tiny_sam2().mask_decoder, fusion_blocks=1)
        ),
        "pico": tiny_pico(),
    }[change]
    save_network(build(config), tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=match):
        convert(tmp_path / "x.safetensors", tmp_path / "y", layout=layout)
    assert not (tmp_path / "y").exists()


def test_transformers_has_no_mobile_sam(mobile_sam, tmp_path):
    save_network(mobile_sam, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="MobileSAM"):
        convert(tmp_path / "x.safetensors", tmp_path / "y", layout="hugging-face")
    assert not (tmp_path / "y").exists()


def test_transformers_has_no_rectangles(sam, tmp_path):
    network = build(replace(sam.config, image_size=(64, 96)))
    save_network(network, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="square"):
        convert(tmp_path / "x.safetensors", tmp_path / "y", layout="hugging-face")


def test_unknown_layout(sam, tmp_path):
    with pytest.raises(InputError, match=r"samkit, meta, hugging-face, ultralytics, got 'onnx'"):
        convert(tmp_path / "x.pt", tmp_path / "y.pt", layout="onnx")


def test_target_of_the_wrong_kind(sam, tmp_path):
    save_network(sam, tmp_path / "x.safetensors")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError):
        convert(tmp_path / "x.safetensors", tmp_path / "file", layout="hugging-face")
    with pytest.raises(InputError):
        convert(tmp_path / "x.safetensors", tmp_path, layout="meta")
    assert (tmp_path / "file").read_text() == "mine"


def test_bad_source_leaves_the_target_alone(tmp_path):
    (tmp_path / "y.pt").write_text("mine")
    torch.save({"a": torch.ones(1)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError):
        convert(tmp_path / "x.pt", tmp_path / "y.pt", layout="meta")
    assert (tmp_path / "y.pt").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("layout", ["meta", "ultralytics"])
def test_a_pickle_does_not_get_the_name_of_another_format(sam, tmp_path, layout):
    save_network(sam, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"is a pickle; expected a name such as b\.pt"):
        convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", layout=layout)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_folder_whose_config_cannot_be_written_gets_no_weights(sam, tmp_path):
    save_network(sam, tmp_path / "a.safetensors")
    (tmp_path / "hub" / "config.json").mkdir(parents=True)
    with pytest.raises(InputError, match="expected a file, but it is a folder"):
        convert(tmp_path / "a.safetensors", tmp_path / "hub", layout="hugging-face")
    assert [path.name for path in (tmp_path / "hub").iterdir()] == ["config.json"]
