"""A share whose server is in the test's hand: it answers, falls silent, or ends.

A FUSE file system of one empty directory, spoken over /dev/fuse without a library. There are two
silences. A stopped server takes no questions, and whoever asks one waits until he is killed. One
that is stuck has taken the question, and then not even SIGKILL ends the wait.

Run as a program with a directory it mounts there, prints the number of the process that serves, and
ends, as the mount programs of FUSE file systems do.
"""

import io
import os
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

_INIT, _GETATTR, _STATFS, _OPENDIR = 26, 3, 17, 27
_REQUEST = struct.Struct("=IIQQIIII")
_ANSWER = struct.Struct("=IiQ")
_DIRECTORY = 0o040755
_ENOSYS = 38


class FuseShare:
    """A mounted share; its server takes questions and answers while the events are set.

    `stuck` is set once it has a question that it does not answer.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.taking, self.answering, self.stuck = (threading.Event() for _ in range(3))
        self.taking.set()
        self.answering.set()
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0"
        # mount(8) looks at what it has mounted, so that the server has to be there before.
        self._ended = threading.Event()
        self._server = threading.Thread(target=self._serve, daemon=True)
        self._server.start()
        subprocess.run(
            ["mount", "-i", "-n", "-t", "fuse", "-o", options, "server:/share", target],
            check=True,
            pass_fds=[self._device],
        )

    def end(self) -> None:
        """End the server, as a crash does; a mount that is left answers nobody any more."""
        self._ended.set()
        self._server.join()

    def wait(self) -> None:
        """Return when there is nothing left to serve."""
        self._server.join()

    def _serve(self) -> None:
        """Answer until the server ends, or has nothing left to serve."""
        with os.fdopen(self._device, "r+b", buffering=0) as device:
            while not self._ended.wait(0.001):
                if not self.taking.is_set():
                    continue
                try:
                    request = device.read(1 << 17)
                except PermissionError:  # not mounted yet
                    continue
                except OSError:
                    return
                if request:  # else nothing was asked
                    self._answer(device, request)

    def _answer(self, device: io.FileIO, request: bytes) -> None:
        _, kind, number, *_ = _REQUEST.unpack_from(request)
        body = _ANSWERS.get(kind)
        error = 0 if body is not None else -_ENOSYS
        while not self.answering.is_set():
            self.stuck.set()
            if self._ended.wait(0.001):
                return
        with suppress(OSError):  # who asked may be gone
            device.write(
                _ANSWER.pack(_ANSWER.size + len(body or b""), error, number) + (body or b"")
            )


_ATTRIBUTES = struct.pack("=6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, _DIRECTORY, 2, 0, 0, 0, 512, 0)
_ANSWERS = {
    _INIT: struct.pack("=IIIIHHIIHHI7I", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0, 0, *[0] * 7),
    _GETATTR: struct.pack("=QII", 0, 0, 0) + _ATTRIBUTES,  # not to be kept: asked for each time
    _STATFS: struct.pack("=5Q4I6I", 9, 9, 9, 9, 9, 512, 255, 512, 0, *[0] * 6),
    _OPENDIR: struct.pack("=QII", 1, 0, 0),
}


def main() -> None:
    """Leave a daemon behind that serves a share, once that is mounted."""
    mounted, tell = os.pipe()
    daemon = os.fork()
    if daemon:
        os.close(tell)
        if not os.read(mounted, 1):
            sys.exit("the share was not mounted")
        sys.stdout.write(f"{daemon}\n")
        return
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDWR), sys.stdout.fileno())  # a reader waits for its end
    share = FuseShare(Path(sys.argv[1]))
    os.write(tell, b"!")
    share.wait()


if __name__ == "__main__":
    main()
