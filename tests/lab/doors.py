"""A door into the lab's network for a server that runs outside it.

A simulator of a cloud is asked by guests and by tests alike, and no packet passes between the two
networks. But a socket belongs to the network it was made in, whoever has it: so it is made by a
thread that is in the lab's network for that long, and given to the server.
"""

import ctypes
import os
import socket
import threading
from pathlib import Path

_NETWORK = 0x40000000  # CLONE_NEWNET


def listen(process_id: int, address: str) -> socket.socket:
    """Listen at a free port of an address of the network that a process is in.

    Raises OSError if that network, or the address in it, is not there.
    """
    made: list[socket.socket | OSError] = []

    def inside() -> None:
        try:
            _enter(Path(f"/proc/{process_id}/ns/net"))
            made.append(socket.create_server((address, 0)))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=inside)  # its network is its own, and ends with it
    thread.start()
    thread.join()
    (door,) = made
    if isinstance(door, OSError):
        raise door
    return door


def _enter(network: Path) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    file = os.open(network, os.O_RDONLY)
    try:
        if library.setns(file, _NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "setns", str(network))
    finally:
        os.close(file)
