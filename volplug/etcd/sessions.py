"""One key per node: its session, which all leases of the node hang on.

A session changes by its own process only, or by another node that has seen it unchanged for long
enough and declares it expired; either way its revision grows, and whoever comes second knows.
"""

import json
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from volplug.deadline import Clock
from volplug.errors import HostError
from volplug.etcd.client import Client
from volplug.etcd.keys import Keys
from volplug.etcd.wire import KeyValue, get, put, unchanged
from volplug.session import Session, silence_s

ALIVE = "alive"
EXPIRED = "expired"

_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as it is stored.

    `life` is new with each registration, and `home` with each state directory. All incarnations
    below `void_below` are proven dead, and so are their leases. `last_op` names the change that
    made this revision: by it an unanswered request is told from another one (leases.md 2.4).
    `silent_since` is when whoever ended an expired session had seen its last change.
    `guard_level` is what the node said of its guard, 0 where an older volplug said nothing.
    """

    inc: int
    boot_id: str
    hw_id: str
    home: str
    instance: str
    life: str
    hold_ms: int
    last_op: str
    seq: int = 0
    void_below: int = 0
    state: str = ALIVE
    silent_since: str = ""
    guard_level: int = 0

    @classmethod
    def from_json(cls, text: str) -> "SessionRecord":
        """Read what `to_json` wrote, by whatever version: unknown fields are left out."""
        found = json.loads(text)
        return cls(**{key: value for key, value in found.items() if key in cls.__slots__})

    def expired(self, *, by: str, silent_since: datetime) -> "SessionRecord":
        """Return the session as another node ends it, which has seen it silent for W."""
        return replace(
            self,
            state=EXPIRED,
            seq=self.seq + 1,
            last_op=f"expired by {by}",
            silent_since=silent_since.isoformat(),
        )

    def to_json(self) -> str:
        """Write it down."""
        return json.dumps(asdict(self), separators=(",", ":"))


def register(
    client: Client, keys: Keys, session: Session, *, home: str, clock: Clock
) -> tuple[SessionRecord, int]:
    """Make this the session of its node; return its record and its revision.

    The same boot goes on with its incarnation and leases. A new boot is a new incarnation; if it is
    proven to be the same hardware, the old one is dead and its leases are void at once (leases.md
    2.3), else they stay until they are condemned. Raises HostError for another machine, and for
    another state directory while the first one's volplug is alive.
    """
    key = keys.node(session.node)
    awaited = f"the session of node {session.node!r}"
    found = client.txn(awaited, then=[get(key)]).one(0)
    while True:
        if found is not None and home:
            found = _alone(client, key, session, found, home=home, clock=clock)
        record = _next(session, found, home)
        reply = client.txn(
            awaited,
            when=[unchanged(key, found.modified if found else 0)],
            then=[put(key, record.to_json())],
            otherwise=[get(key)],
        )
        if reply.succeeded:
            return record, reply.revision
        found = reply.one(0)
        if found and SessionRecord.from_json(found.value).last_op == record.last_op:
            return record, found.modified  # an earlier copy of our request was applied


def _next(session: Session, found: KeyValue | None, home: str) -> SessionRecord:
    life = secrets.token_hex(8)
    fresh = SessionRecord(
        inc=1,
        boot_id=session.boot_id,
        hw_id=session.hardware_id,
        home=home,
        instance=session.instance,
        life=life,
        hold_ms=session.hold_ms,
        last_op=f"{life}-register",
    )
    if found is None:
        return fresh
    old = SessionRecord.from_json(found.value)
    known = bool(old.hw_id and session.hardware_id)
    if known and old.hw_id != session.hardware_id:
        raise HostError(
            f"node {session.node!r} is registered by machine {old.hw_id}, and this is machine "
            f"{session.hardware_id}: give one of them another node name; if its state directory "
            "was copied, empty the copy"
        )
    same = replace(fresh, inc=old.inc, seq=old.seq + 1, void_below=old.void_below)
    if old.boot_id == session.boot_id:
        return same
    if known:
        return replace(same, inc=old.inc + 1, void_below=old.inc + 1)
    return replace(same, inc=old.inc + 1, hold_ms=max(old.hold_ms, session.hold_ms))


def _alone(
    client: Client, key: str, session: Session, found: KeyValue, *, home: str, clock: Clock
) -> KeyValue:
    """Return the session as it stands once no volplug of another state directory can be its owner.

    Where the hardware is unknown, or one machine runs two, this is all that tells twins apart.
    """
    old = SessionRecord.from_json(found.value)
    began_s = clock.now()
    while old.home and old.home != home and clock.now() - began_s < silence_s(old.hold_ms):
        clock.sleep(_LOOK_S)
        now = client.txn(f"node {session.node!r} to be silent", then=[get(key)]).one(0)
        if now is None or now.modified != found.modified:
            raise HostError(
                f"node {session.node!r} is already run by another volplug, with another state "
                "directory: give one of them another node name"
            )
    return found
