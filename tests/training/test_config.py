import json
from pathlib import Path

import pytest

from samkit import sizes as networks
from samkit.errors import InputError
from samkit.training import Stage, fine_tuning, preset
from samkit.training.data import training_files
from samkit.training.presets import PRESETS

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def test_presets_are_not_shared(tmp_path):
    preset("pico", tmp_path).network["dim"] = 7
    assert preset("pico", tmp_path).network["dim"] == networks.pico().dim


def test_stages_follow_each_other(config):
    assert [config.stage_at(p).size for p in (0, 0.49, 0.5, 1)] == [64, 64, 96, 96]


def test_a_configuration_is_json(config):
    assert json.loads(json.dumps(config.to_dict()))["steps"] == 6


def test_metadata_names_no_folders_of_the_machine(config):
    text = config.metadata()["samkit.training"]
    assert json.loads(text)["sources"][0]["path"] == "coco"
    assert str(Path(config.sources[0].path).parent) not in text


@pytest.mark.parametrize("data", ["cells", Path("cells"), ("cells",), [Path("cells")]])
def test_one_place_of_data_needs_no_list(data):
    network = networks.to_dict(networks.pico())
    assert [source.path for source in fine_tuning(network, data, steps=1).sources] == ["cells"]


@pytest.mark.parametrize("name", PRESETS)
def test_the_presets_fit_the_network(name):
    config = preset(name, "data", minutes=1)
    assert networks.from_dict(config.network) == networks.pico()
    assert config.stages[-1] == Stage(**{**vars(config.stages[-1]), "until": 1.0})
    # The first run is not the last of images.
    final = (224, 224) if name == "pico" else networks.pico().image_size
    assert config.stages[-1].shape == final


def test_an_unknown_preset():
    with pytest.raises(InputError, match=r"expected one of pico, .*, got nano"):
        preset("nano", "data", steps=1)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")
@pytest.mark.parametrize("name", PRESETS)
def test_pico_never_sees_an_evaluation_file(name):
    files = [path.resolve() for path in training_files(preset(name, DATA, minutes=1))]
    assert len(files) > 1000
    allowed = (DATA / "train", DATA / "samples")
    for path in files:
        assert any(folder.resolve() in path.parents for folder in allowed), path
    names = {path.name for path in files}
    evaluation = {path.name for path in (DATA / "eval" / "voc" / "images").iterdir()}
    assert not names & evaluation
