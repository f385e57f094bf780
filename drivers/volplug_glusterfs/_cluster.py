"""The gluster command: quotas of directories, and who may mount which directory.

It speaks XML and may report failure with exit code 0. `--remote-host` can only read, so changes
need the command on a server of the cluster, or a way to it such as `ssh` (backends-file 3.2). The
list of allowed clients is one text for the whole volume, rewritten each time under a turn.
"""

import re
import socket
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from volplug.sdk import HostError, Tree, Unavailable, by_way_of, deadline, run, turn, wait_until

_RULE = re.compile(r"(/[^(),]*)\(([^()]*)\)")
_KEY = "auth.allow"
_BUSY = ("Another transaction", "Locking failed")
_LIMIT_S = 30.0
"""How long one command may take, others' before it included."""


class Cluster:
    """One Gluster volume, as its administrator sees it."""

    def __init__(self, command: Sequence[str], volume: str, admins: Sequence[str]) -> None:
        self._command, self.volume, self._admins = tuple(command), volume, tuple(admins)

    def option(self, name: str) -> str:
        """Return a setting of the volume, without the note that it is the default."""
        value = self._ask("volume", "get", self.volume, name).findtext(".//Value") or ""
        return value.removesuffix("(DEFAULT)").strip()

    def limit(self, path: str, size_bytes: int) -> None:
        """Limit a directory to that many bytes; repeating is success."""
        self._ask("volume", "quota", self.volume, "limit-usage", f"/{path}", f"{int(size_bytes)}")

    def clients(self, path: str) -> list[str]:
        """Return the addresses that may mount the directory, as the cluster has it."""
        return self._rules().get(f"/{path}", [])

    def allow(self, tree: Tree, path: str, address: str) -> None:
        """Let an address mount the directory; that it may already is success."""
        if address not in self.clients(path):
            with turn(tree, _KEY):
                rules = self._rules()
                rules[f"/{path}"] = sorted({*rules.get(f"/{path}", []), address})
                self._write(rules)

    def refuse(self, tree: Tree, path: str, address: str | None) -> None:
        """Take the directory from an address, or from all; nothing to take is success.

        All servers have the rule when this returns, and disconnect clients by it; a write that is
        under way may still end. Raises Unavailable when a server does not answer the others.
        """
        with turn(tree, _KEY):
            rules = self._rules()
            left = [one for one in rules.get(f"/{path}", []) if address and one != address]
            if left != rules.get(f"/{path}", []):
                self._write({**rules, f"/{path}": left})
        left = self.clients(path)
        if address in left or (address is None and left):
            raise Unavailable(f"{_KEY} of Gluster volume {self.volume!r} was changed meanwhile")

    def check_peers(self) -> None:
        """Raise Unavailable unless all servers are there to obey a change."""
        for peer in self._ask("peer", "status").iter("peer"):
            if peer.findtext("connected") != "1":
                raise Unavailable(
                    f"Gluster server {peer.findtext('hostname')} is not connected, so nobody knows "
                    "whether its bricks still serve the node: start its glusterd, or power the "
                    "server off and detach it"
                )

    def check_client(self, address: str) -> None:
        """Raise Unavailable if the address is a server's: its own mounts log in by a password.

        No rule about addresses is asked for them, so that they write on (seen with Gluster 10.3).
        """
        names = [one.text or "" for one in self._ask("volume", "info", self.volume).iter("name")]
        for host in {name.rpartition(":")[0] for name in names if ":/" in name}:
            try:
                found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
            except OSError as error:
                raise Unavailable(f"the Gluster server {host} has no address: {error}") from error
            if address in found:
                raise Unavailable(
                    f"{address} is the Gluster server {host}, whose own mounts auth.allow does not "
                    "end: power it off, and confirm that with `volplug lease evict`"
                )

    def _rules(self) -> dict[str, list[str]]:
        text = self.option(_KEY)
        return {path: clients.split("|") for path, clients in _RULE.findall(text)}

    def _write(self, rules: dict[str, list[str]]) -> None:
        rules = {"/": list(self._admins), **{path: who for path, who in rules.items() if who}}
        rules["/"] = sorted({*rules["/"], *self._admins})
        text = ",".join(f"{path}({'|'.join(who)})" for path, who in rules.items())
        self._ask("volume", "set", self.volume, _KEY, text)

    def _ask(self, *words: str) -> ET.Element:
        """Run the command, once more while somebody else's change is under way."""
        answers: list[ET.Element] = []

        def answered() -> bool:
            answers[:] = [self._run(words)]
            problem = _problem(answers[0])
            return not any(sign in problem for sign in _BUSY)

        with deadline(_LIMIT_S):
            wait_until(answered, f"gluster {' '.join(words[:3])}", poll_s=0.2)
        if problem := _problem(answers[0]):
            raise HostError(f"gluster {' '.join(words[:4])} was refused: {problem}")
        return answers[0]

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
