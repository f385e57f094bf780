"""Storage: a guest that serves directories by NFS (kernel nfsd, 3 to 4.2) and disks by iSCSI (LIO).

Both are set up through files of the kernel's, and both can be taken from one node alone: that is
what fencing at the server means. The grace after a start of nfsd, in which version 4 opens wait, is
ten seconds instead of ninety.
"""

from tests.lab.guest import Guest

EXPORTED = "/volumes"  # as clients name it; here it lies below /srv
_TARGETS = "/sys/kernel/config/target"
IQN = "iqn.2024-01.com.example:storage"


class Storage(Guest):
    """A machine that others mount from."""

    # NFS.

    def start_nfs(self, options: str = "rw,no_root_squash,no_subtree_check,insecure") -> None:
        """Export the directory EXPORTED, on a disk in memory, to everybody; repeatable.

        The options replace those of the export that is there.
        """
        # Version 4 serves a whole tree from its root, and the guest's own root, an overlay, cannot
        # be exported: so the exports have a root of their own.
        self.shell(
            f"""
            mountpoint -q /srv || mount -t tmpfs tmpfs /srv
            mkdir -p /srv{EXPORTED}
            printf '[exports]\\nrootdir=/srv\\n' >/etc/nfs.conf
            modprobe nfsd
            mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd
            echo '{EXPORTED} *({options},fsid=77)' >/etc/exports
            pidof rpcbind >/dev/null || rpcbind -w </dev/null >/dev/console 2>&1
            exportfs -ra
            test "$(cat /proc/fs/nfsd/threads)" != 0 || rpc.nfsd --grace-time 10 --lease-time 10 4
            pidof rpc.mountd >/dev/null || rpc.mountd </dev/null >/dev/console 2>&1
            """
        )

    def export(self, name: str) -> str:
        """Make a directory below EXPORTED, for everybody, and return the share that it is."""
        self.shell(f"mkdir -p /srv{EXPORTED}/{name}; chmod 0777 /srv{EXPORTED}/{name}")
        return f"{self.address}:{EXPORTED}/{name}"

    # iSCSI.

    def start_iscsi(self) -> None:
        """Serve an iSCSI target without a disk, to nobody yet."""
        self.shell(
            f"""
            modprobe -a target_core_mod target_core_file iscsi_target_mod
            mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
            mkdir -p /srv/luns {_TARGETS}/iscsi/{IQN}/tpgt_1/np/0.0.0.0:3260
            echo 0 >{_TARGETS}/iscsi/{IQN}/tpgt_1/attrib/authentication
            echo 1 >{_TARGETS}/iscsi/{IQN}/tpgt_1/enable
            """
        )

    def make_lun(self, number: int, serial: str, size_bytes: int) -> None:
        """Make a disk that the target can serve under a number, to nobody yet."""
        self.shell(
            f"""
            disk={_TARGETS}/core/fileio_0/lun{number}
            mkdir -p $disk
            truncate --size={size_bytes} /srv/luns/{number}
            echo fd_dev_name=/srv/luns/{number},fd_dev_size={size_bytes} >$disk/control
            echo 1 >$disk/enable
            echo {serial} >$disk/wwn/vpd_unit_serial
            mkdir {_TARGETS}/iscsi/{IQN}/tpgt_1/lun/lun_{number}
            ln -s $disk {_TARGETS}/iscsi/{IQN}/tpgt_1/lun/lun_{number}/disk
            """
        )

    def allow(self, number: int, initiator: str, *, seen_as: int | None = None) -> None:
        """Let one node, by its iSCSI name, see and use a disk, under its number or another one."""
        seen = number if seen_as is None else seen_as
        self.shell(
            f"""
            mkdir -p {_TARGETS}/iscsi/{IQN}/tpgt_1/acls/{initiator}/lun_{seen}
            ln -s {_TARGETS}/iscsi/{IQN}/tpgt_1/lun/lun_{number} \\
                {_TARGETS}/iscsi/{IQN}/tpgt_1/acls/{initiator}/lun_{seen}/disk
            """
        )

    def deny(self, seen: int, initiator: str) -> None:
        """Take the disk that a node sees under a number: whatever it sends now is refused."""
        self.shell(
            f"""
            cd {_TARGETS}/iscsi/{IQN}/tpgt_1/acls/{initiator}
            rm lun_{seen}/disk
            rmdir lun_{seen}
            """
        )

    def ask_for(self, initiator: str, user: str, password: str) -> None:
        """Have whoever logs in prove that he knows a secret (CHAP), from now on and for good."""
        self.shell(
            f"""
            cd {_TARGETS}/iscsi/{IQN}/tpgt_1
            printf %s {user} >acls/{initiator}/auth/userid
            printf %s {password} >acls/{initiator}/auth/password
            echo 1 >attrib/authentication
            """
        )

    def second_address(self) -> str:
        """Make the machine reachable at one more address, and return that."""
        address = f"10.77.0.{100 + self._number}"
        self.shell(f"ip address add {address}/24 dev eth1")
        return address
