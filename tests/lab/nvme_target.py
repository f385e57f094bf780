"""NVMe disks that tell a guest when they grow, as EBS' do: QEMU's own never tell.

A disk is plugged in as SCSI, which QEMU can resize. The guest's kernel serves it to itself over the
loopback (nvmet, NVMe over TCP), with the serial number and the model that EBS shows. When the disk
grows, the target sends the event that a namespace changed, and the kernel reads the new size by
itself: from there on all is as with a disk on PCI Express. The image is still QEMU's, locked, and
other guests read it in either way.

Not kept: the guest takes part in each coming and going, so one that stands still can be asked for
nothing; whoever wants to take a disk from such a guest needs QEMU's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.box import poll
from tests.lab.disks import Disk, Disks
from tests.lab.guest import Guest

MODEL = "Amazon Elastic Block Store"
_NQN = "nqn.2024-01.com.example:"
_APPEAR_S = 60.0

# The serial number is $0 in all of these.
_BEGIN = """
modprobe -a vmw_pvscsi sd_mod nvmet-tcp nvme-tcp
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
mkdir /sys/kernel/config/nvmet/ports/1 2>/dev/null || exit 0
cd /sys/kernel/config/nvmet/ports/1
echo tcp >addr_trtype
echo ipv4 >addr_adrfam
echo 127.0.0.1 >addr_traddr
echo 4420 >addr_trsvcid
"""
_FIND = 'grep -ls "$0" /sys/block/sd*/device/vpd_pg80 | cut -d / -f 4'
# Without a keep-alive: on a busy machine both ends of the loopback are late for one at a time.
_ATTACH = f"""
nvmet=/sys/kernel/config/nvmet subsystem={_NQN}$0
mkdir $nvmet/subsystems/$subsystem
cd $nvmet/subsystems/$subsystem
echo 1 >attr_allow_any_host
echo "$0" >attr_serial
echo '{MODEL}' >attr_model
mkdir namespaces/1
echo "/dev/$1" >namespaces/1/device_path
echo 1 >namespaces/1/enable
ln -s $nvmet/subsystems/$subsystem $nvmet/ports/1/subsystems/
options=nr_io_queues=1,keep_alive_tmo=0,ctrl_loss_tmo=0
printf %s transport=tcp,traddr=127.0.0.1,trsvcid=4420,nqn=$subsystem,$options >/dev/nvme-fabrics
"""
_GROW = f"""
cd /sys/kernel/config/nvmet/subsystems/{_NQN}$0/namespaces/1
echo 1 >"/sys/block/$(basename "$(cat device_path)")/device/rescan"
echo 1 >revalidate_size
"""
_DETACH = f"""
nvmet=/sys/kernel/config/nvmet subsystem={_NQN}$0
for name in $(grep -lsx $subsystem /sys/class/nvme/*/subsysnqn); do
    echo 1 >"$(dirname "$name")/delete_controller"
done
rm $nvmet/ports/1/subsystems/$subsystem
rmdir $nvmet/subsystems/$subsystem/namespaces/1 $nvmet/subsystems/$subsystem
"""


class NvmeTarget(Disks):
    """The places for disks of a guest, where NVMe disks are ones that can be resized."""

    def __init__(self, guest: Guest) -> None:
        super().__init__(guest.disks._qmp)
        self._guest = guest
        self._serials: dict[str, str] = {}
        guest.shell(_BEGIN)

    def plug_nvme(self, image: Path, serial: str) -> Disk:
        """Plug an image in as an NVMe disk of EBS' with that serial number.

        Raises QmpError if another guest has the image.
        """
        disk = self.plug_scsi(image, serial, int(serial.removeprefix("vol")[:16], 16))
        poll(lambda: bool(self._scsi_name(serial)), f"the disk below {serial}", _APPEAR_S)
        self._guest.shell(_ATTACH, serial, self._scsi_name(serial))
        self._serials[disk.node] = serial
        return disk

    def ask_out(self, disk: Disk) -> None:
        """Have the guest let go of a disk, once."""
        if disk.node not in self._asked:
            self._guest.shell(_DETACH, self._serials[disk.node])
        super().ask_out(disk)

    def resize(self, disk: Disk, size_bytes: int) -> None:
        """Make the disk larger while the guest has it, and let the kernel's target tell."""
        super().resize(disk, size_bytes)
        self._guest.shell(_GROW, self._serials[disk.node])

    def _scsi_name(self, serial: str) -> str:
        return self._guest.shell(_FIND, serial)


@contextmanager
def nvme_target(guest: Guest) -> Iterator[None]:
    """Inside the block, which begins and ends with no disk plugged in, NVMe disks can grow."""
    own, guest.disks = guest.disks, NvmeTarget(guest)
    try:
        yield
    finally:
        guest.disks = own
