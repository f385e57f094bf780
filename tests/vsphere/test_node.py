"""How a machine finds out what vCenter calls it, and what volplug is without pyVmomi."""

import subprocess
import sys
from pathlib import Path

import pytest

from volplug.sdk import HostError, Secret
from volplug_vsphere import VsphereConfig, VsphereDriver
from volplug_vsphere._node import bios_uuid

_UUID = "42208c6b-d10d-37d0-1a2b-3c4d5e6f7081"
_SERIAL = "VMware-42 20 8c 6b d1 0d 37 d0-1a 2b 3c 4d 5e 6f 70 81\n"


def dmi(place: Path, **fields: str) -> Path:
    """Write a DMI table as the kernel shows it."""
    for name, value in fields.items():
        (place / name).write_text(value)
    return place


def test_serial_is_the_bios_uuid(tmp_path: Path) -> None:
    """The serial is spelt as vCenter spells it, whatever firmware made of the UUID."""
    table = dmi(
        tmp_path, product_serial=_SERIAL, product_uuid="6b8c2042-0dd1-d037-1a2b-3c4d5e6f7081"
    )
    assert bios_uuid(table) == _UUID


def test_uuid_is_the_second_choice(tmp_path: Path) -> None:
    """A VMware machine that hides its serial is known by its UUID."""
    table = dmi(tmp_path, product_uuid=_UUID.upper() + "\n", sys_vendor="VMware, Inc.\n")
    assert bios_uuid(table) == _UUID


@pytest.mark.parametrize("serial", ["", "VMware-42 20", "QEMU-1234"])
def test_other_machines_are_told_so(tmp_path: Path, serial: str) -> None:
    """A machine that is not VMware's, or not readable, is told what to set."""
    table = dmi(tmp_path, product_serial=serial, product_uuid=_UUID, sys_vendor="QEMU\n")
    with pytest.raises(HostError, match="set vm_uuid"):
        bios_uuid(table)


def test_config_overrides() -> None:
    """The operator's word counts, in any spelling."""
    config = VsphereConfig("vc", "u", Secret("env:X"), "DC", "ds", vm_uuid=_UUID.upper())
    assert VsphereDriver(config).node_id() == _UUID


def test_volplug_does_without_pyvmomi() -> None:
    """Without the extra, volplug starts, and the driver's name leads to the command that helps."""
    code = (
        "import sys; sys.modules['pyVmomi'] = None\n"
        "import volplug.main, volplug.cli\n"
        "from volplug import registry\n"
        "assert 'vsphere' in registry.names()\n"
        "try: registry.load('vsphere')\n"
        "except Exception as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'volplug[vsphere]'" in done.stdout
    assert "pyVmomi" in done.stdout
