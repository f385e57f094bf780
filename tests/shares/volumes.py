"""The volumes of a tree, and what is left of them."""

from tests.rigs.network import until
from volplug.trees.subdirectories import Subdirectories
from volplug.trees.tree import Tree


def on(tree: Tree, *, archive_days: float = 30, purge_rate_per_s: int = 2000) -> Subdirectories:
    """Return the volumes of a tree, as a process that has just started sees them."""
    return Subdirectories(
        tree,
        share="the share",
        cure="ask its owner",
        archive_days=archive_days,
        purge_rate_per_s=purge_rate_per_s,
    )


def below(tree: Tree, path: str) -> list[str]:
    """Return what is in a directory of ours."""
    return sorted(entry.name for entry in tree.entries(path))


def emptied(share: Subdirectories) -> None:
    """Wait until nothing is left in the trash."""
    until(lambda: not below(share.tree, ".volplug/trash"), "the trash to be empty")
