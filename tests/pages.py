"""The parts of a page that are written by the program: found by their comments, told by the class.

A reference that was typed by hand is wrong after the first change. So the page holds a copy between
two comments, and the tests compare it with what the class says, word for word.
"""

import re
from pathlib import Path

from volplug.options import describe

BACKENDS = Path(__file__).parents[1] / "docs/backends"


def table(declared: type) -> str:
    """Return the table of a dataclass of options."""
    lines = ["| name | type | default | meaning |", "|---|---|---|---|"]
    for one in describe(declared):
        default = f"`{one.default}`" if one.default else "required" if one.required else ""
        lines.append(f"| `{one.name}` | {one.type.replace('|', ' or ')} | {default} | {one.help} |")
    return "\n".join(lines) + "\n"


def part(page: Path, name: str) -> str:
    """Return what stands between two comments of a page."""
    found = re.search(rf"<!-- {name}:.*?-->\n(.*?)<!-- /{name} -->", page.read_text(), re.DOTALL)
    assert found, f"{page.name} has no part '{name}'"
    return found[1]
