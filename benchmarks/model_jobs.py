"""What one model does, by samkit or by transformers: the processes that `models.py` drives.

A process is told the names of jobs, a line each, and answers each with a line of JSON.
"""

import itertools
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_measure import CLOCKS
from bench_peers import Weights, transformers_class, transformers_model
from bench_tracking import FULL, track, track_by_transformers
from torch import Tensor, nn

import samkit
from samkit import Prompt
from samkit.errors import CheckpointError
from samkit.sizes import NetworkConfig, Sam3Config
from samkit.transforms import ImageTransform
from samkit.weights import find_model
from samkit.weights.tensor_file import write_safetensors
from samkit.words import PADDING, tokens_of

_PICTURE = Path(__file__).parent.parent / "examples" / "coffee.jpg"
_CLICK, _BOX = (300.0, 200.0), (190.0, 30.0, 470.0, 330.0)
# Nothing is more probable: with random weights it is chance how many objects are found.
_THRESHOLD = 1.0

Jobs = dict[str, Callable[[], object]]


class Program:
    """A program with one model, and its jobs on one photograph, in their order.

    Args:
        source: what it loads.
        config: the model's sizes.
        dtype: of the network.
        frames: how many are tracked at most.
    """

    def __init__(self, source: str, config: NetworkConfig, dtype: torch.dtype, frames: int) -> None:
        self.source, self.config, self.dtype, self.frames = source, config, dtype, FULL + frames
        self.image = samkit.read_image(_PICTURE)
        self.words = map("cup {}".format, itertools.count())  # none of them twice

    def jobs(self, *, finds: bool, tracks: bool) -> Jobs:
        jobs: Jobs = {
            "photograph": self.photograph,
            "click": self.click,
            "box": self.box,
            "further click": self.click,
        }
        if finds:
            jobs |= {"first word": self.word, "second word": self.word}
        if tracks:
            jobs["tracked frame"] = lambda: next(self.tracked)
        return jobs


class Samkit(Program):
    """samkit, as its users call it."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._load = samkit.load  # which imports what it needs

    def load(self) -> Jobs:
        self.predictor = self._load(self.source, device="cpu", dtype=self.dtype)
        network = self.predictor.network
        return self.jobs(finds=self.predictor.can_find, tracks=network.has_memory)

    def photograph(self) -> None:
        self.embedding = self.predictor.embed(self.image)

    def click(self) -> object:
        return self.predictor.predict(self.embedding, Prompt.point(*_CLICK))

    def box(self) -> object:
        return self.predictor.predict(self.embedding, Prompt.box(*_BOX))

    def word(self) -> object:
        return self.predictor.find(self.embedding, next(self.words), threshold=_THRESHOLD)

    @cached_property
    def tracked(self) -> Iterator[object]:
        frames = np.broadcast_to(self.image, (self.frames, *self.image.shape))
        return track(self.predictor, frames, [Prompt.box(*_BOX)])


class Transformers(Program):
    """transformers, in one model for all jobs.

    samkit prepares the pixels and enlarges the masks, as its own processors need torchvision; of
    video it is given pixels that were prepared before, and its masks are not enlarged.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.transform = ImageTransform.for_network(self.config, self.image.shape[:2])
        transformers_class(Path(self.source))  # imports it

    def load(self) -> Jobs:
        self.model: Any = transformers_model(Path(self.source), self.dtype)
        self.detector: Any = getattr(self.model, "detector_model", None)
        if self.detector is not None:
            self.model = tracker_of(self.model)
            self.detector.vision_encoder.backbone.register_forward_hook(self._keep_trunk)
        return self.jobs(finds=self.detector is not None, tracks=self.has_memory)

    @property
    def has_memory(self) -> bool:
        return hasattr(self.model, "memory_attention")

    def pixels(self) -> Tensor:
        return self.transform.pixels(self.image, self.config.mean, self.config.std).to(self.dtype)

    def photograph(self) -> None:
        self.vision = None
        self.maps = self.model.get_image_embeddings(self.pixels())

    def click(self) -> object:
        points = self.transform.points_to_input(np.array(_CLICK, np.float32))
        points = torch.from_numpy(points).view(1, 1, 1, 2).to(self.dtype)
        return self._mask(input_points=points, input_labels=torch.ones(1, 1, 1, dtype=torch.int32))

    def box(self) -> object:
        corners = self.transform.points_to_input(np.array(_BOX, np.float32).reshape(2, 2))
        return self._mask(input_boxes=torch.from_numpy(corners).view(1, 1, 4).to(self.dtype))

    def _mask(self, **prompt: Tensor) -> object:
        if self.has_memory:
            logits = self._logits_by_parts(**prompt)
        else:
            maps = self.maps if isinstance(self.maps, tuple) else (self.maps,)
            names = ("image_embeddings", "intermediate_embeddings")  # the latter of HQ-SAM alone
            given = dict(zip(names, maps, strict=False))
            logits = self.model(**given, **prompt, multimask_output=False).pred_masks
        return self.transform.mask_in_image(logits[0, 0, 0])

    def _logits_by_parts(
        self,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
        input_boxes: Tensor | None = None,
    ) -> Tensor:
        """What the models for images compute; those for video have no call for it."""
        sparse, dense = self.model.prompt_encoder(input_points, input_labels, input_boxes, None)
        logits, *_ = self.model.mask_decoder(
            image_embeddings=self.maps[-1],
            image_positional_embeddings=self.model.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
            high_resolution_features=self.maps[:-1],
        )
        return logits

    def word(self) -> object:
        if self.vision is None:
            self.vision = self._detector_maps()
        tokens = torch.tensor([tokens_of(next(self.words))])
        found = self.detector(
            vision_embeds=self.vision,
            input_ids=tokens,
            attention_mask=(tokens != PADDING).long(),
        )
        probable = found.pred_logits.sigmoid() * found.presence_logits.sigmoid()
        return found.pred_masks[probable > _THRESHOLD]

    def _keep_trunk(self, trunk: nn.Module, given: object, found: Any) -> None:
        self.trunk = found.last_hidden_state  # (1, h * w, C)

    def _detector_maps(self) -> object:
        from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

        rows, columns = self.config.grid
        trunk = self.trunk.transpose(1, 2).unflatten(2, (rows, columns))
        maps, positions = self.detector.vision_encoder.neck(trunk)
        return Sam3VisionEncoderOutput(fpn_hidden_states=maps, fpn_position_encoding=positions)

    @cached_property
    def tracked(self) -> Iterator[object]:
        frames = self.pixels().expand(self.frames, -1, -1, -1)
        return track_by_transformers(self.model, frames, self.image.shape[:2], [list(_BOX)])


