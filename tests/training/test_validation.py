"""Measured while it learns, on what it does not learn from."""

import csv
from dataclasses import replace

import pytest
from PIL import Image
from tiny import tiny_sam2
from training.helpers import assert_same, final

from samkit.errors import InputError
from samkit.evaluation import evaluate_interactive, open_dataset
from samkit.evaluation.datasets import Subset
from samkit.image_predictor import ImagePredictor
from samkit.sizes import to_dict
from samkit.training import Validation, fine_tuning, train
from samkit.training.data import held_out, training_files


@pytest.mark.parametrize("processes", [1, 2])
def test_validation_is_what_eval_says_and_changes_nothing(config, photos, tmp_path, processes):
    plain, _ = final(train(config, tmp_path / "a.pt", processes=processes))
    folder = str(photos / "coco")
    config = replace(config, validation=(folder,), validate_every=4, validation_images=2)
    *_, network = events = list(train(config, tmp_path / "b.pt", processes=processes))
    assert_same(network.state_dict(), plain)
    validations = [event for event in events if isinstance(event, Validation)]
    assert [v.step for v in validations] == [0, 4, 6]
    dataset = Subset(open_dataset(folder), [0, 2])
    report = evaluate_interactive(
        ImagePredictor(network, dtype="float32"), dataset, clicks=(1,), min_area=0
    )
    assert validations[-1].objects == len(report.objects) == 6
    assert validations[-1].means == report.means()
    with (tmp_path / "b.validation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "4", "6"]
    assert float(rows[2]["box"]) == pytest.approx(report.means()["box"].iou, abs=1e-5)


def test_held_out_images_are_measured_and_not_learned_from(config, tmp_path):
    config = replace(config, hold_out=2, steps=2)
    learned = training_files(config)
    held = [path for dataset in held_out(config) for path in dataset.image_paths()]
    assert len(held) == 4  # two of the four images of each source
    assert not set(held) & set(learned[:4])
    events = list(train(config, tmp_path / "a.pt", processes=1))
    assert [event.step for event in events if isinstance(event, Validation)] == [0, 2]


def test_all_annotations_of_an_image_are_held_out_together(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(4):
        Image.new("RGB", (40, 40)).save(tmp_path / "images" / f"{i}.png")
        for k in range(3):
            Image.new("L", (40, 40), 1).save(tmp_path / "masks" / f"{i}_{k}.png")
    config = fine_tuning(to_dict(tiny_sam2()), (str(tmp_path),), steps=1)
    config = replace(config, hold_out=3)
    held = {path for dataset in held_out(config) for path in dataset.image_paths()}
    assert {path.stem for path in held} == {"0", "3"}
    assert not held & set(training_files(config))


def test_names_that_leave_nothing_to_measure_on(config, photos, tmp_path):
    """Of four images the first and the last one are held out."""
    names = sorted(path.name for path in (photos / "classes" / "images").iterdir())
    stems = [name.split(".")[0] for name in names[1:3]]
    sources = tuple(replace(config.sources[1], names=f"{stem}*") for stem in stems)
    config = replace(config, sources=sources, hold_out=3, steps=1, validate_every=1)
    with pytest.raises(InputError, match="nothing to validate on"):
        list(train(config, tmp_path / "c.pt"))
