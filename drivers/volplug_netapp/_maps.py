"""Who may reach a LUN: an initiator group for each node, and LUN maps.

ONTAP maps a LUN to any number of groups, so one node at a time is ours to keep: a node that has
made its map looks again, and gives way if another one did the same meanwhile. A group holds one
node, never several, so that taking its map away cuts off that node alone: that is the fence. Whose
group it is stands in its comment, for two machines may have one initiator's name.
"""

import hashlib
from dataclasses import dataclass

from volplug.sdk import Busy, HeldElsewhere, HostError, Unavailable
from volplug_netapp._client import Ontap
from volplug_netapp._luns import Lun
from volplug_netapp._settings import SanConfig

_IGROUPS = "/protocols/san/igroups"
_MAPS = "/protocols/san/lun-maps"
_ATTEMPTS = 5
_MACHINE = "machine "
"""How the comment of a group of ours begins; what the machine's firmware calls it follows."""


@dataclass(frozen=True, slots=True)
class Map:
    """One LUN made visible to one initiator group."""

    group: str
    group_uuid: str
    initiators: frozenset[str]
    number: int
    nodes: frozenset[str]


class Maps:
    """The LUN maps of one SVM."""

    def __init__(self, ontap: Ontap, config: SanConfig) -> None:
        self._ontap, self._config = ontap, config

    def of(self, lun: Lun) -> list[Map]:
        """List through which groups a LUN can be reached now."""
        fields = "igroup.name,igroup.uuid,igroup.initiators,logical_unit_number,reporting_nodes"
        return [
            Map(
                group=found["igroup"]["name"],
                group_uuid=found["igroup"]["uuid"],
                initiators=frozenset(found["igroup"].get("initiators", [])),
                number=found["logical_unit_number"],
                nodes=frozenset(node["name"] for node in found.get("reporting_nodes", [])),
            )
            for found in self._ontap.records(_MAPS, **{"lun.uuid": lun.uuid, "fields": fields})
        ]

    def hold(self, lun: Lun, initiator: str, machine: str, *, shared: bool) -> Map:
        """Map a LUN to a node; raise HeldElsewhere if another one has it, unless it is shared.

        `machine` is the node's by its firmware, or empty. Raises HostError if another machine has
        LUNs under the same initiator's name: each would reach what is mapped to the other.
        """
        self._is_made(initiator, machine)
        own = self._own(lun, initiator, shared=shared)
        if own is not None:
            return own
        self._make(lun, initiator, machine)
        try:
            own = self._own(lun, initiator, shared=shared)
        except HeldElsewhere:
            self.release(lun, initiator)
            raise
        if own is None:
            raise Busy(f"LUN {lun.path} was unmapped from {initiator} meanwhile; try again")
        return own

    def release(self, lun: Lun | None, initiator: str) -> None:
        """Take a node's map away, and its group when nothing else is mapped to it.

        Already gone is success.
        """
        group = self._group(initiator)
        uuid = self._uuid(group)
        if uuid is None:
            return
        if lun is not None:
            answer = self._ontap.call("DELETE", f"{_MAPS}/{lun.uuid}/{uuid}")
            if not answer.missing:
                answer.or_raise(f"unmap LUN {lun.path} from {group}")
        self._ontap.call("DELETE", f"{_IGROUPS}/{uuid}")  # refused while others are mapped

    def cut_off(self, lun: Lun, initiator: str) -> str:
        """Take a node's map away and prove that none is left through which it can write."""
        self.release(lun, initiator)
        for left in self.of(lun):
            if (
                initiator in left.initiators
                or not left.initiators
                or left.group == self._group(initiator)
            ):
                raise Unavailable(
                    f"{initiator} is not cut off: ONTAP still maps LUN {lun.path} to igroup "
                    f"{left.group}, which volplug does not keep for it; unmap it on the array"
                )
        return (
            f"ONTAP lists no LUN map of {lun.path} (serial {lun.serial}) that holds {initiator}, "
            "and refuses commands from initiators without one"
        )

    def _own(self, lun: Lun, initiator: str, *, shared: bool) -> Map | None:
        own = None
        for found in self.of(lun):
            if found.group == self._group(initiator) and found.initiators == {initiator}:
                own = found
            elif not shared:
                others = ", ".join(sorted(found.initiators)) or "nobody yet"
                raise HeldElsewhere(
                    f"LUN {lun.path} is mapped to {others} (igroup {found.group}); unmount it "
                    "there, or fence that node"
                )
        return own

    def _make(self, lun: Lun, initiator: str, machine: str) -> None:
        """Map a LUN; the group may be deleted at the same moment by the last unmap on that node."""
        group = self._group(initiator)
        for _ in range(_ATTEMPTS):
            self._make_group(initiator, machine)
            names = {"lun": {"name": lun.path}, "igroup": {"name": group}}
            body = {"svm": {"name": self._config.svm}, **names}
            answer = self._ontap.call("POST", _MAPS, body)
            if not answer.refused or any(found.group == group for found in self.of(lun)):
                return
            if not answer.missing or self._uuid(group) is not None:
                break
        raise answer.error(f"map LUN {lun.path} to {initiator}")

    def _make_group(self, initiator: str, machine: str) -> None:
        if self._is_made(initiator, machine):
            return
        group = self._group(initiator)
        body = {
            "name": group,
            "svm": {"name": self._config.svm},
            "protocol": "iscsi",
            "os_type": "linux",
            "initiators": [{"name": initiator}],
            **({"comment": f"{_MACHINE}{machine}"} if machine else {}),
        }
        answer = self._ontap.call("POST", _IGROUPS, body)
        if answer.refused and not self._is_made(initiator, machine):
            raise answer.error(f"make igroup {group} for {initiator}")

    def _is_made(self, initiator: str, machine: str) -> bool:
        """Say whether a node has its group; raise HostError if that is of another machine."""
        group = self._group(initiator)
        query = {"name": group, "svm.name": self._config.svm, "fields": "uuid,comment"}
        found = self._ontap.first(_IGROUPS, **query)
        if found is None:
            return False
        told = str(found.get("comment", ""))
        if machine and told.startswith(_MACHINE) and told != f"{_MACHINE}{machine}":
            raise HostError(
                f"another machine has LUNs of the array as {initiator}: its firmware says "
                f"{told.removeprefix(_MACHINE)}, and this one's {machine}, so each would reach the "
                "other's LUNs; give this one a name of its own (`iscsi-iname`, into "
                "/etc/iscsi/initiatorname.iscsi), and restart iscsid; if the other is gone for "
                f"good, delete igroup {group} on the array"
            )
        return True

    def _uuid(self, group: str) -> str | None:
        query = {"name": group, "svm.name": self._config.svm, "fields": "uuid"}
        found = self._ontap.first(_IGROUPS, **query)
        return None if found is None else str(found["uuid"])

    def _group(self, initiator: str) -> str:
        digest = hashlib.sha256(initiator.encode()).hexdigest()[:16]
        return f"{self._config.owner}_{digest}"
