"""Two nodes of one cluster on a cloud's disks, and the promises that every such backend keeps.

What differs between backends, above all how a node is cut off, stands in their own tests.
"""

import json
import re
from dataclasses import dataclass

from tests.e2e.box import poll
from tests.lab.hypervisor import Hypervisor
from tests.lab.lab import Lab
from tests.lab.node import Node
from tests.lab.writing import LOG, PATIENCE_S, Writing


@dataclass(frozen=True, slots=True)
class Cluster:
    """Two nodes with engines, what the cloud calls them, what gives them disks, and their etcd."""

    nodes: tuple[Node, Node]
    machines: tuple[str, str]
    hypervisor: Hypervisor
    store: str

    @classmethod
    def start(
        cls, lab: Lab, hypervisor: Hypervisor, machines: tuple[str, str], told: dict[Node, str]
    ) -> "Cluster":
        """Start volplug, on etcd, and the engine on two nodes; return when all of them answer.

        Each is told of its backend in its own words.
        """
        first, second = told
        cluster = cls((first, second), machines, hypervisor, lab.etcd().url)
        for node, backend in told.items():
            cluster.start_daemons(node, backend)
        for node in told:
            node.wait_for_daemons()
        return cluster

    def start_daemons(self, node: Node, backend: str) -> None:
        """Start volplug and the engine on a node of this cluster; do not wait for them."""
        # An API's client alone takes seconds to come up on an emulated processor.
        node.start_daemons(
            f'deadline_s = 90\n[store]\nkind = "etcd"\nendpoints = ["{self.store}"]\n{backend}'
        )

    def create(self, volume: str, **options: str) -> None:
        """Create a volume as people do."""
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        self.nodes[0].docker("volume", "create", "-d", "volplug", *words, volume).ok()

    def wait_until_free(self) -> None:
        """Return when no guest has a disk any more, and no node that lives a lease."""
        poll(lambda: not self.hypervisor.plugged(), "every guest to let go of its disk", PATIENCE_S)
        _, other = self.nodes  # the first one may have no power

        def is_free() -> bool:
            leases = json.loads(other.volplug("leases").ok())
            return all(lease["state"] != "live" for lease in leases)

        poll(is_free, "every lease to be given back", PATIENCE_S)


def bytes_move(cluster: Cluster, volume: str) -> None:
    """What a container wrote on one node another reads on the other, off the same disk."""
    node, other = cluster.nodes
    # Read again below: random, so that nothing but this disk can have it.
    written = node.in_container(
        volume, "head -c 3000000 /dev/urandom >/data/random; sync; md5sum /data/random"
    ).ok()
    cluster.wait_until_free()
    assert len(cluster.hypervisor.images()) == 1
    assert other.in_container(volume, "md5sum /data/random").ok() == written
    cluster.wait_until_free()


def second_node_is_refused(cluster: Cluster, volume: str, writing: Writing) -> str:
    """While one node writes the other is refused, told who has it; return the refusal."""
    node, other = cluster.nodes
    writing.goes_on()
    before = cluster.hypervisor.plugged()
    refused = other.in_container(volume, f"echo stray >{LOG}").refused()
    assert f"volume '{volume}' is held by node '{node.name}'" in refused
    assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(live\)", refused)
    assert cluster.hypervisor.plugged() == before, "nothing was touched"
    writing.goes_on()
    assert not writing.failures()
    return refused


def size_mib(writing: Writing) -> int:
    """Return how large the volume's file system is to the container that writes to it."""
    shown = writing.node.docker("exec", writing.name, "/bin/df", "-P", "-m", "/data").ok()
    return int(shown.splitlines()[-1].split()[1])


def condemned(node: Node, volume: str) -> dict[str, str]:
    """Return what is known of the one node that a volume was taken from."""
    (found,) = json.loads(node.volplug("inspect", volume).ok())["condemned"]
    return {key: str(value) for key, value in found.items()}
