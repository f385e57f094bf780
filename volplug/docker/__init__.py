"""The Docker front: the engine's volume plugin protocol, spoken over a unix socket."""

from volplug.docker.app import create_app
from volplug.docker.server import serve

__all__ = ["create_app", "serve"]
