"""Small things to remember on a tree: a file of JSON each, replaced in one step."""

import json
import secrets
from collections.abc import Mapping
from typing import Any

from volplug.trees.tree import Tree


def read_note(tree: Tree, path: str) -> dict[str, Any]:
    """Return what is noted there; nothing if there is none."""
    try:
        known = json.loads(tree.read(path))
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def write_note(tree: Tree, path: str, known: Mapping[str, Any]) -> None:
    """Replace what is noted there; a crash leaves the old note, and a file beside it."""
    fresh = f"{path}.{secrets.token_hex(4)}"
    tree.write(fresh, json.dumps(known, sort_keys=True) + "\n")
    tree.rename(fresh, path)
