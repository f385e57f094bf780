"""The gluster command: what a cluster says of its servers, bricks and clients, and changes to it.

It speaks XML and may report failure with exit code 0. `--remote-host` can only read, so changes
need the command on a server of the cluster, or a way to it such as `ssh` (backends-file 3.2).
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from volplug.sdk import (
    DeadlineExceeded,
    HostError,
    Unavailable,
    by_way_of,
    deadline,
    run,
    wait_until,
)

_BUSY = ("Another transaction", "Locking failed", "Transport endpoint is not connected")
"""What a command says that only came too early.

The last one is of the mount that each `quota limit-usage` makes for itself: of one that still ends
for the command before, or that has not reached its bricks yet.
"""
_LIMIT_S = 30.0
"""How long one command may take, others' before it included."""


class Cluster:
    """One Gluster volume, as its administrator sees it."""

    def __init__(self, command: Sequence[str], volume: str) -> None:
        self._command, self.volume = tuple(command), volume

    def option(self, name: str) -> str:
        """Return a setting of the volume, without the note that it is the default."""
        value = self._ask("volume", "get", self.volume, name).findtext(".//Value") or ""
        return value.removesuffix("(DEFAULT)").strip()

    def set_option(self, name: str, value: str) -> None:
        """Change a setting on all servers, which then tell their bricks."""
        self._ask("volume", "set", self.volume, name, value)

    def limit(self, path: str, size_bytes: int) -> None:
        """Limit a directory to that many bytes; repeating is success."""
        self._ask("volume", "quota", self.volume, "limit-usage", f"/{path}", f"{int(size_bytes)}")

    def bricks(self) -> list[str]:
        """Return the names of the volume's bricks, `HOST:PATH`."""
        found = [one.text or "" for one in self._ask("volume", "info", self.volume).iter("name")]
        return [name for name in found if ":/" in name]

    def connections(self) -> ET.Element:
        """Return what each brick says of who is connected to it."""
        return self._ask("volume", "status", self.volume, "clients")

    def calls(self) -> str:
        """Return what each brick says of the calls that it works on, in the command's own words.

        Its XML of this ends after the first brick (Gluster 10.3). While another change is under way
        no brick is in the answer.
        """
        words = ("--mode=script", "volume", "status", self.volume, "callpool")
        with deadline(_LIMIT_S):
            return run(by_way_of(self._command, words), expect=range(256)).stdout

    def check_peers(self) -> set[str]:
        """Return all servers but the one that is asked; raises Unavailable if one is not there.

        It could not obey a change.
        """
        peers = set()
        for peer in self._ask("peer", "status").iter("peer"):
            if peer.findtext("connected") != "1":
                raise Unavailable(
                    f"Gluster server {peer.findtext('hostname')} is not connected, so nobody knows "
                    "whether its bricks still serve the node: start its glusterd, or power the "
                    "server off and detach it"
                )
            peers.add(peer.findtext("hostname") or "")
        return peers

    def _ask(self, *words: str) -> ET.Element:
        """Run the command, once more while it comes too early."""
        answer, problem = None, "it said nothing"

        def answered() -> bool:
            nonlocal answer, problem
            answer = self._run(words)
            problem = _problem(answer)
            return not any(sign in problem for sign in _BUSY)

        try:
            with deadline(_LIMIT_S):
                wait_until(answered, f"gluster {' '.join(words[:3])}", poll_s=0.2)
        except DeadlineExceeded as error:
            raise DeadlineExceeded(f"{error}; {problem}") from error
        if problem or answer is None:
            raise HostError(f"gluster {' '.join(words[:4])} was refused: {problem}")
        return answer

    def _run(self, words: Sequence[str]) -> ET.Element:
        done = run(by_way_of(self._command, ("--mode=script", "--xml", *words)), expect=range(256))
        try:
            return ET.fromstring(done.stdout)  # noqa: S314  our own administrator's command
        except ET.ParseError:
            raise Unavailable(
                f"the gluster command failed with code {done.code}: "
                f"{done.words or 'no message; is its glusterd running?'}"
            ) from None


def _problem(answer: ET.Element) -> str:
    """Return why the command refused, or nothing if it did not."""
    if answer.findtext("opRet") == "0":
        return ""
    return answer.findtext("opErrstr") or answer.findtext("output") or "no message"
