"""The contract of lease tables fails faults about nodes, fences and quarantine by their names."""

from pathlib import Path

import pytest

from tests.testing.bites import assert_bites
from volplug.testing.lease_fences import FenceContract, ForgetContract, QuarantineContract
from volplug.testing.lease_nodes import NodesContract

_FILE = Path(__file__).with_name("broken_nodes.py")

_FAULTS = {
    "TestSelfish": ["test_nodes_are_listed"],
    "TestTaciturn": ["test_guard_level_is_told_to_all"],
    "TestTrusting": ["test_word_of_a_guard_ends_with_the_process"],
    "TestCheerful": ["test_silence_is_counted"],
    "TestLifeless": ["test_reboot_is_a_new_incarnation"],
    "TestHastyFence": ["test_fence_is_kept"],
    "TestFickle": ["test_what_is_done_stays_done"],
    "TestPossessive": ["test_next_taker_goes_on"],
    "TestEager": [
        "test_only_a_lapsed_lease_is_fenced",
        "test_fence_is_of_one_token",
        "test_fence_that_nobody_required_is_not_settled",
    ],
    "TestOpen": ["test_node_is_kept_out_until_it_reported", "test_restart_is_not_clean"],
    "TestCareless": ["test_every_token_is_reported"],
    "TestSuspicious": ["test_others_are_not_kept_out"],
    "TestHarsh": ["test_leases_that_stand_are_kept"],
    "TestResentful": ["test_reboot_of_known_hardware_is_clean"],
    "TestLenient": ["test_restart_is_not_clean", "test_forgotten_node_comes_back"],
    "TestDiscreet": ["test_quarantine_is_told"],
    "TestMindful": ["test_silent_node_is_forgotten"],
    "TestForgetful": ["test_living_node_is_not_forgotten", "test_holder_is_not_forgotten"],
}


@pytest.mark.parametrize("broken", _FAULTS)
def test_broken_table_fails_by_name(broken: str) -> None:
    """Each broken table fails the tests that name its fault."""
    assert_bites(_FILE, broken, *_FAULTS[broken])


def test_every_test_has_a_table_that_fails_it() -> None:
    """A test that nothing fails would be a promise that nobody has to keep."""
    contracts = (NodesContract, FenceContract, QuarantineContract, ForgetContract)
    tests = {name for one in contracts for name in vars(one) if name.startswith("test_")}
    assert tests <= {name for names in _FAULTS.values() for name in names}
