"""Folders of exports: what is in them, and when there is none."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from tiny import make, tiny_hq_sam, tiny_sam, tiny_sam2
from torch import nn

import samkit
from samkit import ExportError, ImagePredictor, InputError
from samkit.exporter import check, exporting, onnx_files
from samkit.exporter.onnx_files import write_onnx
from samkit.exporter.parts import Part
from samkit.weights import load_network

PARTS = ("image_encoder", "mask_decoder", "memory_attention", "memory_encoder")


def pico() -> ImagePredictor:
    return ImagePredictor(load_network("pico"), device="cpu", dtype="float32")


def test_files_and_what_is_said_of_them(exported_pico: Path) -> None:
    about = json.loads((exported_pico / "samkit.json").read_text())
    names = {*(f"{part}.onnx" for part in PARTS), "network.safetensors"}
    assert {path.name for path in exported_pico.iterdir()} == {*names, "samkit.json"}
    for name, file in about["files"].items():
        data = (exported_pico / name).read_bytes()
        assert file == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    assert about["files"].keys() == names
    assert (about["layout"], about["version"], about["parts"]) == ("samkit", 1, "video")
    assert about["input"] == {
        "height": 320,
        "width": 416,
        "mean": [127 / 255] * 3,
        "std": [128 / 255] * 3,
        "keep_aspect": False,
    }
    assert not list(exported_pico.parent.glob(".samkit-*"))


def test_comparison(exported_pico: Path) -> None:
    parity = json.loads((exported_pico / "samkit.json").read_text())["parity"]
    # Two photographs, four kinds of three prompts, the single mask and three candidates.
    assert parity["images"]["masks"] == 2 * 4 * 3 * 4
    assert parity["video"]["masks"] == 10 * 2
    found = parity["images"]["largest_difference"] | parity["memory"]["largest_difference"]
    assert found.keys() == set(PARTS)
    assert 0 < max(found.values()) <= 1e-4
    assert min(parity["images"]["lowest_iou"], parity["video"]["lowest_iou"]) >= 0.999


def changed(name: str) -> ImagePredictor:
    """pico with a weight that is a little larger."""
    predictor = pico()
    with torch.no_grad():
        predictor.network.get_parameter(name).mul_(1.02)
    return predictor


@pytest.mark.parametrize(
    ("weight", "part"),
    [
        ("image_encoder.neck.convs.0.conv.weight", "image_encoder: "),
        ("mask_decoder.iou_prediction_head.layers.0.weight", "mask_decoder: iou"),
        ("memory_encoder.out_proj.weight", "memory_encoder: memory"),
    ],
)
def test_files_of_another_network_are_found_out(
    weight: str, part: str, exported_pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_: Any, folder: Path, *rest: Any) -> None:
        for path in exported_pico.iterdir():
            shutil.copy(path, folder)

    predictor = changed(weight)
    with pytest.raises(ExportError, match=f"^{part}.*expected at most 0.0001"):
        check(predictor, exported_pico)
    monkeypatch.setattr(exporting, "_write", write)
    with pytest.raises(ExportError, match=part):
        samkit.export(predictor, tmp_path / "out", parts="video")
    assert not list(tmp_path.iterdir())


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def with_shapes_that_do_not_fit(path: Path) -> None:
    """As old exporters made of windows: a file that is there and that no engine loads."""
    model = onnx.load(path)
    windows = onnx.helper.make_tensor("windows", onnx.TensorProto.FLOAT, [2, 3], range(6))
    model.graph.initializer.append(windows)
    model.graph.node.append(onnx.helper.make_node("MatMul", ["windows", "windows"], ["product"]))
    onnx.save(model, path)


def with_another_input(path: Path) -> None:
    """A file that loads, and does not run."""
    model = onnx.load(path)
    one = onnx.helper.make_tensor_value_info("mood", onnx.TensorProto.FLOAT, [1])
    model.graph.input.append(one)
    onnx.save(model, path)


@pytest.mark.parametrize("name", ["image_encoder", "memory_encoder"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_off, "cannot load it"),
        (with_shapes_that_do_not_fit, "cannot load it"),
        (with_another_input, r"cannot run it: .*mood"),
    ],
)
def test_files_that_do_not_run_are_found_out(
    damage: Any,
    message: str,
    name: str,
    exported_pico: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write(_: Any, folder: Path, *rest: Any) -> None:
        shutil.copytree(exported_pico, folder, dirs_exist_ok=True)
        damage(folder / f"{name}.onnx")

    monkeypatch.setattr(exporting, "_write", write)
    with pytest.raises(ExportError, match=rf"{name}\.onnx: onnxruntime {message}"):
        samkit.export(pico(), tmp_path / "out", parts="video")
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_is_filled_and_not_replaced(
    exported_pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another one in its place could not be mounted, and a shell in it would not see it."""

    def write(_: Any, folder: Path, *rest: Any) -> None:
        for name in ("image_encoder.onnx", "mask_decoder.onnx", "network.safetensors"):
            shutil.copy(exported_pico / name, folder)
        if others:
            (tmp_path / "mine.txt").touch()

    monkeypatch.setattr(exporting, "_write", write)
    monkeypatch.chdir(tmp_path)
    before, others = tmp_path.stat().st_ino, True
    with pytest.raises(InputError, match="is no longer empty"):
        samkit.export(pico(), ".")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "mine.txt").unlink()
    others = False
    about = samkit.export(pico(), ".")
    assert tmp_path.stat().st_ino == before
    assert {path.name for path in Path().iterdir()} == {*about["files"], "samkit.json"}
    assert samkit.load(".").network.config == pico().network.config


