"""An ONNX file in the engine that runs it."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from samkit.errors import CheckpointError, MissingDependencyError

__all__ = ["RUNTIMES", "Engine", "Runtime"]

Runtime = Literal["onnx", "openvino"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)

# Inputs by name -> outputs in their order.
Arrays = Mapping[str, NDArray[np.generic]]
Run = Callable[[Arrays], list[NDArray[np.generic]]]


class Engine(nn.Module):
    """One file, on the CPU, with as many threads as torch has when it is loaded.

    Args:
        path: of the ONNX file.
        runtime: which engine runs it.
        checksum: of the file, in hexadecimal digits, for the fingerprint of its network.

    Raises:
        MissingDependencyError: the engine is not installed.
        CheckpointError: the engine cannot load the file.
    """

    checksum: Tensor

    def __init__(self, path: Path, runtime: Runtime, checksum: str) -> None:
        super().__init__()
        self._path, self._name = path, _NAMES[runtime]
        self._run, self.outputs = _OPEN[runtime](path)
        self.register_buffer("checksum", torch.tensor(list(bytes.fromhex(checksum)), device="cpu"))

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Inputs and outputs by name; floats are float32.

        Raises:
            CheckpointError: the file takes other inputs, or the engine fails, such as for want of
                memory.
        """
        arrays = {
            name: (tensor.float() if tensor.is_floating_point() else tensor).contiguous().numpy()
            for name, tensor in inputs.items()
        }
        try:
            found = self._run(arrays)
        except Exception as error:  # of each engine and kind another class
            raise _unusable(self._path, f"{self._name} cannot run it", error) from error
        return {
            name: torch.from_numpy(array) for name, array in zip(self.outputs, found, strict=True)
        }


def _open_onnx(path: Path) -> tuple[Run, list[str]]:
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing("onnxruntime", "export") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    # Threads that spin while they wait slow down torch, which has its own.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    except Exception as error:  # it has a class for each kind, all of them made of Exception
        raise _unusable(path, "onnxruntime cannot load it", error) from error
    outputs = [output.name for output in session.get_outputs()]
    return lambda arrays: session.run(outputs, dict(arrays)), outputs


def _open_openvino(path: Path) -> tuple[Run, list[str]]:
    try:
        import openvino
    except ImportError as error:
        raise _missing("openvino", "openvino") from error
    hints: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    try:
        model = openvino.Core().compile_model(path, "CPU", hints)
    except Exception as error:  # also of a path that is no Unicode
        raise _unusable(path, "OpenVINO cannot load it", error) from error
    outputs = [output.any_name for output in model.outputs]
    request, lock = model.create_infer_request(), threading.Lock()

    def run(arrays: Arrays) -> list[NDArray[np.generic]]:
        with lock:  # of threads that ask at once: a request is for one call at a time
            found = request.infer(dict(arrays), share_inputs=True)
        return [found[i] for i in range(len(outputs))]

    return run, outputs


_OPEN: dict[Runtime, Callable[[Path], tuple[Run, list[str]]]] = {
    "onnx": _open_onnx,
    "openvino": _open_openvino,
}
_NAMES: dict[Runtime, str] = {"onnx": "onnxruntime", "openvino": "OpenVINO"}


def _missing(package: str, extra: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"{package} is not installed: pip install 'samkit[{extra}]' installs what is needed"
    )


def _unusable(path: Path, what: str, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: {what}: {' '.join(str(error).split()):.500}")
