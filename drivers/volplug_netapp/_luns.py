"""One LUN in each FlexVol, and the iSCSI targets that nodes find it at."""

from dataclasses import dataclass

from volplug.sdk import InvalidOptions, Size, Unavailable
from volplug_netapp._answer import MAPPED
from volplug_netapp._client import Ontap
from volplug_netapp._settings import MOST, SanConfig

_LUNS = "/storage/luns"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Lun:
    """What ONTAP tells of one; `serial` is what a node reads in VPD page 0x80."""

    path: str
    uuid: str
    serial: str
    size_bytes: int


class Luns:
    """The LUNs of one SVM. Each is `lun0` in its FlexVol, so its path is as unique as that is."""

    def __init__(self, ontap: Ontap, config: SanConfig) -> None:
        self._ontap, self._config = ontap, config

    def find(self, flexvol: str) -> Lun | None:
        """Return the LUN in a FlexVol, or None."""
        fields = "name,uuid,serial_number,space.size"
        query = {"name": _path(flexvol), "svm.name": self._config.svm, "fields": fields}
        found = self._ontap.first(_LUNS, **query)
        if found is None:
            return None
        return Lun(found["name"], found["uuid"], found["serial_number"], found["space"]["size"])

    def make(self, flexvol: str, size: int) -> Lun:
        """Make the LUN in a FlexVol, thin; one that is there already is taken."""
        if found := self.find(flexvol):
            return found
        body = {
            "name": _path(flexvol),
            "svm": {"name": self._config.svm},
            "os_type": "linux",
            "space": {
                "size": whole(size),
                "guarantee": {"requested": False},
                # A full FlexVol is then told to the node, instead of taking the LUN offline.
                "scsi_thin_provisioning_support_enabled": True,
            },
        }
        answer = self._ontap.call("POST", _LUNS, body)
        found = self.find(flexvol)
        if found is None:
            raise answer.error(f"make LUN {_path(flexvol)}")
        return found

    def grow(self, lun: Lun, size: int) -> None:
        """Make a LUN larger."""
        body = {"space": {"size": whole(size)}}
        self._ontap.call("PATCH", f"{_LUNS}/{lun.uuid}", body).or_raise(f"grow LUN {lun.path}")

    def delete(self, lun: Lun) -> bool:
        """Delete a LUN; False if ONTAP refuses because it is mapped. Gone is success."""
        answer = self._ontap.call("DELETE", f"{_LUNS}/{lun.uuid}")
        if answer.code in MAPPED:
            return False
        if not answer.missing:
            answer.or_raise(f"delete LUN {lun.path}")
        return True

    def target(self) -> str:
        """Return the iSCSI name of the SVM; raise Unavailable if it serves no iSCSI."""
        query = {"svm.name": self._config.svm, "fields": "enabled,target.name"}
        found = self._ontap.first("/protocols/san/iscsi/services", **query)
        if found is None or not found.get("enabled"):
            raise Unavailable(f"SVM {self._config.svm} serves no iSCSI: enable it on the array")
        return str(found["target"]["name"])

    def portals(self, nodes: frozenset[str]) -> tuple[str, ...]:
        """Return where nodes log in: the LIFs of the controllers that report the LUN.

        By their home and whether they are enabled, not by their momentary state: the answer is to
        be the same each time, and a node tries all of them.
        """
        if self._config.portals:
            return self._config.portals
        found = self._ontap.records(
            "/network/ip/interfaces",
            **{"svm.name": self._config.svm, "services": "data_iscsi", "enabled": "true"},
            fields="ip.address,location.home_node.name",
        )
        portals = sorted(
            _portal(lif["ip"]["address"])
            for lif in found
            if not nodes or lif["location"]["home_node"]["name"] in nodes
        )
        if not portals:
            raise Unavailable(
                f"SVM {self._config.svm} has no enabled iSCSI LIF on {', '.join(sorted(nodes))}: "
                "make one, or set portals"
            )
        return tuple(portals)


def whole(size: int) -> Size:
    """Round up to whole MiB, so that ONTAP has nothing to round."""
    return Size(-(-size // _MIB) * _MIB)


def around(size: int) -> dict[str, object]:
    """Return what the FlexVol around a LUN needs: a tenth more, and room for blocks of clones.

    ONTAP keeps metadata beside the LUN, and what a clone's snapshot holds comes on top; a FlexVol
    that may grow takes no more than is written.
    """
    room = whole(size * 11 // 10)
    if room > MOST:
        raise InvalidOptions(f"size={Size(size)} is too large: with its metadata it needs {room}")
    return {"size": room, "autosize": {"mode": "grow", "maximum": min(3 * room, MOST)}}


def _path(flexvol: str) -> str:
    return f"/vol/{flexvol}/lun0"


def _portal(address: str) -> str:
    return f"[{address}]:3260" if ":" in address else f"{address}:3260"
