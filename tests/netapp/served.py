"""The array's data, served: LUNs by the kernel's iSCSI target (LIO), shares by its NFS server.

Run as root on a machine of its own, whose target and nfsd are up already. After each request what
is served is made to be what the array holds, before the request is answered: so a LUN map is there,
and gone, with its answer.

As on an array there is one target, an initiator sees the LUNs that are mapped to it under the
numbers that its maps have, and an unmap cuts off at once while the session stays. Unlike on one an
initiator without any map, ever, is refused the login. FlexVols are directories without a size of
their own, and a FlexClone's LUN is blank. A client's rule decides by its address alone, `sec=sys`.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.netapp.ontap import Array

_LIO = Path("/sys/kernel/config/target")
_DISKS = Path("/srv/luns")
_EXPORTED = Path("/srv")  # nfsd's root: a share /x is the directory /srv/x
_EXPORTS = Path("/etc/exports.d/array.exports")


@dataclass(frozen=True, slots=True)
class _Lun:
    """A LUN that is served; `place` is its number at the target, which no initiator sees."""

    place: int
    size_bytes: int


class Served:
    """What is served now, of one array."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._group = _LIO / "iscsi" / target / "tpgt_1"
        self._luns: dict[str, _Lun] = {}
        self._maps: dict[tuple[str, int], str] = {}
        self._places = iter(range(1, 10_000))
        self._exports = ""

    def follow(self, array: Array) -> None:
        """Serve what the array holds, and nothing else."""
        maps = {
            (initiator["name"], one["number"]): one["lun"]
            for one in array.maps
            for initiator in array.igroups[one["igroup"]]["initiators"]
        }
        for (initiator, number), lun in list(self._maps.items()):
            if maps.get((initiator, number)) != lun:
                self._unmap(initiator, number)
        for uuid in self._luns.keys() - array.luns.keys():
            self._delete(uuid)
        for uuid, held in array.luns.items():
            self._keep(uuid, held["serial_number"], held["space"]["size"])
        for (initiator, number), lun in maps.items():
            if (initiator, number) not in self._maps:
                self._map(initiator, number, lun)
        self._export(array)

    def _keep(self, uuid: str, serial: str, size_bytes: int) -> None:
        """Make a LUN, or give it its size."""
        known = self._luns.get(uuid)
        if known and known.size_bytes == size_bytes:
            return
        lun = _Lun(known.place if known else next(self._places), size_bytes)
        file, core = _DISKS / str(lun.place), self._core(lun)
        with file.open("ab") as disk:
            disk.truncate(size_bytes)
        core.mkdir(parents=True, exist_ok=True)
        _say(core / "control", f"fd_dev_name={file},fd_dev_size={size_bytes}")
        if known is None:
            _say(core / "enable", "1")
            _say(core / "wwn/vpd_unit_serial", serial)
            shown = self._group / f"lun/lun_{lun.place}"
            shown.mkdir()
            (shown / "disk").symlink_to(core)
        self._luns[uuid] = lun

    def _delete(self, uuid: str) -> None:
        lun = self._luns.pop(uuid)
        shown = self._group / f"lun/lun_{lun.place}"
        (shown / "disk").unlink()
        shown.rmdir()
        self._core(lun).rmdir()
        (_DISKS / str(lun.place)).unlink()

    def _map(self, initiator: str, number: int, uuid: str) -> None:
        shown = self._group / f"acls/{initiator}/lun_{number}"
        shown.mkdir(parents=True)
        (shown / "disk").symlink_to(self._group / f"lun/lun_{self._luns[uuid].place}")
        self._maps[initiator, number] = uuid

    def _unmap(self, initiator: str, number: int) -> None:
        """Take a LUN from an initiator, which stays logged in."""
        shown = self._group / f"acls/{initiator}/lun_{number}"
        (shown / "disk").unlink()
        shown.rmdir()
        del self._maps[initiator, number]

    def _export(self, array: Array) -> None:
        """Export each FlexVol that has a junction path to those whom its policy lets in."""
        lines = []
        for volume in array.volumes.values():
            path = volume["nas"].get("path")
            if path:
                (_EXPORTED / path.strip("/")).mkdir(exist_ok=True)
                number = int(volume["uuid"][:7], 16)
                clients = _clients(array, volume["nas"]["export_policy"]["name"], number)
                lines += [f"{path} {clients}"] if clients else []
        text = "".join(f"{line}\n" for line in sorted(lines))
        if text != self._exports:
            _EXPORTS.parent.mkdir(exist_ok=True)
            _EXPORTS.write_text(text)
            subprocess.run(["exportfs", "-ra"], check=True)
            self._exports = text

    @staticmethod
    def _core(lun: _Lun) -> Path:
        return _LIO / f"core/fileio_{lun.place}/lun"


def _clients(array: Array, policy: str, number: int) -> str:
    """Return who is let in by a policy, in the words of exports(5)."""
    words = f"no_root_squash,no_subtree_check,insecure,fsid={number}"
    found = next(one for one in array.policies.values() if one["name"] == policy)
    return " ".join(
        f"{client['match']}({'rw' if rule['rw_rule'] == ['sys'] else 'ro'},{words})"
        for rule in found["rules"]
        for client in rule["clients"]
    )


def _say(path: Path, text: str) -> None:
    """Write an attribute in one piece, as configfs wants it."""
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)
