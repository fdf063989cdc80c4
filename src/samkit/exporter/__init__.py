"""Networks as ONNX files, each compared with the network before it is kept."""

from samkit.exporter.exporting import PARTS, Parts, check, export, program
from samkit.exporter.layouts import LAYOUTS, LayoutName
from samkit.exporter.speed import Speed, measure

__all__ = [
    "LAYOUTS",
    "PARTS",
    "LayoutName",
    "Parts",
    "Speed",
    "check",
    "export",
    "measure",
    "program",
]