def test_check_of_rounded_weights(exported_pico: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(exported_pico, tmp_path / "copy")
    for weights in ("float16", "int8"):
        about = json.loads((copied / "samkit.json").read_text())
        (copied / "samkit.json").write_text(json.dumps(about | {"weights": weights}))
        if weights == "float16":  # as those of pico are anyway
            assert check(pico(), copied)["images"]["lowest_iou"] >= 0.999
            continue
        with pytest.raises(ExportError, match="image_encoder: embedding differs"):
            check(pico(), copied)


def test_check_of_another_size(exported_pico: Path) -> None:
    other = ImagePredictor(make(tiny_sam2()), device="cpu", dtype="float32")
    with pytest.raises(InputError, match="holds a network of other sizes"):
        check(other, exported_pico)


def test_what_cannot_be_exported(exported_pico: Path, tmp_path: Path) -> None:
    sam, hq_sam = (
        ImagePredictor(make(config), device="cpu", dtype="float32")
        for config in (tiny_sam(), tiny_hq_sam())
    )
    half = ImagePredictor(make(tiny_sam()), device="cpu", dtype="bfloat16")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    (tmp_path / "loop").symlink_to("loop")
    out = tmp_path / "out"
    for wrong, arguments, message in (
        (sam, (out, "video"), "this network has no memory"),
        (sam, (out, "sound"), "parts: expected one of image, video, got 'sound'"),
        (sam, (out, "image", "onnx"), "layout: expected one of samkit, transformers, samexporter"),
        (pico(), (out, "video", "transformers"), "transformers has no parts for video"),
        (half, (out,), "expected a network in float32, got torch.bfloat16"),
        (samkit.load(exported_pico), (out,), "one that was exported already"),
        (sam, (tmp_path / "full",), "expected a new or empty folder"),
        (sam, (tmp_path / "full" / "mine.txt",), "expected a new or empty folder"),
        (sam, (tmp_path / "full" / "mine.txt" / "out",), "cannot write"),
        (sam, (tmp_path / "loop",), "a link that leads to itself"),
        (sam.network, (out,), "expected an ImagePredictor"),
        (hq_sam, (out, "image", "transformers"), "the layout transformers has no HQ-SAM"),
    ):
        names = ("folder", "parts", "layout")
        with pytest.raises(InputError, match=message):
            samkit.export(wrong, **dict(zip(names, arguments, strict=False)))
    for arguments, message in (
        ({"half": "no"}, "half: expected True or False, got 'no'"),
        ({"int8": "yes"}, "int8: expected True or False, got 'yes'"),
        ({"half": True, "int8": True}, "expected half or int8, got both"),
    ):
        with pytest.raises(InputError, match=message):
            samkit.export(sam, out, **arguments)
    assert not out.exists()


WITHOUT_THE_EXTRA = """
import sys
for name in ("onnx", "onnx_ir", "onnxruntime", "onnxscript"):
    sys.modules[name] = None
import samkit
from samkit.exporter import measure  # of torch, too
try:
    samkit.export(samkit.load("pico", dtype="float32"), sys.argv[1])
except samkit.MissingDependencyError as error:
    print(error)
"""


def test_without_the_extra(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_THE_EXTRA, str(tmp_path / "out")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.stdout == "exporting needs the package onnx: pip install 'samkit[export]'\n"
    assert not list(tmp_path.iterdir())


def test_large_weights_lie_in_a_file_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_files, "_MOST_INSIDE", 1000)
    layer, x = nn.Linear(64, 32), torch.randn(3, 64)
    part = Part(
        name="layer",
        module=nn.Sequential(layer, nn.Unflatten(1, (1, 32))),
        inputs={"x": x},
        outputs=("y",),
        axes={},
    )
    write_onnx(part, tmp_path, "float32")
    assert (tmp_path / "layer.onnx.data").stat().st_size >= 64 * 32 * 4
    assert (tmp_path / "layer.onnx").stat().st_size < 64 * 32 * 4
    session = onnxruntime.InferenceSession(tmp_path / "layer.onnx")
    (found,) = session.run(None, {"x": x.numpy()})
    assert found[:, 0] == pytest.approx(layer(x).detach().numpy(), abs=1e-5)
