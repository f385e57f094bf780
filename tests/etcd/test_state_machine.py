"""Any sequence of leases, crashes, reboots and silences, on etcd and on a plain model at once."""

import itertools
from dataclasses import replace
from typing import ClassVar

import pytest
from hypothesis.stateful import rule

from tests.etcd.cluster import Cluster
from tests.lease_machine import NODES, VOLUMES, LeaseMachine, Node, Store, run_machine
from volplug.errors import HostError
from volplug.etcd import EtcdStore
from volplug.lease import LeaseState
from volplug.volume import AccessMode

_numbers = itertools.count(1)


class EtcdMachine(LeaseMachine):
    """Three nodes on one cluster; a crash takes their connections and all they knew."""

    cluster: ClassVar[Cluster]

    def open(self) -> Store:
        """Take a new corner of the cluster."""
        self.prefix = f"/machine/{next(_numbers)}"
        return EtcdStore(self.cluster.access, prefix=self.prefix)

    def reborn(self, number: int) -> Store:  # noqa: ARG002  what is left has no number here
        """Connect anew."""
        self.store.close()
        return EtcdStore(self.cluster.access, prefix=self.prefix)

    def volumes_asked(self) -> tuple[str, ...]:
        """Ask after every fourth change only: each question is a round trip, and costs its time."""
        return () if next(_numbers) % 4 else ("data", "logs")

    def _refused(self, node: Node, volume: str) -> None:
        """Do nothing: on etcd a refusal is found by reading, and no renewal goes with it."""

    @rule(name=NODES, volume=VOLUMES)
    def condemn_the_silent(self, name: str, volume: str) -> None:
        """Condemn what is seen as lapsed: its holder's session ends with it, and begins anew."""
        node = self.nodes[name]
        for lease in node.table.leases(volume):
            if lease.state is not LeaseState.LAPSED:
                continue
            row, holder = self.rows[lease.token], self.nodes[lease.node]
            node.table.condemn(lease, by=name, reason="silent")
            self._condemned(lease, "silent")
            self._changed(node)
            if holder is not node and row.incarnation == holder.incarnation:
                for each in node.table.leases():
                    if each.node == lease.node and self.rows[each.token].incarnation == (
                        holder.incarnation
                    ):
                        assert each.state in (LeaseState.LAPSED, LeaseState.CONDEMNED)
                with pytest.raises(HostError, match="taken over"):
                    holder.table.acquire(volume, AccessMode.SHARED)
                instance = f"instance-{next(self.numbers)}"
                self._register(replace(holder.session, instance=instance), holder.incarnation)


@pytest.mark.timeout(400)
def test_lease_machine(cluster: Cluster) -> None:
    """A thousand steps, and not one at which etcd and the model differ."""
    EtcdMachine.cluster = cluster
    steps = run_machine(EtcdMachine, examples=30, steps=40)
    print(f"{steps} steps")  # noqa: T201  the count is asked for
    assert steps > 1_000
