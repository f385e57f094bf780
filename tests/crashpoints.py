"""The names of all crashpoints, read out of the source so that none can be forgotten."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]


def crashpoints() -> list[str]:
    """Collect the names of all crashpoints out of the source."""
    calls = (
        node
        for file in sorted((ROOT / "volplug").rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("crashpoint")
    )
    return sorted(
        {
            call.args[0].value
            for call in calls
            if call.args
            and isinstance(call.args[0], ast.Constant)
            and isinstance(call.args[0].value, str)
            and ".iscsi." not in call.args[0].value  # those need a target: in tests/lab
        }
        - {"stage.format.renewed"}  # only clones pass there, in tests/linux
    )
