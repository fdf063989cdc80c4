"""Annotating photographs on a page: what is kept of each, masks of what was clicked and painted."""

from samkit.server.annotate.project import Project
from samkit.server.annotate.routes import annotation_routes

__all__ = ["Project", "annotation_routes"]
