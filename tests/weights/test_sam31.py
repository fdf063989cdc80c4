"""SAM 3.1: the image part of Meta's multiplex file, under its own names."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import httpx
import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError
from nn.parity.test_sam3 import as_meta
from tiny import make, tiny_sam3, tiny_sam31
from weights.helpers import same_weights
from weights.test_sam3_detector import as_meta as detector_as_meta

import samkit
from samkit.errors import CheckpointError, CheckpointKeysError, DownloadError, InputError
from samkit.nn import PromptTensors, build
from samkit.nn.detector import Detector
from samkit.sizes import DetectorConfig, TextEncoderConfig, sam3
from samkit.weights import MODELS, convert, load_network, save_network
from samkit.weights.keys_sam3 import META_31
from samkit.weights.keys_sam3_detector import META as DETECTOR

KEYS = Path(__file__).parents[3] / "shared" / "specs" / "keys" / "meta_sam3.1_tracker.txt"
OF_CLICKS = r"^tracker\.(sam_prompt_encoder|sam_mask_decoder|obj_ptr_proj|mask_downsample)"
# Some of what the file holds beside that, with other shapes than SAM 3's.
MULTIPLEX = (
    "detector.backbone.vision_backbone.propagation_convs.0.conv_1x1.weight",
    "tracker.model.sam_mask_decoder.mask_tokens.weight",
    "tracker.model.sam_mask_decoder.conv_s0.bias",
    "tracker.model.transformer.encoder.layers.3.image_cross_attn_q_proj.weight",
    "tracker.model.transformer.encoder.norm.bias",
    "tracker.model.maskmem_backbone.mask_downsampler.encoder.0.weight",
    "tracker.model.maskmem_backbone.fuser.layers.1.gamma",
    "tracker.model.maskmem_tpos_enc",
    "tracker.model.image_pe_layer.positional_encoding_gaussian_matrix",
    "tracker.model.obj_ptr_proj.layers.0.weight",
    "tracker.model.obj_ptr_tpos_proj.weight",
    "tracker.model.no_obj_ptr_linear.weight",
    "tracker.model.no_obj_embed_spatial",
    "tracker.model.output_valid_embed",
    "tracker.model.output_invalid_embed",
)


def as_multiplex(state_of_sam3):
    """The tensors of SAM 3 as far as SAM 3.1 has them, where it has them."""
    result = {}
    for name, tensor in as_meta(state_of_sam3).items():
        name = name.replace("sam2_convs", "interactive_convs")
        name = re.sub(OF_CLICKS, r"tracker.model.interactive_\1", name)
        name = name.replace("tracker.no_mem_embed", "tracker.model.interactivity_no_mem_embed")
        if not name.startswith("tracker.") or name.startswith("tracker.model."):
            result[name] = tensor
    is_fourth = re.compile(r".*\.interactive_convs\.3\..*").fullmatch
    result = {name: tensor for name, tensor in result.items() if not is_fourth(name)}
    return result | {name: torch.zeros(3, 5) for name in MULTIPLEX}


@pytest.fixture
def older():
    return make(tiny_sam3())


@pytest.fixture
def file(older, tmp_path, monkeypatch):
    """It has the name of the published one, as the sizes do not follow from tensors alone."""
    monkeypatch.setitem(MODELS, "sam3.1", replace(MODELS["sam3.1"], config=tiny_sam31()))
    path = tmp_path / "sam3.1_multiplex.pt"
    torch.save({"model": as_multiplex(older.state_dict())}, path)
    return path


@torch.inference_mode()
def test_the_same_weights_give_the_same(older, file):
    newer = load_network(file)
    assert not newer.has_memory
    pixels = torch.randn(1, 3, *older.config.image_size, generator=torch.manual_seed(0))
    expected, found = older.encode_image(pixels), newer.encode_image(pixels)
    for want, got in zip(expected.tensors, found.tensors, strict=True):
        assert torch.equal(want, got)
    prompts = replace(
        PromptTensors.nothing(1, torch.device("cpu")),
        points=torch.tensor([[[20.0, 30.0], [50.0, 10.0]]]),
        labels=torch.tensor([[1, 0]]),
    )
    want, got = older.decode_masks(expected, prompts), newer.decode_masks(found, prompts)
    assert torch.equal(want.logits, got.logits)
    # The authors put no sigmoid there.
    torch.testing.assert_close(want.iou, got.iou.sigmoid())


@pytest.fixture
def released(older, monkeypatch):
    """As if there were a released trunk as small as that."""
    encoder = replace(older.config.image_encoder, patch_size=14)
    monkeypatch.setattr("samkit.weights.infer.PeViTConfig", lambda: encoder)


@pytest.mark.usefixtures("released")
def test_sizes_are_told_by_the_tensors(file, older):
    config = load_network(file.rename(file.with_name("other.pt"))).config
    assert config.family == "sam3.1"
    assert config.image_encoder.neck_levels == 3
    assert not config.mask_decoder.iou_sigmoid
    assert (config.image_size, config.dim) == ((1008, 1008), older.config.dim)


def test_own_files(file, tmp_path):
    network = load_network(file)
    save_network(network, tmp_path / "own.safetensors")
    again = load_network(tmp_path / "own.safetensors")
    assert again.config == network.config
    assert same_weights(again, network)


def test_what_no_other_layout_holds(file, tmp_path):
    own = tmp_path / "own.safetensors"
    save_network(load_network(file), own)
    for layout in ("meta", "ultralytics"):
        with pytest.raises(CheckpointError, match=r"its memory \(multiplex\), which samkit leaves"):
            convert(own, tmp_path / "back.pt", layout=layout)
    with pytest.raises(CheckpointError, match="its SAM 3 has a neck of four levels"):
        convert(own, tmp_path / "folder", layout="hugging-face")


def test_names_there_and_back():
    state = make(tiny_sam31()).state_dict()
    theirs = META_31.from_samkit(state)
    assert all(name.startswith(("detector.backbone.", "tracker.model.inter")) for name in theirs)
    back = META_31.to_samkit(theirs)
    back.pop("image_encoder.trunk.class_position")
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in state.items())


@pytest.mark.usefixtures("released")
def test_a_tensor_of_clicks_is_missing(older, file):
    state = as_multiplex(older.state_dict())
    del state["tracker.model.interactivity_no_mem_embed"]
    torch.save(state, file)
    with pytest.raises(CheckpointKeysError, match="no_mem_embed"):
        load_network(file)


@pytest.mark.usefixtures("released")
def test_an_unknown_tensor_is_told(older, file):
    torch.save({**as_multiplex(older.state_dict()), "tracker.model.new": torch.ones(1)}, file)
    with pytest.raises(CheckpointKeysError, match=r"tracker\.model\.new"):
        load_network(file)


@pytest.fixture
def predictor(file):
    return samkit.load(file, device="cpu", dtype="float32")


def test_images(predictor):
    image = np.random.default_rng(0).integers(0, 255, (50, 80, 3), np.uint8)
    assert len(predictor.predict(image, samkit.Prompt.box(10, 5, 60, 40), candidates=3)) == 3
    generator = samkit.AutomaticMaskGenerator(
        predictor, points_per_side=3, pred_iou_thresh=0, stability_score_thresh=0
    )
    assert len(generator(image)) > 0


def test_what_needs_a_memory_says_what_to_take(predictor):
    video = np.zeros((2, 48, 64, 3), np.uint8)
    expected = (
        r"needs a memory, and of SAM 3\.1 samkit has the part for images alone.*take sam3, which"
    )
    with pytest.raises(InputError, match=f"tracking {expected}"):
        samkit.VideoPredictor(predictor, video)
    with pytest.raises(InputError, match=expected):
        samkit.MemoryPredictor(predictor)


def test_concepts(older, file, monkeypatch):
    sizes = DetectorConfig(
        text=TextEncoderConfig(dim=16, depth=1, heads=2, mlp_dim=16),
        heads=2,
        mlp_dim=24,
        exemplar_layers=1,
        encoder_layers=1,
        decoder_layers=1,
        queries=7,
        neck_levels=3,
    )
    monkeypatch.setattr("samkit.weights.hugging_face_detector.DetectorConfig", lambda: sizes)
    torch.manual_seed(0)
    detector = Detector(sizes, 16, 16).eval()
    torch.save(as_multiplex(older.state_dict()) | detector_as_meta(detector.state_dict()), file)
    image = np.random.default_rng(0).integers(0, 255, (50, 80, 3), np.uint8)
    predictor = samkit.load(file, device="cpu", dtype="float32")
    found = predictor.find(image, ["dog", samkit.Concept(boxes=[[3, 4, 30, 40]])], threshold=0)
    assert found.names.tolist() == ["dog"] * 7 + ["visual"] * 7
    expected = samkit.ImagePredictor(
        predictor.network, device="cpu", dtype="float32", detector=lambda: detector
    ).find(image, "dog", threshold=0)
    assert np.array_equal(found[:7].masks, expected.masks)


def test_gated(monkeypatch):
    request = httpx.Request("GET", "https://huggingface.co")

    def refused(repository, filename, *, local_files_only=False):
        if local_files_only:
            raise LocalEntryNotFoundError("not in the cache")
        assert (repository, filename) == ("facebook/sam3.1", "sam3.1_multiplex.pt")
        raise GatedRepoError("403", response=httpx.Response(403, request=request))

    monkeypatch.setattr("samkit.weights.hub._check_connection", lambda repository: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refused)
    with pytest.raises(DownloadError, match=r"request access at https://.*/facebook/sam3\.1"):
        load_network("sam3.1")


@pytest.mark.skipif(not KEYS.exists(), reason="the list of published names is not there")
def test_every_published_name_is_used_or_left_out():
    with torch.device("meta"):
        network = build(sam3("3.1"))
        detector = Detector(DetectorConfig(neck_levels=3), 256, 1024)
    theirs = META_31.from_samkit(network.state_dict()) | DETECTOR.from_samkit(detector.state_dict())
    ours = {}
    for name, tensor in theirs.items():
        ours.setdefault(re.sub(r"(?<=\.)\d+(?=\.)", "{i}", name), []).append(tuple(tensor.shape))
    used = Counter()
    for line in KEYS.read_text().splitlines():
        name, shape, count = re.fullmatch(r"(\S+) (\(.*\)) x(\d+)", line).groups()
        prefix = "detector." if name.startswith("backbone.") else "tracker.model."
        name = prefix + name
        if name in ours:
            sizes = tuple(int(size) for size in re.findall(r"\d+", shape))
            assert (ours[name][0], len(ours[name])) == (sizes, int(count)), name
            used[name.partition(".")[0]] += int(count)
        else:
            assert META_31.leaves_out(name.replace("{i}", "0")), name
    clicks = [name for name in theirs if name.startswith("tracker.")]
    assert used["tracker"] == len(clicks)
