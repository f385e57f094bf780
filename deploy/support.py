"""The table of what each driver can: from the classes, and from what a test run wrote down.

    TESTED_NOTE=docs/tested.json make test    # the run notes what it tested against
    python -m deploy.support                     # the table for docs/backends/README.md

What stands in a page by hand is wrong a month later. The classes say what they can, in words where
yes and no do not do; docs/tested.json says against what the tests of each passed.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from volplug import registry
from volplug.admin.drivers import ABILITIES, kind
from volplug.driver import Driver, Fencing

TESTED = Path(__file__).parents[1] / "docs/tested.json"
_HEADS = (
    "driver", "kind", "access modes", "size", "snapshot", "clone", "expand", "fence, and its proof",
    "writes after it", "attach limit", "tested against",
)  # fmt: skip


def table(tested: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table in Markdown, for every installed driver."""
    lines = [_line(_HEADS), "|" + "---|" * len(_HEADS)]
    lines += [_line(_cells(name, registry.load(name), tested)) for name in registry.names()]
    return "\n".join(lines) + "\n"


def _cells(
    name: str, driver: type[Driver[Any, Any]], tested: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    def can(ability: str) -> str:
        return "yes" if issubclass(driver, ABILITIES[ability]) else "no"

    run = tested.get(name)
    return [
        f"`{name}`",
        kind(driver),
        ", ".join(sorted(driver.access_modes)),
        driver.size_enforced,
        *map(can, ("snapshot", "clone", "expand")),
        *((driver.fence_proof, driver.late_writes) if issubclass(driver, Fencing) else ("no", "")),
        driver.attach_limit,
        f"{run['against']} ({run['passed']} tests)" if run else "no run noted",
    ]


def _line(cells: "list[str] | tuple[str, ...]") -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(table(json.loads(TESTED.read_text())))
