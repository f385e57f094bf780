"""Running the tools that packaging is made of, with a line on the terminal for each step.

Apart from volplug.command on purpose: these tools need the operator's environment (proxies, a pip
configuration, DOCKER_HOST), which volplug itself must not pass on.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StepFailed(Exception):
    """A tool said no; the sentence carries its last words."""


@contextmanager
def step(sentence: str) -> Iterator[None]:
    """Show what is going on, and afterwards how long it took."""
    sys.stdout.write(f"{sentence} ... ")
    sys.stdout.flush()
    begin = time.monotonic()
    try:
        yield
    except BaseException:
        sys.stdout.write("failed\n")
        raise
    sys.stdout.write(f"{time.monotonic() - begin:.1f} s\n")
    sys.stdout.flush()


def run(*argv: str | Path, into: Path | None = None) -> str:
    """Run a tool to its end and return what it printed, or write that to a file.

    Raises StepFailed with the tool's last words if it failed or is not installed.
    """
    words = [str(word) for word in argv]
    try:
        if into is None:
            done = subprocess.run(words, capture_output=True, check=False)
        else:
            with into.open("wb") as file:
                done = subprocess.run(words, stdout=file, stderr=subprocess.PIPE, check=False)
    except FileNotFoundError as error:
        raise StepFailed(f"{words[0]} is not installed on this machine") from error
    if done.returncode != 0:
        text = (done.stderr or done.stdout or b"").decode(errors="replace")
        last = "\n  ".join(text.strip().splitlines()[-8:])
        raise StepFailed(f"`{' '.join(words)}` ended with code {done.returncode}:\n  {last}")
    return "" if done.stdout is None else done.stdout.decode().strip()
