"""The store contracts fail stores that break a promise, by the name of the promise."""

from pathlib import Path

import pytest

from tests.testing.bites import assert_bites
from volplug.testing import CatalogContract, LeaseContract, MountTableContract

_FILE = Path(__file__).with_name("broken_stores.py")

_FAULTS = {
    "TestForgetsAtRestart": [
        "test_condemnation_is_kept",
        "test_leases_survive_a_restart",
        "test_tokens_grow_across_restarts",
    ],
    "TestHaunted": ["test_new_table_is_empty", "test_mine_is_this_nodes"],
    "TestWholeSeconds": ["test_every_field_round_trips"],
    "TestCountsLeases": [
        "test_tokens_grow",
        "test_tokens_grow_across_restarts",
        "test_release_of_an_old_token",
        "test_condemn_never_touches_a_newer_lease",
    ],
    "TestRestless": ["test_acquire_again_gives_the_same_lease", "test_leases_survive_a_restart"],
    "TestModeless": ["test_node_has_one_mode"],
    "TestGenerous": ["test_modes_decide_between_nodes", "test_one_node_of_many_is_granted"],
    "TestJealous": [
        "test_modes_decide_between_nodes",
        "test_volumes_do_not_bar_each_other",
        "test_refusal_by_a_live_holder",
        "test_refusal_by_a_lapsed_holder",
        "test_all_nodes_share_at_once",
    ],
    "TestHasty": ["test_refusal_by_a_lapsed_holder"],
    "TestRacy": ["test_one_node_of_many_is_granted", "test_all_nodes_share_at_once"],
    "TestFreeForAll": ["test_only_the_holder_releases"],
    "TestStrict": ["test_release_ten_times", "test_release_of_an_old_token"],
    "TestReleasesByVolume": ["test_release_of_an_old_token"],
    "TestStubborn": ["test_condemned_lease_can_be_released"],
    "TestUnsorted": ["test_leases_are_sorted"],
    "TestAnybodys": ["test_mine_is_this_nodes"],
    "TestImpatient": ["test_lease_lapses_after_w", "test_holder_says_how_long_it_may_write"],
    "TestPatient": ["test_lease_lapses_after_w", "test_refusal_by_a_lapsed_holder"],
    "TestSelfCentred": [
        "test_holder_says_how_long_it_may_write",
        "test_old_boot_keeps_its_hold_time",
    ],
    "TestDeaf": ["test_renewal_keeps_leases_live"],
    "TestPresumptuous": ["test_wait_begins_at_the_first_look"],
    "TestUnforgiving": ["test_condemned_lease_is_taken"],
    "TestSentimental": ["test_condemned_lease_is_not_given_again"],
    "TestSweeping": ["test_only_the_condemned_lease_is_taken"],
    "TestCalm": ["test_silence_is_told"],
    "TestCondemnsByNode": ["test_condemn_never_touches_a_newer_lease"],
    "TestLastWord": ["test_condemn_ten_times"],
    "TestPedantic": ["test_condemn_of_a_lease_that_is_gone"],
    "TestTidy": ["test_condemnation_is_kept", "test_condemned_lease_can_be_released"],
    "TestBackward": ["test_condemnations_are_listed"],
    "TestUnawareOfBoots": [
        "test_reboot_frees_the_nodes_leases",
        "test_reboot_of_unknown_hardware_frees_nothing",
    ],
    "TestCredulous": [
        "test_another_machine_cannot_be_the_node",
        "test_reboot_of_unknown_hardware_frees_nothing",
    ],
    "TestTwins": ["test_session_belongs_to_one_instance"],
    "TestCatalogForgets": ["test_records_survive_a_restart"],
    "TestCatalogRaises": ["test_new_catalog_is_empty"],
    "TestCatalogLoses": [
        "test_every_field_round_trips",
        "test_every_state_round_trips",
        "test_moments_keep_their_zone",
    ],
    "TestCatalogOverwrites": [
        "test_taken_name_is_not_added",
        "test_stored_options_are_a_copy",
        "test_one_of_many_adds_a_name",
    ],
    "TestCatalogCaseBlind": ["test_names_differ_by_case"],
    "TestCatalogMerges": [
        "test_replace_overwrites_ten_times",
        "test_replace_leaves_the_others_alone",
        "test_replace_of_nothing_is_refused",
    ],
    "TestCatalogUnsorted": ["test_records_are_sorted"],
    "TestCatalogPossessive": ["test_claim_changes_no_record"],
    "TestCatalogStrict": ["test_remove_ten_times"],
    "TestCatalogBuries": ["test_removed_name_is_free"],
    "TestMountsForget": ["test_rows_and_epoch_survive_a_restart"],
    "TestMountsEager": ["test_new_table_is_empty"],
    "TestMountsKeep": ["test_put_replaces"],
    "TestMountsById": ["test_key_has_three_parts"],
    "TestMountsExact": ["test_remove_goes_by_the_key"],
    "TestMountsUnsorted": [
        "test_every_field_round_trips",
        "test_rows_are_sorted",
        "test_rows_of_one_volume",
    ],
    "TestMountsLeap": ["test_epochs_count_up"],
}


@pytest.mark.parametrize("broken", _FAULTS)
def test_broken_store_fails_by_name(broken: str) -> None:
    """Each broken store fails the tests that name its fault."""
    assert_bites(_FILE, broken, *_FAULTS[broken])


@pytest.mark.parametrize("contract", [LeaseContract, CatalogContract, MountTableContract])
def test_every_test_has_a_store_that_fails_it(contract: type) -> None:
    """A test that nothing fails would be a promise that nobody has to keep."""
    tests = {name for name in vars(contract) if name.startswith("test_")}
    assert tests <= {name for names in _FAULTS.values() for name in names}
