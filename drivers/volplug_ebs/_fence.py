"""The two fences of EC2, and what each of them proves.

A detachment by force proves that the hypervisor carries no more writes of that node to the volume.
It does not prove that the node stopped: it goes on, its programs get errors, and what they had not
written is lost. A stopped or terminated instance proves more, and takes everything else on it down.
Neither may rest on one look, which can be older than the last attachment (see _attaching.py).
"""

import re
from contextlib import suppress
from typing import Any, Literal

from volplug.sdk import InvalidOptions, Unavailable, Volume
from volplug_ebs._attaching import Attaching
from volplug_ebs._disks import Disks
from volplug_ebs._ec2 import Ec2
from volplug_ebs._instances import Instances
from volplug_ebs._refusals import Refused

_OVER = {"stop": ("stopped", "terminated"), "terminate": ("terminated",)}
_ORDER: dict[str, tuple[str, dict[str, Any]]] = {
    # What the guest still has in its caches is not waited for: it may be why it is fenced.
    "stop": ("stop_instances", {"Force": True, "SkipOsShutdown": True}),
    "terminate": ("terminate_instances", {}),
}


class Fence:
    """Cutting a node off from a volume."""

    def __init__(
        self,
        ec2: Ec2,
        disks: Disks,
        instances: Instances,
        attaching: Attaching,
        by: Literal["detach", "stop", "terminate"],
    ) -> None:
        self._ec2 = ec2
        self._disks = disks
        self._instances = instances
        self._attaching = attaching
        self._by = by

    def cut(self, volume: Volume[Any], node_id: str) -> str:
        """Return the proof, in words, once the node can write to the volume no more."""
        if not re.fullmatch(r"i-[0-9a-f]{8,17}", node_id, re.ASCII):
            raise InvalidOptions(f"{node_id!r} is no instance id, so it cannot be fenced at EC2")
        disk = self._disks.mine(volume)
        if disk is None:
            return f"EC2 has no volume {volume.handle} any more, so {node_id} cannot write to it"
        if self._by == "detach":
            self._attaching.detach(volume, node_id, by_force=True)
            return (
                f"EC2 lists {disk.id} at {node_id} no more and has nothing to detach there, so the "
                f"hypervisor carries none of its writes; {self._rest(node_id)}"
            )
        if disk.held_by(node_id) is None and self._attaching.nothing_to_detach(disk, node_id):
            return f"EC2 does not list {disk.id} at {node_id} and has nothing to detach there"
        state = self._halt(node_id)
        self._attaching.detach(volume, node_id)
        return f"instance {node_id} is {state}, and EC2 lists {disk.id} there no more"

    def _rest(self, node_id: str) -> str:
        instance = self._instances.look(node_id)
        state = instance.state if instance else "not known any more"
        return f"the instance is {state}, and what it had not written is lost"

    def _halt(self, node_id: str) -> str:
        """Stop or terminate the instance, and return its last state."""
        last = ["gone"]
        operation, parameters = _ORDER[self._by]

        def step() -> bool:
            instance = self._instances.look(node_id)
            if instance is None:
                raise Unavailable(
                    f"EC2 knows no instance {node_id}, yet has a disk there: look at the region"
                )
            last[:] = [instance.state]
            if instance.state in _OVER[self._by]:
                return True
            if instance.state not in ("stopping", "shutting-down"):
                # Refused: it changes its state at this moment, so look again.
                with suppress(Refused):
                    self._ec2.change(
                        operation,
                        InstanceIds=[node_id],
                        expect={"IncorrectInstanceState"},
                        **parameters,
                    )
            return False

        self._ec2.settle(f"instance {node_id} to be over", step)
        return last[0]
