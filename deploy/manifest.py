"""The plugin's manifest, fitted to what this machine can give.

The engine refuses to start a plugin that asks for a capability which the machine itself lacks, as
one inside a container or a locked-down virtual machine does. Two that volplug can do without are
left out then, and it is told what goes with them.
"""

import json
import sys
from pathlib import Path

DISPENSABLE = {
    "CAP_SYS_RESOURCE": (24, "ext4 volumes grow when they are mounted next, not while in use"),
    "CAP_LINUX_IMMUTABLE": (9, "mountpoints are guarded by their mode alone while unmounted"),
}
"""Numbers as in linux/capability.h, and what is lost without."""


def fit(manifest: str, bounding_set: int) -> tuple[str, list[str]]:
    """Return the manifest without what the machine lacks, and a sentence for each thing lost."""
    fitted, losses = json.loads(manifest), []
    for name, (number, loss) in DISPENSABLE.items():
        if not bounding_set >> number & 1:
            fitted["linux"]["capabilities"].remove(name)
            losses.append(f"this machine has no {name}, so the plugin goes without: {loss}")
    return (json.dumps(fitted, indent=2) + "\n" if losses else manifest), losses


def write(source: Path, target: Path) -> None:
    """Copy the manifest, fitted to this machine, and say what it goes without."""
    text, losses = fit(source.read_text(), _bounding_set())
    target.write_text(text)
    for loss in losses:
        sys.stdout.write(f"{loss}\n")


def _bounding_set() -> int:
    """Return the capabilities that a process of this machine can have, as bits (proc(5))."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["CapBnd"], 16)
