"""The table of named models."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from samkit.errors import UnknownModelError
from samkit.nn import build
from samkit.weights import MODELS, find_model, load_network, registry


def test_names_are_those_of_the_documentation():
    assert list(MODELS) == [
        "pico",
        "sam-vit-b",
        "sam-vit-l",
        "sam-vit-h",
        "mobile-sam",
        *(f"{version}-{size}" for version in ("sam2", "sam2.1") for size in SIZES),
        "hq-sam-tiny",
        *(f"hq-sam-vit-{size}" for size in "blh"),
        "hq-sam2.1-large",
        "edge-tam",
        *(
            f"efficient-tam-{size}{kind}"
            for size in ("s", "ti")
            for kind in ("", "-1", "-2", "-512")
        ),
        *(f"efficient-vit-sam-{size}" for size in ("l0", "l1", "l2", "xl0", "xl1")),
        "rep-vit-sam",
        "sam3",
        "sam3.1",
        "tiny-sam",
        "slim-sam-50",
        "slim-sam-77",
        *(f"micro-sam-vit-{size}-{kind}" for kind in ("lm", "em-organelles") for size in "tbl"),
        "medsam2",
        *(f"medsam2-{of}" for of in ("2411", "ct-lesion", "mri-liver-lesion", "us-heart")),
    ]


SIZES = ("tiny", "small", "base-plus", "large")


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_counted(name):
    with torch.device("meta"):
        network = build(MODELS[name].config)
    assert sum(p.numel() for p in network.parameters()) == MODELS[name].parameters


@pytest.mark.parametrize("name", MODELS)
def test_sources(name):
    model = MODELS[name]
    if name == "pico":
        assert model.url is None
        assert model.filename == "pico.safetensors"
        assert model.is_bundled
        return
    assert not model.is_bundled
    assert (model.url is None) != (model.repository is None)
    if model.url is not None:
        assert model.url.startswith("https://")
    if model.sha256 is not None:
        assert model.url is not None
        assert len(model.sha256) == 64
        assert int(model.sha256, 16)
    assert model.is_folder or model.filename.endswith((".pt", ".pth"))


@pytest.mark.parametrize("size", SIZES)
def test_versions_of_sam2_differ_in_their_memory(size):
    old, new = MODELS[f"sam2-{size}"].config, MODELS[f"sam2.1-{size}"].config
    assert not old.memory.occlusion_embedding
    assert not old.memory.pointer_time
    assert new.memory.occlusion_embedding
    assert new.memory.pointer_time
    assert replace(old, memory=new.memory) == new


def test_files_are_different():
    assert len({m.filename for m in MODELS.values()}) == len(MODELS)
    checksums = [m.sha256 for m in MODELS.values() if m.sha256]
    assert len(set(checksums)) == len(checksums) == 12
    places = [(m.url, m.repository, m.hub_file) for m in MODELS.values() if not m.is_bundled]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("sam2.1-tny", "sam2.1-tiny"),
        ("SAM-VIT-B", "sam-vit-b"),
        ("sam2.1_large", "sam2.1-large"),
        ("mobilesam", "mobile-sam"),
        ("Pico", "pico"),
    ],
)
def test_unknown_name_suggests_the_nearest(asked, nearest):
    with pytest.raises(UnknownModelError, match=rf"Did you mean '{nearest}'.*Names: pico, sam-vit"):
        find_model(asked)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("sam2_t.pt", "sam2-tiny"),
        ("sam2.1_b.pt", "sam2.1-base-plus"),
        ("sam_b.pt", "sam-vit-b"),
        ("mobile_sam.pt", "mobile-sam"),
        ("checkpoints/sam_vit_h_4b8939.pth", "sam-vit-h"),
        ("./nowhere/SAM2.1_hiera_large.pt", "sam2.1-large"),
        ("nowhere/sam2/sam2_hiera_small", "sam2-small"),
        ("sam2.1-tiny.safetensors", "sam2.1-tiny"),
        ("sam2_hiera_tiny", "sam2-tiny"),
        ("sam2.1_hiera_b+.yaml", "sam2.1-base-plus"),
        ("sam2.1_t", "sam2.1-tiny"),
        ("vit_b", "sam-vit-b"),
        ("pico.pt", "pico"),
        ("vit_b_lm.pt", "micro-sam-vit-b-lm"),
        ("nowhere/MedSAM2_CTLesion.pt", "medsam2-ct-lesion"),
        ("tinysam.pth", "tiny-sam"),
        ("checkpoints/edgetam.pt", "edge-tam"),
        ("sam_hq_vit_l.pth", "hq-sam-vit-l"),
        ("sam2.1_hq_hiera_large.pt", "hq-sam2.1-large"),
        ("repvit_sam.pt", "rep-vit-sam"),
        ("efficientvit_sam_xl1.pt", "efficient-vit-sam-xl1"),
        ("efficienttam_ti_512x512.pt", "efficient-tam-ti-512"),
        ("sam3.1_multiplex.pt", "sam3.1"),
    ],
)
def test_names_that_others_use_are_understood(asked, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownModelError, match=f"Did you mean '{meant}'"):
        load_network(asked)


@pytest.mark.parametrize("asked", ["mine.pt", "sam2_x.pt", "folder/vit_x.pth", "sam.pt"])
def test_nothing_is_guessed_of_files(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownModelError) as caught:
        load_network(asked)
    assert "Did you mean" not in str(caught.value)


def test_names_elsewhere_mean_one_model_each():
    names = [other for others in registry._ELSEWHERE.values() for other in others]
    assert len(set(names)) == len(names)
    assert list(registry._ELSEWHERE) == list(MODELS)[1:]  # all but pico, which nobody else has
    for model in list(MODELS.values())[1:]:
        assert registry.name_elsewhere(model.filename) == model.name


def test_unknown_name_that_resembles_none():
    with pytest.raises(UnknownModelError) as caught:
        find_model("xyzzy")
    assert "Did you mean" not in str(caught.value)


def test_registry_needs_no_torch():
    code = (
        "import sys; from samkit.weights import MODELS\n"
        "assert MODELS['sam-vit-h'].config.image_encoder.depth == 32\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
