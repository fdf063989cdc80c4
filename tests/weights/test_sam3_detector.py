"""The names of SAM 3's detector in Meta's file; of transformers: image_predictor/test_find."""

import re
import tempfile
import weakref
from pathlib import Path

import pytest
import torch
from whole_sam3 import DIM, save_whole_sam3

from samkit.errors import CheckpointError
from samkit.nn.detector import Detector
from samkit.sizes import DetectorConfig, TextEncoderConfig
from samkit.weights import detector as detector_module
from samkit.weights import load_detector
from samkit.weights.keys_sam3_detector import META
from samkit.weights.loading import take_own

TRUNK_DIM = 32  # of `save_whole_sam3`
TEXT = "backbone.language_backbone"
NAMES = (
    (r"^neck\.", "backbone.vision_backbone."),
    (r"^text_encoder\.resizer", f"{TEXT}.resizer"),
    (r"^text_encoder\.norm", f"{TEXT}.encoder.ln_final"),
    (r"^text_encoder\.blocks\.(\d+)\.norm", rf"{TEXT}.encoder.transformer.resblocks.\1.ln_"),
    (r"^text_encoder\.blocks", f"{TEXT}.encoder.transformer.resblocks"),
    (r"^text_encoder", f"{TEXT}.encoder"),
    (r"(resblocks\.\d+\.mlp)\.layers\.0", r"\1.c_fc"),
    (r"(resblocks\.\d+\.mlp)\.layers\.1", r"\1.c_proj"),
    (r"^geometry_encoder\.layers", "geometry_encoder.encode"),
    (r"^encoder", "transformer.encoder.layers"),
    (r"^decoder", "transformer.decoder"),
    (r"((?:encode|encoder\.layers)\.\d+)\.cross_attn\.", r"\1.cross_attn_image."),
    (r"((?:encode|layers)\.\d+)\.mlp\.layers\.0", r"\1.linear1"),
    (r"((?:encode|layers)\.\d+)\.mlp\.layers\.1", r"\1.linear2"),
    (r"^segmentation_head\.(conv_layers|norms)", r"segmentation_head.pixel_decoder.\1"),
    (r"^segmentation_head\.mask_embed", "segmentation_head.mask_predictor.mask_embed"),
    (r"^dot_prod_scoring\.out_norm", "dot_prod_scoring.prompt_mlp.out_norm"),
)


@pytest.fixture
def detector():
    torch.manual_seed(0)
    sizes = DetectorConfig(
        text=TextEncoderConfig(dim=16, depth=2, heads=2, mlp_dim=16),
        heads=4,
        mlp_dim=40,
        exemplar_layers=2,
        encoder_layers=2,
        decoder_layers=2,
        queries=9,
    )
    return Detector(sizes, 32, 16)


def as_meta(state):
    """The tensors as sam3.pt has them: queries, keys and values of attention are one."""
    result = {}
    for name, tensor in state.items():
        for ours, theirs in NAMES:
            name = re.sub(ours, theirs, name)
        fused = re.fullmatch(r"(.*)\.[qkv]_proj\.(weight|bias)", name)
        if fused:
            name = f"{fused[1]}.in_proj_{fused[2]}"
            tensor = torch.cat([result.get(f"detector.{name}", tensor[:0]), tensor])
        result[f"detector.{name}"] = tensor
    return result


def test_names_of_meta(detector):
    state = detector.state_dict()
    theirs = as_meta(state)
    found = META.to_samkit(theirs)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    back = META.from_samkit(state)
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in theirs.items())


def test_file_of_other_sizes(detector, tmp_path):
    """Meta's file does not say its sizes, which are the published ones."""
    state = as_meta(detector.state_dict())
    state["tracker.sam_mask_decoder.iou_token.weight"] = torch.zeros(1, 32)
    torch.save({"model": state}, tmp_path / "sam3.pt")
    with pytest.raises(CheckpointError, match=r"text_encoder\.token_embedding\.weight"):
        load_detector(tmp_path / "sam3.pt", 32, 16)


def test_file_without_a_detector(tmp_path):
    name = "tracker.sam_mask_decoder.iou_token.weight"
    torch.save({name: torch.zeros(1, 32)}, tmp_path / "sam3.pt")
    with pytest.raises(CheckpointError, match="holds no detector of concepts"):
        load_detector(tmp_path / "sam3.pt", 32, 16)


def test_no_tensor_is_held_while_the_next_one_is_copied(tmp_path, monkeypatch):
    save_whole_sam3(tmp_path)
    held = []

    def watch(state):
        state |= {name: tensor.bfloat16() for name, tensor in state.items()}
        read = [weakref.ref(tensor) for tensor in state.values()]
        copies = take_own(state)
        held.extend(one for one in read if one() is not None)
        return copies

    monkeypatch.setattr(detector_module, "take_own", watch)
    load_detector(tmp_path, DIM, TRUNK_DIM)
    assert not held


@pytest.mark.parametrize("full", [False, True])
def test_of_the_vocabulary_few_rows_are_in_memory(tmp_path, monkeypatch, full):
    """It lies in a temporary file; where none can be written it is read into memory."""
    (tmp_path / "sam3").mkdir()
    model = save_whole_sam3(tmp_path / "sam3").detector_model
    if full:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    weight = load_detector(tmp_path / "sam3", DIM, TRUNK_DIM).text_encoder.token_embedding.weight
    assert torch.equal(weight, model.text_encoder.text_model.embeddings.token_embedding.weight)
    maps = Path("/proc/self/maps")
    if maps.exists():  # of Linux
        ranges = [line.split() for line in maps.read_text().splitlines()]
        address = weight.data_ptr()
        (name,) = (
            " ".join(rest[4:])
            for place, *rest in ranges
            if int(place.split("-")[0], 16) <= address < int(place.split("-")[1], 16)
        )
        assert ("(deleted)" in name) != full
