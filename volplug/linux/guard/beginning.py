"""How a guard begins to serve: one at each post, before it is needed, and past its parent's end.

A second one at a post waits for the first one's end, or leaves it the post.
"""

import fcntl
import os
import sys
from collections.abc import Callable

from volplug.linux.guard import alarm, wire
from volplug.linux.guard.post import Log, Post
from volplug.linux.guard.server import Server


def serve(post: Post, *, ready: Callable[[], None], stays: bool) -> None:
    """Guard until told to end; while another guard has this post, wait for its end.

    `ready` is called once requests are taken. One that `stays` ends by a signal only. It never ends
    while anything is armed. Raises OSError.
    """
    post.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(post.directory / wire.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if stays:
        fcntl.flock(lock, fcntl.LOCK_EX)
    else:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody else was quicker, and serves as well
            ready()
            return
    log = Log()
    refused = list(alarm.be_punctual())
    if refused:
        log.write(f"it may be late on a busy machine, for want of {', '.join(refused)}")
    server = Server(post, log, stays=stays)
    ready()
    server.run()


def detach(post: Post) -> None:
    """Leave a guard behind that serves, once it does; its words go to a file beside its table.

    Raises OSError if it could not begin to serve.
    """
    serving, tell = os.pipe2(os.O_CLOEXEC)
    if os.fork():
        os.close(tell)
        if not os.read(serving, 1):
            raise OSError("the guard did not begin to serve")
        return
    os.setsid()
    post.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.chdir("/")
    log = os.open(post.directory / wire.LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDWR)
    for old, new in ((nothing, 0), (nothing, 1), (log, 2)):
        os.dup2(old, new)
    try:
        serve(post, ready=lambda: _say_ready(tell), stays=False)
    except Exception as error:  # noqa: BLE001  its last words
        sys.stderr.write(f"volplug guard: {error}\n")
        os._exit(1)
    os._exit(0)


def _say_ready(tell: int) -> None:
    os.write(tell, b"!")
    os.close(tell)