def tracker_of(model: Any) -> nn.Module:
    """The part of the whole SAM 3 for clicks and memory, which looks at images by the same trunk.

    The whole lends it none, and computes the detector's maps too wherever it looks at an image.
    """
    detector, tracker = model.detector_model, model.tracker_model
    with torch.device("meta"):
        encoder = type(detector.vision_encoder)(detector.vision_encoder.config)
    encoder.backbone, encoder.neck = detector.vision_encoder.backbone, model.tracker_neck
    tracker.vision_encoder = encoder.eval()
    return tracker


def write(name: str, folder: Path) -> dict[str, Any]:
    """Write seeded weights: what each program loads, and how many values they are."""
    model = find_model(name)
    if isinstance(model.config, Sam3Config):
        return write_sam3(folder / name)
    if model.is_bundled:
        return {"sources": {"samkit": name}, "values": model.parameters}
    weights = Weights(name, folder)
    sources = {"samkit": str(weights.own())}
    try:
        sources["transformers"] = str(weights.hugging_face())
    except CheckpointError as error:
        print(error, file=sys.stderr)  # it has no such network
    return {"sources": sources, "values": model.parameters}


def write_sam3(folder: Path, config: Any = None) -> dict[str, Any]:
    """SAM 3 with its detector, which no layout of samkit's holds; both programs read the folder."""
    import transformers

    torch.manual_seed(0)
    model = transformers.Sam3VideoModel(config or transformers.Sam3VideoConfig())
    # As in `Weights`.
    nn.init.constant_(model.tracker_model.mask_decoder.pred_obj_score_head.proj_out.bias, 9.0)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    # Not by its own function (5.24), which changes the names, so that nothing reads them again.
    state = model.state_dict()
    state.pop("tracker_model.prompt_encoder.shared_embedding.positional_embedding")  # a copy
    write_safetensors(folder / "model.safetensors", state, {"format": "pt"})
    values = sum(parameter.numel() for parameter in model.parameters())
    return {"sources": dict.fromkeys(("samkit", "transformers"), str(folder)), "values": values}


def memory(what: str) -> int:
    """Bytes of this process, "VmRSS" now or "VmHWM" at most (Linux).

    Not `getrusage`, whose maximum begins with that of the process that started this one.
    """
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(what)).split()[1]) << 10


def serve(program: Samkit | Transformers, settings: dict[str, Any], answer: Callable) -> None:
    """Load a model, then do the jobs that standard input names."""
    clock = CLOCKS[settings["clock"]]
    torch.set_num_threads(settings["threads"])
    imports = memory("VmRSS")
    jobs = program.load()
    answer(imports=imports, loaded=memory("VmRSS"), loading=memory("VmHWM"), jobs=list(jobs))
    with torch.no_grad():  # not inference mode: some keep tensors between calls
        for line in sys.stdin:
            torch.set_num_threads(settings["threads"])
            began = clock()
            jobs[line.strip()]()
            answer(seconds=clock() - began, peak=memory("VmHWM"))


def main() -> None:
    settings = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer

    def answer(**values: object) -> None:
        print(json.dumps(values), file=answers, flush=True)

    name = settings["model"]
    try:
        if settings["program"] == "write":
            answer(**write(name, Path(settings["folder"])))
            return
        program = {"samkit": Samkit, "transformers": Transformers}[settings["program"]](
            settings["source"],
            find_model(name).config,
            getattr(torch, settings["dtype"]),
            settings["frames"],
        )
        serve(program, settings, answer)
    except Exception as error:
        traceback.print_exc()
        answer(error=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")


if __name__ == "__main__":
    main()
