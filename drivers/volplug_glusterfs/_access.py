"""Who may mount which directory of a Gluster volume: its setting `auth.allow`.

That is one text for the whole volume, rewritten each time under a turn. It also notes the
*suspects*: nodes that lost a directory, and were not yet shown to be cut off from it.
"""

import re
from collections.abc import Sequence

from volplug.sdk import Tree, Unavailable, turn
from volplug_glusterfs._cluster import Cluster

_RULE = re.compile(r"(/[^(),]*)\(([^()]*)\)")
_KEY = "auth.allow"
_SUSPECTS = ".volplug/suspects"
"""A directory that does not exist: a rule for one in it lets nobody in, and only keeps a note."""
_WITNESS = ".volplug/locks"

WITNESS_PLACE = f"/{_WITNESS}"
"""A directory that is always there, for a witness to mount (see `_fence.py`)."""

_Rules = dict[str, set[str]]


class Access:
    """The rules of one Gluster volume."""

    def __init__(self, cluster: Cluster, tree: Tree, admins: Sequence[str]) -> None:
        self._cluster, self._tree, self._admins = cluster, tree, frozenset(admins)

    def clients(self, path: str) -> set[str]:
        """Return the addresses that may mount the directory, as the cluster has it."""
        return self._read().get(f"/{path}", set())

    def reaching(self, path: str) -> set[str]:
        """Return the addresses that may mount the directory, and those that are suspects."""
        rules = self._read()
        return rules.get(f"/{path}", set()) | rules.get(_noted(path), set())

    def allow(self, path: str, address: str) -> None:
        """Let an address mount the directory; that it may already is success.

        A suspect becomes what it was before.
        """
        if address in self.clients(path):
            return
        with turn(self._tree, _KEY):
            rules = self._read()
            rules.setdefault(f"/{path}", set()).add(address)
            rules.get(_noted(path), set()).discard(address)
            self._write(rules)

    def refuse(self, path: str, address: str) -> None:
        """Take the directory from an address; nothing to take is success.

        All servers have the rule when this returns, and their bricks will end its connections.
        """
        if address not in self.clients(path):
            return
        with turn(self._tree, _KEY):
            rules = self._read()
            rules.get(f"/{path}", set()).discard(address)
            self._write(rules)
        self._check_gone(path, self.clients(path) & {address})

    def forget(self, path: str) -> None:
        """Take the directory from all, suspects included; nothing to take is success."""
        if not self.reaching(path):
            return
        with turn(self._tree, _KEY):
            rules = self._read()
            for place in (f"/{path}", _noted(path)):
                rules.pop(place, None)
            self._write(rules)
        self._check_gone(path, self.reaching(path))

    def allow_witness(self, own: str) -> None:
        """Let our own address mount the witness's place."""
        self.allow(_WITNESS, own)

    def suspect(self, path: str, address: str, witness: str) -> None:
        """Take the directory from an address, note that, and take the witness's: in one change.

        The note stays until `clear`: whoever asks again after a crash must not take a missing rule
        for a cut connection. Raises Unavailable if the witness's rule was gone before.
        """
        with turn(self._tree, _KEY):
            rules = self._read()
            if witness not in rules.get(WITNESS_PLACE, set()):
                raise Unavailable(f"the rule for the witness {witness} was taken by somebody else")
            rules[WITNESS_PLACE].discard(witness)
            rules.get(f"/{path}", set()).discard(address)
            rules.setdefault(_noted(path), set()).add(address)
            self._write(rules)

    def clear(self, path: str, address: str, witness: str) -> set[str]:
        """Note that a suspect was cut off; return who may still mount the directory.

        The witness gets its rule again, so that the next one need not wait for that.
        """
        with turn(self._tree, _KEY):
            rules = self._read()
            left = rules.get(f"/{path}", set())
            self._check_gone(path, left & {address})
            rules.get(_noted(path), set()).discard(address)
            rules.setdefault(WITNESS_PLACE, set()).add(witness)
            self._write(rules)
        return left

    def _check_gone(self, path: str, left: set[str]) -> None:
        if left:
            raise Unavailable(
                f"{_KEY} of Gluster volume {self._cluster.volume!r} was changed meanwhile, and "
                f"lets {', '.join(sorted(left))} mount /{path}"
            )

    def _read(self) -> _Rules:
        text = self._cluster.option(_KEY)
        return {path: set(clients.split("|")) for path, clients in _RULE.findall(text)}

    def _write(self, rules: _Rules) -> None:
        rules = {**rules, "/": rules.get("/", set()) | self._admins}
        # In order, so that the rule for the whole volume is the first.
        kept = [(path, rules[path]) for path in sorted(rules) if rules[path]]
        text = ",".join(f"{path}({'|'.join(sorted(who))})" for path, who in kept)
        self._cluster.set_option(_KEY, text)


def _noted(path: str) -> str:
    return f"/{_SUSPECTS}/{path}"
