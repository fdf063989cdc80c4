import json
from pathlib import Path

import pytest

from samkit import sizes as networks
from samkit.training import Stage, fine_tuning
from samkit.training.config import pico, pico_memory, pico_refinement
from samkit.training.data import training_files

RECIPES = (pico, pico_refinement, pico_memory)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


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


@pytest.mark.parametrize("run", RECIPES)
def test_the_recipe_of_pico_fits_the_network(run):
    recipe = run("data", minutes=1)
    assert networks.from_dict(recipe.network) == networks.pico()
    assert recipe.stages[-1] == Stage(**{**vars(recipe.stages[-1]), "until": 1.0})
    assert recipe.stages[-1].size == min(networks.pico().image_size)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")
@pytest.mark.parametrize("run", RECIPES)
def test_pico_never_sees_an_evaluation_file(run):
    files = [path.resolve() for path in training_files(run(DATA, minutes=1))]
    assert len(files) > 1000
    allowed = (DATA / "train", DATA / "samples")
    for path in files:
        assert any(folder.resolve() in path.parents for folder in allowed), path
    names = {path.name for path in files}
    evaluation = {path.name for path in (DATA / "eval" / "voc" / "images").iterdir()}
    assert not names & evaluation
