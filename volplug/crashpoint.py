"""Named places between two effects, where tests kill the process.

The promise "nothing is lost at any step" can only be tried at every step if the steps have names.
Unless the environment variable VOLPLUG_CRASHPOINT names the point, passing one costs a comparison.
"""

import os
import signal

VARIABLE = "VOLPLUG_CRASHPOINT"


def crashpoint(name: str) -> None:
    """Kill this process with SIGKILL if the environment says that it dies here."""
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
