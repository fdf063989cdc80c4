"""A server for programs: masks of images and videos over HTTP.

`create_app` makes the application (FastAPI); `samkit serve` runs it. It needs the extra `serve`.
"""

from samkit.errors import MissingDependencyError

try:
    import fastapi
    import prometheus_client
    import python_multipart
except ImportError as error:
    raise MissingDependencyError(
        f"the server needs the package {error.name}: pip install 'samkit[serve]'"
    ) from error
else:
    del fastapi, prometheus_client, python_multipart

from samkit.server.annotate import Project, VideoProject
from samkit.server.app import create_app
from samkit.server.labelstudio import LabelStudio
from samkit.server.settings import ServerSettings

__all__ = ["LabelStudio", "Project", "ServerSettings", "VideoProject", "create_app"]
