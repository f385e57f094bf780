"""The ebs driver keeps every contract, at a strict EC2."""

from volplug.testing import (
    CloneableContract,
    DriverContract,
    ExpandableContract,
    FencingContract,
    SnapshottableContract,
)


class TestEbs(
    DriverContract, ExpandableContract, CloneableContract, SnapshottableContract, FencingContract
):
    """Fenced by a detachment."""
