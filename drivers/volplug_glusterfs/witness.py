"""A client of one directory of a Gluster volume, which is only there to be disconnected.

`python -m volplug_glusterfs.witness VOLUME DIRECTORY SERVER...`, run as a child as gfapi_tree is.
It never leaves by itself: it expects no answer to pings, and does not log in as a server of the
cluster, whose connections no rule about addresses would end.
"""

import os
import socket
import sys
from collections.abc import Iterator

from volplug.sdk import Entry, serve_tree
from volplug_glusterfs.gfapi_tree import GfapiTree

_MANAGEMENT_PORT = 24007


class Witness(GfapiTree):
    """A tree of which only the connections are of interest; they are what can be read of it."""

    def __init__(self, volume: str, directory: str, servers: list[str]) -> None:
        """Mount the directory: bricks learn of it, and of who we are, from a client's options."""
        said = {"subdir-mount": directory, "username": "witness", "password": "none"}
        options = [("*-client-*", name, value) for name, value in said.items()]
        # Without the other options of a tree: a root that is not cached is none (Gluster 10.3).
        super().__init__(volume, 0, servers, options)

    def stat(self, path: str) -> Entry:
        """Answer without the volume, to which it may be connected no more."""
        return Entry(path, True, 0o700, 0, 0, 0)

    def read(self, path: str) -> str:  # noqa: ARG002  there is one thing to read
        """Return our process id, and our connections: `ADDRESS:PORT`, and `/` and the socket.

        Who is refused comes back from a port that it had before, so that this is not enough.
        """
        return " ".join([str(os.getpid()), *_connections()])


def _connections() -> Iterator[str]:
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208  of what may be gone already
        try:
            own = socket.socket(fileno=int(number))
        except OSError:
            continue  # no socket
        try:
            if own.getpeername()[1] != _MANAGEMENT_PORT:
                host, port = own.getsockname()[:2]
                yield f"{host}:{port}/{os.fstat(own.fileno()).st_ino}"
        except (OSError, ValueError, IndexError):
            continue  # not connected, or not of the internet
        finally:
            own.detach()  # it is the library's


if __name__ == "__main__":
    volume, directory, *servers = sys.argv[1:]
    serve_tree(lambda: Witness(volume, directory, servers))
