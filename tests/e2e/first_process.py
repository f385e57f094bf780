"""The first process of a node under test: prepares its namespaces, then starts what it is told.

Run by `unshare --pid --mount ...` as PID 1 of the new namespaces, so the kernel kills everything in
the node when it ends; and it ends when its standard input does, which also happens when the tests
are killed. Every process that loses its parent (a shim of containerd after `kill -9`) becomes its
child and is reaped here. One JSON request a line comes in, one JSON answer a line goes out.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

MACHINE_ID = "/etc/machine-id"
PRODUCT_UUID = "/sys/class/dmi/id/product_uuid"

_ended: dict[int, int] = {}


def prepare(name: str, boot_id: Path, machine: str) -> None:
    """Give the node its own /run, engine settings, host name, boot ID, and hardware if any."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, where, *_ = line.split()
        # A copy of somebody's mount keeps their loop device busy after they let go of it.
        if device.startswith("/dev/loop"):
            _call("umount", "--lazy", where)
    # What volplug mounts must reach the containers, and the plugin's mounts the engine.
    _call("mount", "--make-rshared", "/")
    for private in ("/run", "/etc/docker", "/usr/lib/docker"):
        if private == "/etc/docker":
            Path(private).mkdir(exist_ok=True)
        if Path(private).is_dir():
            _call("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", private)
    # A reboot is told by the boot ID, and the kernel under us does not reboot.
    _call("mount", "--bind", str(boot_id), "/proc/sys/kernel/random/boot_id")
    if machine:
        _identify(Path(machine))
    _call("busybox", "ip", "link", "set", "lo", "up")
    socket.sethostname(name)


def _identify(machine: Path) -> None:
    """Put the files of this directory where a machine's ID and its firmware's are read.

    A machine without firmware of its own has no directory for it, so that is laid over /sys/class;
    the links there lead to the same places as before.
    """
    if Path(MACHINE_ID).exists():
        _call("mount", "--bind", str(machine / "machine-id"), MACHINE_ID)
    if Path(PRODUCT_UUID).exists():
        _call("mount", "--bind", str(machine / "class/dmi/id/product_uuid"), PRODUCT_UUID)
    else:
        layers = f"lowerdir={machine}/class:/sys/class"
        _call("mount", "-t", "overlay", "-o", layers, "overlay", "/sys/class")


def _call(*argv: str) -> None:
    subprocess.run(argv, check=True)


def start(argv: list[str], env: dict[str, str], stdin: str, stdout: str, stderr: str) -> int:
    """Start a process in a session of its own, with files for its streams; return its PID."""
    output = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawnp(
        argv[0],
        argv,
        env,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, stdout, output, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, stderr, output, 0o600),
        ],
        setsid=True,
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # Python ignores both, and that is inherited
    )


def ended(pid: int) -> int | None:
    """Return how a child ended: its code, or the negative signal; None while it runs."""
    return _ended.get(pid)


def kill(pid: int, number: int, *, group: bool) -> None:
    """Send a signal to a process or to its group. Already gone is success."""
    with suppress(ProcessLookupError):
        os.killpg(pid, number) if group else os.kill(pid, number)


def answers(path: str) -> bool:
    """Say whether somebody listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
        return True


def _reap(*_: object) -> None:
    """Note the end of every child that has one."""
    with suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG))[0]:
            _ended[child[0]] = os.waitstatus_to_exitcode(child[1])


def main() -> None:
    """Prepare the node, say so, and serve requests until nobody is left to make any."""
    prepare(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
    signal.signal(signal.SIGCHLD, _reap)
    calls: dict[str, Any] = {"start": start, "ended": ended, "kill": kill, "answers": answers}
    print(json.dumps("ready"), flush=True)  # noqa: T201  the answers' way out
    for line in sys.stdin:
        call, arguments = json.loads(line)
        try:
            answer = {"value": calls[call](**arguments)}
        except OSError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)  # noqa: T201  the answers' way out


if __name__ == "__main__":
    main()
