"""The host contracts fail hosts that break a promise, by the name of the promise."""

from pathlib import Path

import pytest

from tests.testing.bites import assert_bites
from volplug.testing import DiskContract, HostContract, MountContract

_FILE = Path(__file__).with_name("broken_hosts.py")

_FAULTS = {
    "TestInvents": ["test_unknown_volume_has_no_path", "test_unstage_again_is_success"],
    "TestStrictStage": [
        "test_stage_again_is_success",
        "test_host_after_a_restart_knows_what_is_staged",
    ],
    "TestTakesAnySource": ["test_stage_from_another_source_is_refused"],
    "TestOneForAll": ["test_two_volumes_are_two_directories"],
    "TestShortNames": ["test_every_allowed_name_can_be_staged"],
    "TestHandsOutEarly": ["test_failure_to_remember_leaves_nothing_handed_out"],
    "TestRemembersAlways": ["test_ready_volume_is_not_remembered_again"],
    "TestNeverOwns": ["test_owner_is_applied_when_first_staged"],
    "TestAlwaysOwns": ["test_owner_is_applied_once_only"],
    "TestStrictUnstage": ["test_unstage_again_is_success"],
    "TestWipes": ["test_data_outlives_unstage"],
    "TestForgets": ["test_host_after_a_restart_knows_what_is_staged"],
    "TestCountsItself": ["test_nobody_uses_what_was_only_staged"],
    "TestUnmountsWhileUsed": [
        "test_users_are_counted_and_respected",
        "test_users_are_seen_after_a_restart",
    ],
    "TestCountsInMemory": ["test_users_are_seen_after_a_restart"],
    "TestCountsNeighbours": ["test_users_are_of_one_volume"],
    "TestGrowsNothing": ["test_grow_of_a_tree_is_success"],
    "TestStrictUnstageMounts": ["test_unstage_after_the_mount_vanished"],
    "TestTrustsRecords": ["test_path_only_while_mounted"],
    "TestSeesOwnMountsOnly": ["test_users_are_seen_after_the_mount_vanished"],
    "TestMountsNothing": [
        "test_devices_and_setuid_do_not_work",
        "test_orders_to_the_machine_are_refused",
        "test_owner_is_applied_though_read_only",
        "test_read_only_is_read_only",
        "test_staged_writable_is_not_staged_read_only",
    ],
    "TestUnmountsDiskWhileUsed": ["test_users_of_a_disk_are_respected"],
    "TestTrustsRecordsOfDisks": ["test_disk_comes_back_after_the_mount_vanished"],
    "TestFormatsAnything": [
        "test_disk_whose_record_was_lost_is_refused_and_kept",
        "test_foreign_data_is_refused_and_kept",
    ],
    "TestLooksAtTheStart": ["test_foreign_data_is_refused_and_kept"],
    "TestFormatsWhatIsReady": [
        "test_clone_without_data_is_refused",
        "test_ready_is_never_formatted",
    ],
    "TestRemembersTooLate": [
        "test_disk_is_not_formatted_if_that_cannot_be_remembered",
        "test_formatting_is_remembered_before_it_begins",
    ],
    "TestChoosesAnew": ["test_started_on_an_empty_disk_is_formatted_as_was_planned"],
    "TestStartsOnce": ["test_started_with_our_uuid_is_continued"],
    "TestTakesAnyDisk": ["test_another_disk_is_not_taken_for_ours"],
    "TestKeepsUuid": ["test_clone_becomes_a_volume_of_its_own"],
    "TestRenewsOnce": ["test_clone_is_continued_after_a_crash"],
    "TestFormatsReadOnly": ["test_blank_disk_is_not_staged_read_only"],
    "TestIgnoresSize": ["test_disk_that_is_too_small_is_refused"],
    "TestLostAndFound": ["test_disk_shows_an_empty_directory"],
    "TestFreezesNothing": ["test_frozen_disk_is_used_again_afterwards"],
    "TestRemembersDisksAlways": ["test_blank_disk_is_formatted_once"],
}


@pytest.mark.parametrize("broken", _FAULTS)
def test_broken_host_fails_by_name(broken: str) -> None:
    """Each broken host fails the tests that name its fault."""
    assert_bites(_FILE, broken, *_FAULTS[broken])


def test_every_test_of_the_contracts_has_a_host_that_fails_it() -> None:
    """A test that nothing fails would be a promise that nobody has to keep."""
    contracts = (HostContract, DiskContract, MountContract)
    tests = {name for contract in contracts for name in vars(contract) if name.startswith("test_")}
    assert {name for names in _FAULTS.values() for name in names} == tests
