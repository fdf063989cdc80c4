"""Networks of other publishers that have SAM's or SAM 2's tensors: their names and their files."""

from dataclasses import replace

import pytest
import torch
from transformers import SamConfig, SamModel
from weights.helpers import same_weights, write_hugging_face

from samkit.errors import CheckpointError, DownloadError
from samkit.nn import build
from samkit.sizes import HieraConfig, slim_sam
from samkit.weights import MODELS, cache_folder, convert, load_network, save_network
from samkit.weights.registry import RegisteredModel


def write_meta(network, path):
    """A file as the publishers of SAM's relatives write them."""
    own = path.parent / "own.safetensors"
    save_network(network, own)
    convert(own, path, layout="meta")


@pytest.fixture
def by_hand(mobile_sam, monkeypatch):
    """A registered model of whose file no checksum is known."""
    model = RegisteredModel(
        name="micro-sam-vit-t-lm",
        config=mobile_sam.config,
        parameters=1,
        year=2025,
        url="http://127.0.0.1:9/faithful-chicken/files/vit_t.pt",
    )
    monkeypatch.setitem(MODELS, model.name, model)
    return model


def test_what_cannot_be_verified_is_not_downloaded(by_hand):
    with pytest.raises(DownloadError) as caught:
        load_network(by_hand.name)
    assert by_hand.url in str(caught.value)
    assert str(cache_folder() / "micro-sam-vit-t-lm.pt") in str(caught.value)
    assert "no sha256 of it is published" in str(caught.value)


def test_file_that_was_put_into_the_cache(by_hand, mobile_sam):
    cache_folder().mkdir()
    write_meta(mobile_sam, cache_folder() / "micro-sam-vit-t-lm.pt")
    assert same_weights(load_network(by_hand.name), mobile_sam)


@pytest.mark.parametrize("name", ["vit_t_lm.pt", "tinysam_42.3.pth"])
def test_files_like_those_of_mobile_sam(name, mobile_sam, tmp_path):
    write_meta(mobile_sam, tmp_path / name)
    assert same_weights(load_network(tmp_path / name), mobile_sam)


def test_training_file_of_micro_sam(sam, tmp_path):
    """It has the decoder of the automatic mode beside the network."""
    write_meta(sam, tmp_path / "bare.pt")
    state = torch.load(tmp_path / "bare.pt", weights_only=True)
    content = {
        "model_state": {f"sam.{name}": tensor for name, tensor in state.items()},
        "decoder_state": {"out_conv.weight": torch.zeros(3, 64, 1, 1)},
        "epoch": 3,
    }
    torch.save(content, tmp_path / "best.pt")
    with pytest.warns(UserWarning, match="saved by a training tool"):
        assert same_weights(load_network(tmp_path / "best.pt"), sam)


def test_extra_decoder_of_micro_sam_is_named(tmp_path):
    state = {
        "decoder.blocks.0.block.0.weight": torch.zeros(4),
        "deconv1.block.0.block.weight": torch.zeros(4),
        "base.block.0.weight": torch.zeros(4),
        "out_conv.weight": torch.zeros(3, 4, 1, 1),
        "deconv_out.block.weight": torch.zeros(4),
        "decoder_head.block.0.weight": torch.zeros(4),
    }
    torch.save(state, tmp_path / "vit_b_decoder.pt")
    with pytest.raises(CheckpointError, match=r"extra decoder of micro-sam.*vit_b_lm"):
        load_network(tmp_path / "vit_b_decoder.pt")


def test_slim_sam_in_the_layout_of_transformers(tmp_path):
    """A ViT whose width is no multiple of 64, with fewer blocks here."""
    sizes = slim_sam("77")
    theirs = SamModel(
        SamConfig(
            vision_config={
                "hidden_size": 168,
                "mlp_dim": 696,
                "num_hidden_layers": 3,
                "global_attn_indexes": [2],
                "image_size": 128,
            },
            prompt_encoder_config={"image_size": 128},
        )
    )
    theirs.save_pretrained(tmp_path)
    config = load_network(tmp_path).config
    shallow = replace(sizes.image_encoder, depth=3, global_blocks=(2,))
    assert config == replace(sizes, image_encoder=shallow, image_size=(128, 128))


def test_slim_sam_by_name(sam, tmp_path, monkeypatch):
    asked = []

    def fetch_folder(repository):
        asked.append(repository)
        return tmp_path / "slim"

    monkeypatch.setattr("samkit.weights.loading.fetch_folder", fetch_folder)
    write_hugging_face(sam, tmp_path / "slim")
    assert same_weights(load_network("slim-sam-77"), sam)  # config.json has the sizes
    assert asked == ["nielsr/slimsam-77-uniform"]


@pytest.fixture
def med_sam2(sam2_network, monkeypatch):
    """The row of MedSAM2 with tiny sizes: its input is not what its tensors tell."""
    config = replace(sam2_network.config, image_size=(96, 96))
    monkeypatch.setitem(MODELS, "medsam2", replace(MODELS["medsam2"], config=config))
    network = build(config).eval()
    network.load_state_dict(sam2_network.state_dict())
    return network


def test_input_of_med_sam2():
    assert isinstance(MODELS["medsam2"].config.image_encoder, HieraConfig)
    assert MODELS["medsam2"].config.image_size == (512, 512)
    assert MODELS["medsam2"].config.grid == (32, 32)


def test_med_sam2_by_name(med_sam2, tmp_path, monkeypatch):
    write_meta(med_sam2, tmp_path / "file.pt")
    asked = []

    def fetch_file(repository, filename):
        asked.append((repository, filename))
        return tmp_path / "file.pt"

    monkeypatch.setattr("samkit.weights.loading.fetch_file", fetch_file)
    network = load_network("medsam2")
    assert asked == [("wanglab/MedSAM2", "MedSAM2_latest.pt")]
    assert network.config.image_size == (96, 96)
    assert same_weights(network, med_sam2)


def test_med_sam2_by_the_name_of_its_file(med_sam2, tmp_path):
    write_meta(med_sam2, tmp_path / "MedSAM2_latest.pt")
    assert load_network(tmp_path / "MedSAM2_latest.pt").config.image_size == (96, 96)


def test_name_of_a_file_of_other_tensors_says_nothing(sam, tmp_path):
    write_meta(sam, tmp_path / "MedSAM2_latest.pt")
    assert load_network(tmp_path / "MedSAM2_latest.pt").config == sam.config
