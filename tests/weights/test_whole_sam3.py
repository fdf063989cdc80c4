"""SAM 3 with its detector, in every layout and back."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nn.parity.test_sam3 import as_meta
from safetensors.torch import load_file, save_file
from transformers import Sam3TrackerVideoModel, Sam3VideoModel
from weights.helpers import same_weights
from weights.test_sam3_detector import as_meta as detector_as_meta
from whole_sam3 import DIM, save_whole_sam3

import samkit
from samkit.errors import CheckpointError
from samkit.nn import build
from samkit.nn.detector import Detector
from samkit.sizes import DetectorConfig, sam3
from samkit.weights import MODELS, convert, load_detector, load_network
from samkit.weights.checkpoint import read_state_dict
from samkit.weights.detector import OpenedDetector
from samkit.weights.keys_sam3 import META
from samkit.weights.whole_sam3 import as_meta as detector_in_meta

KEYS = Path(__file__).parents[3] / "shared" / "specs" / "keys" / "meta_sam3.txt"
POINTS = "detector.geometry_encoder.points_"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The network of transformers, and the folder that it is saved in as the released one is."""
    folder = tmp_path_factory.mktemp("sam3")
    network = save_whole_sam3(folder)
    tracker = network.tracker_model  # whose two copies of one tensor are random apart
    known = tracker.shared_image_embedding.positional_embedding
    tracker.prompt_encoder.shared_embedding.positional_embedding.data.copy_(known)
    return network, folder


@pytest.fixture
def meta_sizes(saved, monkeypatch):
    """Files of Meta's do not say their sizes: here, too, they are those of the published name."""
    config = load_network(saved[1]).config
    detector = replace(load_sizes(saved[1]), neck_levels=4)
    monkeypatch.setitem(MODELS, "sam3", replace(MODELS["sam3"], config=config))
    monkeypatch.setattr("samkit.weights.hugging_face_detector.DetectorConfig", lambda: detector)


def load_sizes(folder):
    from samkit.weights.hugging_face_detector import detector_from_json

    return detector_from_json(json.loads((folder / "config.json").read_text()))


def tensors(path):
    return read_state_dict(path).tensors


