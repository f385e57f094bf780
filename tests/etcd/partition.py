"""Doors between the members of a cluster, so that any two of them can lose sight of each other.

All members call a member at one address, for their cluster knows it by that; so which of them calls
is told by whose socket the other end of the connection is, as the kernel has it.
"""

from collections import defaultdict
from pathlib import Path

from tests.etcd.cluster import Cluster, Member
from tests.etcd.proxy import Line, Proxy


class Partition:
    """The lines between a cluster's members; to be made before these are started."""

    def __init__(self, cluster: Cluster) -> None:
        self._members = cluster.members
        self._lines: dict[frozenset[str], Line] = defaultdict(Line)
        self._doors = [self._door(member) for member in cluster.members]

    def between(self, one: Member, other: Member) -> Line:
        """Return the line between two members."""
        return self._lines[frozenset((one.name, other.name))]

    def around(self, member: Member) -> list[Line]:
        """Return the lines from a member to all others."""
        return [self.between(member, each) for each in self._members if each is not member]

    def close(self) -> None:
        """Mend everything, and shut the doors."""
        for line in list(self._lines.values()):
            line.mend()
        for door in self._doors:
            door.close()

    def _door(self, member: Member) -> Proxy:
        def line_of(caller_port: int, door_port: int) -> Line:
            caller = self._caller(caller_port, door_port)
            return self.between(member, caller) if caller else Line()  # it has ended meanwhile

        door = Proxy(member.peer_port, 0, line_of)
        member.peer_door = door.port
        return door

    def _caller(self, caller_port: int, door_port: int) -> Member | None:
        link = f"socket:[{_inode(caller_port, door_port)}]"
        return next((each for each in self._members if _has_open(each, link)), None)


def _inode(local_port: int, remote_port: int) -> str:
    """Return the inode of one end of a connection on this machine (proc_net_tcp in the kernel)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ports = tuple(int(end.split(":")[1], 16) for end in fields[1:3])
        if ports == (local_port, remote_port):
            return fields[9]
    return ""


def _has_open(member: Member, link: str) -> bool:
    if member.process is None:
        return False
    folder = Path(f"/proc/{member.process.pid}/fd")
    try:
        return any(str(each.readlink()) == link for each in folder.iterdir())
    except OSError:
        return False  # it is ending, or has closed a file while we looked
