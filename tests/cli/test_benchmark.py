"""`samkit benchmark`: what it prints; nothing depends on how quick it is."""

import re
import shutil
from concurrent.futures import Executor, Future
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import make, tiny_sam

from samkit import exporter
from samkit.exporter import speed
from samkit.weights import save_network

# The package has a function of this name.
command = import_module("samkit.cli.benchmark")
ROW = re.compile(r"^(\w+, \d+ threads?) +((?:\d+\.\d +|- +)+)(\d+)$", re.MULTILINE)


def rows(text: str) -> dict[str, list[float]]:
    """Label -> the numbers of its row."""
    return {
        label: [float(x) for x in re.findall(r"[\d.]+", times)]
        for label, times, _ in ROW.findall(text)
    }


def check(text: str, labels: set[str], operations: int) -> None:
    found = rows(text)
    assert found.keys() == labels
    for times in found.values():
        assert len(times) == 3 * operations
        for i in range(0, len(times), 3):
            assert 0 < times[i] <= times[i + 1] <= times[i + 2]
    sums = {label: sum(times[::3]) for label, times in found.items()}
    best = re.search(r"Best here, by the sum of the medians: (.*)\.\n$", text)
    assert best is not None
    assert sums[best[1]] <= min(sums.values()) + 0.2  # as printed they are rounded


def test_without_memory(run: Any, tmp_path: Path) -> None:
    save_network(make(tiny_sam()), tmp_path / "sam.safetensors")
    arguments = ("--runtime", "torch", "--threads", "2")
    code, text, _ = run("benchmark", tmp_path / "sam.safetensors", *arguments)
    assert code == 0
    check(text, {"torch, 2 threads"}, 2)


def test_exported_for_the_while(
    run: Any, model: str, exported_pico: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def export(_: Any, folder: Path, *, parts: str) -> None:
        written.append((folder, parts))
        shutil.copytree(exported_pico, folder)

    class Here(Executor):
        """In this process, which has imported torch already."""

        def __init__(self, *_: Any, **__: Any) -> None: ...

        def submit(self, call: Any, *arguments: Any, **_: Any) -> Any:
            done: Future[Any] = Future()
            done.set_result(call(*arguments))
            return done

    monkeypatch.setattr(exporter, "export", export)
    monkeypatch.setattr(speed, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(speed, "_MOST", 3)
    threads = torch.get_num_threads()
    try:
        code, text, _ = run("benchmark", model, "--runtime", "onnx,torch", "--threads", "1,2")
    finally:
        torch.set_num_threads(threads)
    assert code == 0
    each = [(name, count) for name in ("torch", "onnx") for count in ("1 thread", "2 threads")]
    check(text, {f"{name}, {count}" for name, count in each}, 3)
    ((folder, parts),) = written
    assert parts == "video"
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--threads", "0"), "expected numbers from 1 on, such as 1,2, got '0'"),
        (("--threads", "1,x"), "expected numbers from 1 on"),
        (("--runtime", "tensorrt"), "expected one of torch, onnx, openvino, got tensorrt"),
    ],
)
def test_wrong_usage(run: Any, arguments: tuple[str, ...], message: str) -> None:
    code, _, text = run("benchmark", "pico", *arguments)
    assert code == 2
    assert message in " ".join(text.split())


def test_an_export_has_no_torch(run: Any, exported_pico: Path) -> None:
    code, _, text = run("benchmark", exported_pico, "--runtime", "torch")
    assert code == 2
    assert "expected one of onnx, openvino, got torch" in " ".join(text.split())


@pytest.mark.parametrize("arguments", [("--runtime", "torch,openvino"), ("--runtime", "openvino")])
def test_a_runtime_that_is_not_installed(
    run: Any, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda package: package != "openvino" or None)
    monkeypatch.setattr(exporter, "export", None)  # nothing is exported before
    code, _, text = run("benchmark", "pico", *arguments)
    assert code == 1
    assert "openvino is not installed: pip install 'samkit[export,openvino]'" in text


def test_no_runtime_of_an_export(
    run: Any, exported_pico: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    code, _, text = run("benchmark", exported_pico)
    assert code == 1
    assert "onnxruntime is not installed" in text


def test_no_such_model(run: Any) -> None:
    code, _, text = run("benchmark", "nothing", "--runtime", "torch")
    assert code == 2
    assert "no model is called 'nothing'" in " ".join(text.split())
