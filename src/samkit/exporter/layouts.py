"""Whose names and axes the files of an image have: thin modules round the network.

========================  ==========================================================================
samkit                    what `samkit.load` reads; tokens as in `PromptTensors`
transformers              transformers.js, as onnx-community publishes SAM and SAM 2
samexporter               samexporter and what reads its files, such as X-AnyLabeling
========================  ==========================================================================
"""

from typing import Literal

import torch
from torch import Tensor

from samkit.exporter import parts
from samkit.exporter.layout import Layout, normalised, padded
from samkit.exporter.samexporter import SAMEXPORTER
from samkit.exporter.transformers_js import TRANSFORMERS
from samkit.nn import Network

__all__ = ["LAYOUTS", "LayoutName"]

LayoutName = Literal["samkit", "transformers", "samexporter"]


@torch.inference_mode()
def _without_memory(network: Network, maps: dict[str, Tensor]) -> dict[str, Tensor]:
    features = network.without_memory(parts.features_of(network, list(maps.values())))
    return dict(zip(maps, features.tensors, strict=True))


LAYOUTS: dict[LayoutName, Layout] = {
    "samkit": Layout(
        encoder=parts.encoder,
        decoder=parts.decoder,
        pixels=normalised,
        prompts=padded,
        logits=lambda _: "logits",
        decoded=_without_memory,
    ),
    "transformers": TRANSFORMERS,
    "samexporter": SAMEXPORTER,
}
