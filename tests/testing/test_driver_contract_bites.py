"""The driver contract fails drivers that break a promise, by the name of the promise."""

from pathlib import Path

import pytest

from tests.testing.bites import assert_bites
from volplug.testing import (
    CloneableContract,
    DriverContract,
    ExpandableContract,
    FencingContract,
    SnapshottableContract,
)

_FILE = Path(__file__).with_name("broken_drivers.py")

_FAULTS = {
    "TestForgetful": [
        "test_create_again_gives_the_same_handle",
        "test_create_from_another_process_gives_the_same_handle",
        "test_create_from_many_threads_makes_one_volume",
    ],
    "TestOwnMemory": ["test_create_from_another_process_gives_the_same_handle"],
    "TestRacy": ["test_create_from_many_threads_makes_one_volume"],
    "TestShortNames": ["test_similar_names_are_different_volumes"],
    "TestStrictDelete": [
        "test_delete_again_is_success",
        "test_delete_from_another_process_is_success",
    ],
    "TestDeletesAll": ["test_delete_leaves_other_volumes_alone", "test_clone_outlives_its_origin"],
    "TestAttachMakes": ["test_deleted_volume_cannot_be_attached"],
    "TestCounting": [
        "test_attach_again_gives_an_equal_answer",
        "test_detached_volume_can_be_attached_again",
    ],
    "TestDeviceName": ["test_attach_says_what_to_mount"],
    "TestOnePlace": ["test_attach_says_what_to_mount", "test_two_volumes_are_two_sources"],
    "TestStrictDetach": ["test_detach_again_is_success"],
    "TestPaths": ["test_forged_handles_reach_nothing", "test_deleted_volume_cannot_be_attached"],
    "TestAddsUp": [
        "test_expand_grows_and_repeats",
        "test_expand_never_shrinks",
        "test_expand_beyond_all_storage_is_refused",
        "test_expand_of_a_deleted_volume_is_refused",
    ],
    "TestAlias": [
        "test_clone_is_a_volume_of_its_own",
        "test_clone_outlives_its_origin",
        "test_clone_of_a_deleted_volume_is_refused",
    ],
    "TestGuesses": ["test_fence_proves_that_the_node_is_cut_off"],
    "TestKeepsOnDetach": ["test_attachments_follow_attach_and_detach"],
    "TestTombstones": ["test_deleted_name_can_be_made_again"],
    "TestOnlyTheLiving": ["test_fence_of_a_node_that_has_nothing_is_success"],
    "TestVague": ["test_driver_names_modes_it_can_keep", "test_handles_are_text_of_their_own"],
    "TestRestless": ["test_node_id_is_a_name_that_stays"],
    "TestSeries": [
        "test_snapshot_again_is_the_same_one",
        "test_snapshots_are_listed_with_their_volume",
    ],
    "TestOneDrawer": ["test_snapshots_are_listed_with_their_volume"],
    "TestMovesOut": ["test_snapshot_is_taken_of_a_volume_in_use"],
    "TestStrictSnapshots": ["test_delete_snapshot_again_is_success"],
    "TestSnapshotAlias": [
        "test_volume_from_a_snapshot_is_its_own",
        "test_volume_from_a_snapshot_outlives_it",
    ],
    "TestObliging": [
        "test_volume_from_no_snapshot_is_refused",
        "test_snapshot_of_a_deleted_volume_is_refused",
    ],
    "TestCrashes": [
        "test_every_ability_has_its_contract",
        "test_every_option_has_help",
        "test_hostile_options_are_refused_or_harmless",
    ],
}


@pytest.mark.parametrize("broken", _FAULTS)
def test_broken_driver_fails_by_name(broken: str) -> None:
    """Each broken driver fails the tests that name its fault."""
    assert_bites(_FILE, broken, *_FAULTS[broken])


def test_every_test_of_the_contract_has_a_driver_that_fails_it() -> None:
    """A test that nothing fails would be a promise that nobody has to keep."""
    contracts = (
        DriverContract,
        ExpandableContract,
        CloneableContract,
        FencingContract,
        SnapshottableContract,
    )
    tests = {name for contract in contracts for name in vars(contract) if name.startswith("test_")}
    assert {name for names in _FAULTS.values() for name in names} == tests
