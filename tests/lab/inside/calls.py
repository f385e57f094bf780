"""Makes calls of Docker's plugin protocol, all at once: `calls.py JSON`, a list of [verb, body].

One Python for many, because its start takes a second on an emulated processor. Prints the answers,
one a line, in the order of the calls.
"""

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

_SOCKET = "/run/docker/plugins/volplug.sock"


def call(verb: str, body: dict[str, object]) -> str:
    """Make one call and return its answer's body, however long that takes."""
    text = json.dumps(body).encode()
    head = f"POST /VolumeDriver.{verb} HTTP/1.0\r\nContent-Length: {len(text)}\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(_SOCKET)
        client.sendall(head.encode() + text)
        answer = client.makefile("rb").read()
    return answer.partition(b"\r\n\r\n")[2].decode().strip()


calls = json.loads(sys.argv[1])
with ThreadPoolExecutor(len(calls)) as pool:
    for answer in pool.map(lambda one: call(*one), calls):
        sys.stdout.write(f"{answer}\n")
