"""Label Studio's clicks and boxes: the routes of its machine learning backends."""

from samkit.server.labelstudio.origins import LabelStudio
from samkit.server.labelstudio.routes import PATHS, label_studio_routes

__all__ = ["PATHS", "LabelStudio", "label_studio_routes"]