def identical(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def both(path):
    return load_network(path), load_detector(path, DIM, 32)


def same(one, other):
    return all(same_weights(a, b) for a, b in zip(both(one), both(other), strict=True))


def target(folder, layout, name="sam3"):
    return folder / (f"{name}.pt" if layout in ("meta", "ultralytics") else name)


@pytest.mark.parametrize("layout", ["samkit", "meta", "ultralytics", "hugging-face"])
def test_both_parts_are_there_and_come_back(saved, meta_sizes, tmp_path, layout):
    there = target(tmp_path, layout)
    convert(saved[1], there, layout=layout)
    assert same(there, saved[1])
    convert(there, tmp_path / "back", layout="hugging-face")
    assert same(tmp_path / "back", saved[1])
    (tmp_path / "again").mkdir()
    again = target(tmp_path / "again", layout)
    convert(tmp_path / "back", again, layout=layout)
    assert identical(tensors(again), tensors(there))


def test_folders_are_read_by_transformers(saved, tmp_path):
    convert(saved[1], tmp_path / "own", layout="samkit")
    convert(tmp_path / "own", tmp_path / "folder", layout="hugging-face")
    again, loading = Sam3VideoModel.from_pretrained(tmp_path / "folder", output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert not loading["mismatched_keys"]
    expected = saved[0].state_dict()
    assert identical(again.state_dict(), expected)
    theirs, ours = (each.config.detector_config.to_dict() for each in (saved[0], again))
    for part in ("text", "geometry_encoder", "detr_encoder", "detr_decoder", "mask_decoder"):
        sizes = {k: v for k, v in theirs[f"{part}_config"].items() if "dtype" not in k}
        assert {k: ours[f"{part}_config"][k] for k in sizes} == sizes, part


def test_names_of_meta(saved, meta_sizes, tmp_path):
    """As two other lists of renames have them."""
    convert(saved[1], tmp_path / "sam3.pt", layout="meta")
    found = tensors(tmp_path / "sam3.pt")
    network, detector = both(saved[1])
    expected = as_meta(network.state_dict()) | detector_as_meta(detector.state_dict())
    more = {name for name in found if name.startswith(POINTS)} | {
        "detector.backbone.language_backbone.encoder.text_projection"
    }
    assert len(more) == 7
    assert found.keys() - more == expected.keys()
    positions = "detector.backbone.vision_backbone.trunk.pos_embed"
    for name in expected.keys() - {positions}:
        if not name.endswith("freqs_cis"):
            assert torch.equal(found[name], expected[name]), name
    assert torch.equal(found[positions][:, 1:], expected[positions][:, 1:])
    assert not found[positions][:, 0].any()
    assert not any(found[name].any() for name in more if name.startswith(POINTS))


def test_rotary_positions_of_meta(saved, meta_sizes, tmp_path):
    """They turn pairs of channels by x, then by y, in windows and over the whole grid."""
    convert(saved[1], tmp_path / "sam3.pt", layout="meta")
    found = tensors(tmp_path / "sam3.pt")
    name = "detector.backbone.vision_backbone.trunk.blocks.{}.attn.freqs_cis"
    for block, side, scale in ((0, 3, 1.0), (1, 8, 3 / 8)):
        turns = found[name.format(block)]
        assert turns.shape == (side * side, 8)
        frequencies = [10000 ** (-4 * i / 16) for i in range(4)]
        for place, (y, x) in ((1, (0, 1)), (side, (1, 0)), (side + 2, (1, 2))):
            angles = [at * scale * f for at in (x, y) for f in frequencies]
            expected = torch.exp(1j * torch.tensor(angles, dtype=torch.complex128))
            torch.testing.assert_close(turns[place], expected.to(turns))


def test_what_only_meta_has_is_kept(saved, meta_sizes, tmp_path):
    convert(saved[1], tmp_path / "sam3.pt", layout="meta")
    state = tensors(tmp_path / "sam3.pt")
    generator = torch.manual_seed(0)
    for name in state:
        if name.startswith(POINTS) or name.endswith("trunk.pos_embed"):
            state[name] = torch.randn(state[name].shape, generator=generator)
    torch.save(state, tmp_path / "sam3.pt")
    convert(tmp_path / "sam3.pt", tmp_path / "own", layout="samkit")
    assert same(tmp_path / "own", tmp_path / "sam3.pt")
    convert(tmp_path / "own", tmp_path / "back.pt", layout="meta")
    assert identical(tensors(tmp_path / "back.pt"), state)


def test_own_files_say_the_sizes_and_the_licence(saved, tmp_path):
    convert(saved[1], tmp_path / "own.safetensors", layout="samkit")
    header = read_state_dict(tmp_path / "own.safetensors").metadata
    assert header["license"] == "LicenseRef-SAM-License"
    assert json.loads(header["samkit.detector"])["queries"] == 9
    image = np.random.default_rng(0).integers(0, 255, (90, 140, 3), dtype=np.uint8)
    own, folder = (
        samkit.load(path, device="cpu", dtype="float32").find(image, "dog", threshold=0)
        for path in (tmp_path / "own.safetensors", saved[1])
    )
    assert len(own) == 9
    assert np.array_equal(own.masks, folder.masks)


@pytest.mark.parametrize(
    "sizes",
    [
        "[]",
        "{",
        '{"queries": 9}',
        '{"text": {}, "more": 1}',
        '{"text": {"depth": 60000}}',
        '{"text": {}, "queries": "many"}',
        '{"text": 3}',
    ],
)
def test_damaged_sizes_in_a_header(saved, tmp_path, sizes):
    path = tmp_path / "own.safetensors"
    convert(saved[1], path, layout="samkit")
    header = read_state_dict(path).metadata
    save_file(load_file(path), path, header | {"samkit.detector": sizes})
    assert load_network(path).has_memory  # which the rest does not need
    with pytest.raises(CheckpointError, match=r"sizes of the detector in .* are impossible"):
        load_detector(path, DIM, 32)
    with pytest.raises(CheckpointError, match="impossible"):
        convert(path, tmp_path / "again.safetensors", layout="samkit")


@pytest.mark.parametrize(
    ("part", "sizes", "message"),
    [
        ("text_config", {"num_attention_heads": 3}, "heads that divide 16 channels, got 3"),
        ("text_config", {"num_attention_heads": 0}, "heads that divide 16 channels, got 0"),
        ("detr_encoder_config", {"num_attention_heads": 7}, "divide 128 channels, got 7"),
        ("text_config", {"max_position_embeddings": 20}, "32 in a text, got 49408 and 20"),
    ],
)
def test_sizes_that_nothing_could_be_found_with(saved, tmp_path, part, sizes, message):
    config = json.loads((saved[1] / "config.json").read_text())
    config["detector_config"][part] |= sizes
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(load_file(saved[1] / "model.safetensors"), tmp_path / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=rf"sizes of the detector in .* impossible.*{message}"
    ):
        load_detector(tmp_path, DIM, 32)


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.complex64])
def test_tensors_that_are_no_floats(saved, tmp_path, dtype):
    state = load_file(saved[1] / "model.safetensors")
    name = "detector_model.detr_decoder.presence_token.weight"
    save_file({**state, name: state[name].to(dtype)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((saved[1] / "config.json").read_text())
    with pytest.raises(
        CheckpointError, match=r"expected decoder\.presence_token\.weight of the det"
    ):
        load_detector(tmp_path, DIM, 32)


def test_what_transformers_saves_itself(saved, tmp_path):
    """It puts tracker_model. before the names of what is in tracker_model already."""
    saved[0].save_pretrained(tmp_path / "whole")
    names = load_file(tmp_path / "whole" / "model.safetensors")
    assert any(name.startswith("tracker_model.tracker_model.") for name in names)
    assert same(tmp_path / "whole", saved[1])
    convert(saved[1], tmp_path / "folder", layout="hugging-face")
    tracker = Sam3TrackerVideoModel.from_pretrained(tmp_path / "folder")
    tracker.save_pretrained(tmp_path / "tracker")
    assert same_weights(load_network(tmp_path / "tracker"), load_network(saved[1]))
    with pytest.raises(CheckpointError, match="holds no detector of concepts"):
        load_detector(tmp_path / "tracker", DIM, 32)


@pytest.mark.parametrize("beginning", ["tracker_model.", "tracker_model.tracker_model."])
def test_every_beginning_that_is_found(saved, tmp_path, beginning):
    state = {
        re.sub(r"^tracker_model\.", beginning, name): tensor
        for name, tensor in load_file(saved[1] / "model.safetensors").items()
    }
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((saved[1] / "config.json").read_text())
    assert same(tmp_path, saved[1])


def test_files_of_training_tools(saved, tmp_path):
    """What they put before all names is taken off for the detector too."""
    folder = tmp_path / "folder"
    folder.mkdir()
    state = load_file(saved[1] / "model.safetensors")
    save_file({f"module.{n}": t for n, t in state.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text((saved[1] / "config.json").read_text())
    with pytest.warns(UserWarning, match=r"'module\.' was taken off"):
        assert same_weights(load_network(folder), load_network(saved[1]))
    assert same_weights(load_detector(folder, DIM, 32), load_detector(saved[1], DIM, 32))


def test_the_detector_alone(saved, tmp_path):
    saved[0].detector_model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="a part of SAM 3 without what clicks need"):
        load_network(tmp_path)


@pytest.mark.skipif(not KEYS.exists(), reason="the list of published names is not there")
def test_names_and_shapes_of_the_published_file():
    sizes = DetectorConfig()
    with torch.device("meta"):
        network, detector = build(sam3()), Detector(sizes, 256, 1024)
        projection = torch.empty(1024, 512)
    state = detector.state_dict() | {"text_encoder.text_projection": projection}
    whole = META.from_samkit(network.state_dict()) | detector_in_meta(
        OpenedDetector(config=sizes, state=state), network.config
    )
    found = {}
    for name, tensor in whole.items():
        found.setdefault(re.sub(r"(?<=\.)\d+(?=\.)", "{i}", name), []).append(tuple(tensor.shape))
    expected = {}
    for line in KEYS.read_text().splitlines():
        name, shape, count = re.fullmatch(r"(\S+) (\(.*\)) x(\d+)", line).groups()
        expected[name] = (tuple(int(size) for size in re.findall(r"\d+", shape)), int(count))
    assert {name: (shapes[0], len(shapes)) for name, shapes in found.items()} == expected
