"""Annotating photographs and videos on a page: what is kept of each, masks of what was clicked."""

from samkit.server.annotate.project import Project
from samkit.server.annotate.routes import annotation_routes
from samkit.server.annotate.video_project import VideoProject
from samkit.server.annotate.video_routes import video_annotation_routes

__all__ = ["Project", "VideoProject", "annotation_routes", "video_annotation_routes"]
