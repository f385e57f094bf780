"""The lab keeps its word: what the other tests lean on is shown here by itself."""

import pytest

from tests.e2e.box import poll
from tests.lab.lab import Lab
from tests.lab.node import Node
from tests.lab.nvme_target import nvme_target
from tests.lab.qmp import QmpError

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

_MIB = 1024 * 1024
_PLUG_S = 60


@pytest.fixture(scope="module")
def nodes(lab: Lab) -> tuple[Node, Node]:
    """Two nodes, which boot side by side."""
    return lab.node(), lab.node()


def test_a_guest_runs_a_stock_kernel(nodes: tuple[Node, Node]) -> None:
    """Its kernel is Debian's, with the NFS client that this machine's may lack."""
    node, _ = nodes
    assert "cloud-amd64" in node.shell("uname -r")
    assert "nfs4" in node.shell("modprobe nfsv4; cat /proc/filesystems")


def test_guests_have_one_network_and_nothing_else(nodes: tuple[Node, Node]) -> None:
    """They reach each other by address and by name, and know no way out."""
    node, other = nodes
    reach = "exec 3<>/dev/tcp/$0/22; head -c 3 <&3"
    assert node.run("bash", "-c", reach, other.address).ok() == "SSH"
    assert "default" not in node.shell("ip route")


def test_a_pulled_cable_cuts_the_others_off_and_not_us(nodes: tuple[Node, Node]) -> None:
    """Without its cable a guest reaches nobody, and still does what it is told."""
    node, other = nodes
    reach = ("timeout", "5", "bash", "-c", "exec 3<>/dev/tcp/$0/22", other.address)
    node.unplug_cable()
    node.run(*reach).refused()
    node.plug_cable()
    poll(lambda: node.run(*reach).code == 0, "the cable to carry again", 60)


def test_a_paused_guest_does_nothing(nodes: tuple[Node, Node]) -> None:
    """While it is paused and others work it does nothing; afterwards it goes on."""
    node, other = nodes
    node.start("counter", "sh", "-c", "while date +%N; do sleep .1; done")
    poll(lambda: "counter: " in node.said(), "the guest to count", 60)
    with node.paused():
        count = node.said().count("counter: ")
        other.shell("head -c 10000000 /dev/urandom | sha256sum")
        assert node.said().count("counter: ") == count
    poll(lambda: node.said().count("counter: ") > count, "the guest to count on", 60)
    node.kill("counter")


def test_an_nvme_disk_comes_and_goes(lab: Lab, nodes: tuple[Node, Node]) -> None:
    """Plugged in, it has its serial number in sysfs; unplugged, it is gone."""
    node, _ = nodes
    node.wait_up()
    disk = node.disks.plug_nvme(lab.disk_image("nvme", 64 * _MIB), "vol0123456789abcdef")
    shown = "grep -q vol0123456789abcdef /sys/class/nvme/*/serial"
    node.wait_for(shown, "the disk to appear", _PLUG_S)
    node.disks.unplug(disk)
    node.wait_for(f"! {shown} 2>/dev/null", "the disk to be gone", _PLUG_S)


def test_an_nvme_target_tells_of_growth(lab: Lab, nodes: tuple[Node, Node]) -> None:
    """Its disk shows the new size to a kernel that nobody told to look; unplugged, it is gone."""
    node, _ = nodes
    shows = "test $(cat /sys/block/nvme[0-9]n1/size) ="
    with nvme_target(node):
        disk = node.disks.plug_nvme(lab.disk_image("grown", 64 * _MIB), "vol0123456789abcdef")
        node.wait_for(f"{shows} 131072", "the disk", _PLUG_S)
        node.disks.resize(disk, 96 * _MIB)
        node.wait_for(f"{shows} 196608", "the new size", _PLUG_S)
        node.disks.unplug(disk)
    node.shell("! ls /sys/block /sys/kernel/config/nvmet/subsystems | grep -E '^(nvme|nqn)'")


def test_a_scsi_disk_comes_and_goes(lab: Lab, nodes: tuple[Node, Node]) -> None:
    """Plugged in, it has its name in sysfs; unplugged, it is gone."""
    node, _ = nodes
    node.shell("modprobe -a vmw_pvscsi sd_mod")
    disk = node.disks.plug_scsi(lab.disk_image("scsi", 64 * _MIB), "6000c29f", 0x6000C29F1D2E3F40)
    shown = "grep -q naa.6000c29f1d2e3f40 /sys/block/sd*/device/wwid"
    node.wait_for(shown, "the disk to appear", _PLUG_S)
    node.disks.unplug(disk)
    node.wait_for(f"! {shown} 2>/dev/null", "the disk to be gone", _PLUG_S)


def test_a_disk_is_in_one_guest_until_it_is_fenced(lab: Lab, nodes: tuple[Node, Node]) -> None:
    """A second guest is refused it; fenced from the first, it is free, and the first has errors."""
    node, other = nodes
    other.wait_up()
    image = lab.disk_image("fenced", 64 * _MIB)
    disk = node.disks.plug_nvme(image, "vol0fenced")
    find = "basename $(dirname $(grep -l vol0fenced /sys/class/nvme/*/serial))"
    node.wait_for(find, "the disk to appear", _PLUG_S)
    read = f"dd if=/dev/$({find})n1 of=/dev/null bs=4096 count=1 iflag=direct"
    node.shell(read)
    with pytest.raises(QmpError, match="lock"):
        other.disks.plug_nvme(image, "vol0fenced")
    with node.paused():
        node.disks.fence(disk)
        other.disks.plug_nvme(image, "vol0fenced")
    assert "error reading" in node.run("sh", "-euc", read).refused()
    other.wait_for(find, "the disk to appear", _PLUG_S)
    other.shell(read)


def test_a_power_cut_ends_one_guest(lab: Lab) -> None:
    """Cut off, a guest is gone at once; the lab and its other guests go on."""
    node = lab.node()
    node.wait_up()
    node.power_off()
    with pytest.raises(AssertionError, match="ended"):
        node.wait_up()
