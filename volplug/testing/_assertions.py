"""Makes a contract's failing `assert` show its two sides, in a stranger's test run as in ours.

pytest does that for test files only, unless told before the modules are imported.
"""

import pytest

pytest.register_assert_rewrite(
    "volplug.testing.abilities",
    "volplug.testing.catalog",
    "volplug.testing.disk",
    "volplug.testing.driver",
    "volplug.testing.host",
    "volplug.testing.known",
    "volplug.testing.lease",
    "volplug.testing.lease_moves",
    "volplug.testing.mount",
    "volplug.testing.mount_table",
    "volplug.testing.snapshots",
)
