"""Settings, and the model they name."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import samkit
from samkit.compat.ultralytics import (
    DEFAULT_CFG,
    Predictor,
    SAM2DynamicInteractivePredictor,
    SAM2Predictor,
    SAM2VideoPredictor,
)
from samkit.compat.ultralytics.loading import load_core
from samkit.compat.ultralytics.settings import device_name, model_source, read_settings
from samkit.errors import InputError, UnknownModelError
from samkit.nn import Sam, Sam2
from samkit.weights import find_model


def test_cfg_and_overrides() -> None:
    for cfg in ({"conf": 0.4, "iou": 0.5}, SimpleNamespace(conf=0.4, iou=0.5)):
        args = read_settings(cfg, {"conf": 0.6})
        assert (args.conf, args.iou) == (0.6, 0.5)
    assert read_settings(args, None).iou == 0.5
    changed = Predictor()
    changed.args.conf = 0.9
    assert DEFAULT_CFG.conf == Predictor().args.conf == 0.25


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"modell": "x"}, "expected some of .*model.*got 'modell'"),
        ({"conf": 1.5}, "conf: expected a number from 0 to 1, got 1.5"),
        ({"conf": float("nan")}, "conf"),
        ({"iou": "high"}, "iou"),
        ({"half": 1}, "half: expected True or False"),
        ({"imgsz": 0}, "imgsz"),
        ({"imgsz": (1, 2, 3)}, "imgsz"),
        ({"imgsz": 3.5}, "imgsz"),
        ({"imgsz": []}, "imgsz"),
        ("settings.yaml", "a dict or a namespace"),
        (3, "a dict or a namespace"),
    ],
)
def test_bad_settings(overrides: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Predictor(overrides=overrides)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("sam_b.pt", "sam-vit-b"),
        ("sam_l.pt", "sam-vit-l"),
        ("mobile_sam.pt", "mobile-sam"),
        ("sam2_t.pt", "sam2-tiny"),
        ("sam2_b.pt", "sam2-base-plus"),
        ("sam2.1_s.pt", "sam2.1-small"),
        ("sam2.1_l.pt", "sam2.1-large"),
        ("pico", "pico"),
    ],
)
def test_names_of_models(name: str, model: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert model_source(name) == model
    assert find_model(model).name == model
    Path(name).touch()  # a file that is there comes first
    assert model_source(name) == name


def test_devices(overrides: Any) -> None:
    assert device_name(0) == device_name("0") == "cuda:0"
    assert device_name("") == device_name(None) == "auto"
    assert device_name(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(InputError, match="one GPU"):
        device_name([0, 1])
    with pytest.raises(InputError, match="nowhere"):
        Predictor(overrides=overrides("sam", device="nowhere")).setup_model()


def test_what_a_model_can_be(models: dict[str, Path], overrides: Any, photo: np.ndarray) -> None:
    network = samkit.load(models["sam"], device="cpu").network
    found = []
    for model in (models["sam"], str(models["sam"]), network, samkit.ImagePredictor(network)):
        predictor = Predictor(overrides=overrides(model))
        found.append(predictor(photo, points=[9, 9])[0].masks.data)  # type: ignore[index]
    for given in ({"model": network}, {"model_path": models["sam"]}):
        predictor = Predictor(overrides=overrides("sam2"))
        predictor.setup_model(**given)
        assert isinstance(predictor.model, Sam)
        found.append(predictor(photo, points=[9, 9])[0].masks.data)  # type: ignore[index]
    assert all(torch.equal(one, found[0]) for one in found)


def test_a_model_that_does_not_fit(models: dict[str, Path], overrides: Any) -> None:
    for kind in (SAM2Predictor, SAM2VideoPredictor, SAM2DynamicInteractivePredictor):
        with pytest.raises(InputError, match="expected SAM 2, got SAM"):
            kind(overrides=overrides("sam")).setup_model()
    with pytest.raises(UnknownModelError):
        Predictor(overrides=overrides("nothing-like-it")).setup_model()
    with pytest.raises(InputError, match="a name or a network, got int"):
        Predictor().setup_model(3)
    assert isinstance(Predictor(overrides=overrides("sam2")).core.network, Sam2)


@pytest.mark.parametrize("name", ["sam_b.pt", "mobile_sam.pt", "sam-vit-h"])
@pytest.mark.parametrize(
    "make", [SAM2Predictor, SAM2VideoPredictor, SAM2DynamicInteractivePredictor]
)
def test_a_name_that_does_not_fit_is_not_downloaded(
    make: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Any] = []
    monkeypatch.setattr("samkit.compat.ultralytics.loading.load_network", loaded.append)
    with pytest.raises(InputError, match="expected SAM 2, got SAM"):
        make(overrides={"model": name, "verbose": False}).setup_model()
    assert loaded == []


@pytest.mark.parametrize("model", ["sam", "mobile-sam", "sam2"])
@pytest.mark.parametrize(
    ("imgsz", "size"), [(96, (96, 96)), ((96, 160), (96, 160)), ([90, 130], None)]
)
def test_input_sizes(model: str, imgsz: Any, size: Any, overrides: Any, photo: np.ndarray) -> None:
    """Rectangles too; other sizes are rounded up: a ViT takes multiples of 16, others of 32."""
    size = size or ((96, 144) if model == "sam" else (96, 160))
    predictor = Predictor(overrides=overrides(model, imgsz=imgsz))
    assert predictor.preprocess([photo]).shape == (1, 3, *size)
    (result,) = predictor(photo, bboxes=[10, 5, 60, 40])
    assert result.masks.data.shape == (1, 50, 83)
    plain = Predictor(overrides=overrides(model))(photo, bboxes=[10, 5, 60, 40])
    assert not np.array_equal(plain[0].core.logits, result.core.logits)  # type: ignore[index]


def test_half_is_the_encoders_dtype(overrides: Any, photo: np.ndarray) -> None:
    for half, dtype in ((True, torch.float16), (False, torch.float32)):
        predictor = Predictor(overrides=overrides("sam2", half=half))
        assert predictor.preprocess([photo]).dtype == dtype
        assert load_core(predictor.core, predictor.args).dtype == dtype


def test_verbose(overrides: Any, photo: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    Predictor(overrides=overrides("sam"))(photo, points=[9, 9])
    assert capsys.readouterr() == ("", "")
    loud = Predictor(overrides=overrides("sam", verbose=True))
    loud(photo, points=[9, 9])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("ImagePredictor(Sam")
    assert lines[1].startswith("<Results: 1 mask in image0.jpg, 50 x 83>, ")


def test_save(overrides: Any, photo: np.ndarray, clip: Path, tmp_path: Path) -> None:
    settings = overrides("sam", save=True, project=tmp_path / "runs", name="cups")
    for folder in ("cups", "cups2"):
        predictor = Predictor(overrides=settings)
        predictor([photo, photo], points=[9, 9])
        assert predictor.save_dir == tmp_path / "runs" / folder
        assert sorted(path.name for path in predictor.save_dir.iterdir()) == [
            "image0.jpg",
            "image1.jpg",
        ]
    predictor(clip, points=[9, 9])
    assert (tmp_path / "runs" / "cups2" / "clip_000011.jpg").is_file()


def test_save_by_default(
    overrides: Any, photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Predictor(overrides=overrides("sam", save=True))(photo, points=[9, 9])
    assert Path("runs/segment/predict/image0.jpg").is_file()


def test_callbacks(overrides: Any, photo: np.ndarray) -> None:
    seen: list[tuple[str, int]] = []

    def note(event: str) -> Any:
        return lambda predictor: seen.append((event, len(predictor.results)))

    events = ("on_predict_start", "on_predict_postprocess_end", "on_predict_end", "on_train_end")
    predictor = Predictor(
        overrides=overrides("sam"), _callbacks={event: [note(event)] for event in events}
    )
    predictor([photo, photo], points=[9, 9])
    assert [event for event, _ in seen] == [events[0], events[1], events[1], events[2]]
    assert [count for _, count in seen] == [0, 1, 1, 1]


@pytest.mark.parametrize(
    "wrong", [{"project": 5}, {"name": "a\0b"}, {"name": ["a"]}, {"conf": 10**400}, {"save": "no"}]
)
def test_settings_of_other_types(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(wrong))}"):
        Predictor(overrides=wrong)


def test_callbacks_of_other_types() -> None:
    for wrong in (3, {"on_predict_end": print}, {"on_predict_end": [None]}):
        with pytest.raises(InputError, match="_callbacks: expected"):
            Predictor(_callbacks=wrong)  # type: ignore[arg-type]
