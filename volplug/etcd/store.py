"""The cluster's store as one node has it: catalog and leases on etcd.

Mount rows are not here: which container of a node was given a volume is the node's own affair, and
has to be known when the network is not.
"""

import logging

from volplug.catalog import Catalog
from volplug.deadline import Clock
from volplug.errors import HostError
from volplug.etcd import meta
from volplug.etcd.access import Access
from volplug.etcd.catalog import EtcdCatalog
from volplug.etcd.client import Client
from volplug.etcd.home import Home
from volplug.etcd.keys import Keys
from volplug.etcd.leases import EtcdLeases
from volplug.etcd.upkeep import Upkeep
from volplug.lease import LeaseTable
from volplug.session import BoottimeClock, Session, Utc, utc_now

PREFIX = "/volplug/v1"

_UNNOTED = 1_000_000
"""More than the changes that a cluster makes between two notes of how far it has come."""

_log = logging.getLogger(__name__)


class EtcdStore:
    """Catalog and leases of a cluster, on all members of one etcd."""

    def __init__(self, access: Access, *, prefix: str = PREFIX, home: Home | None = None) -> None:
        """Connect to the store, and give it an identity if it has none.

        `home` is what this node knows of it from before. Raises Unavailable if no member answers,
        AccessDenied if we may not use it, and HostError if it is not the store it was.
        """
        self._access = access
        self._client = Client(access)
        self._keys = Keys(prefix.rstrip("/"))
        self._home = home
        self._upkeep: Upkeep | None = None
        try:
            self._meta = meta.settle(self._client, self._keys)
            self._check()
        except BaseException:
            self._client.close()
            raise
        self._note()

    def catalog(self, leases: LeaseTable | None = None) -> Catalog:
        """Return the catalog that is kept here; what is changed in it is work of the leases' node.

        Without leases it is nobody's work, and bars no node.
        """
        if leases is None:
            return EtcdCatalog(self._client, self._keys)
        assert isinstance(leases, EtcdLeases)
        return EtcdCatalog(self._client, self._keys, leases.node, leases.observer)

    def leases(
        self, session: Session, clock: Clock | None = None, utc: Utc = utc_now
    ) -> LeaseTable:
        """Register a session and return the leases as it sees and changes them.

        `clock` times other sessions' silence: CLOCK_BOOTTIME, unless a test says otherwise. Raises
        HostError if another machine, or another volplug that is alive, has this node's name.
        """
        return EtcdLeases(
            self._client,
            self._keys,
            session,
            home=self._home.id if self._home else "",
            clock=clock or BoottimeClock(),
            utc=utc,
        )

    def keep(self, leases: LeaseTable) -> None:
        """Begin to look after the store, on behalf of a node whose leases these are."""
        assert isinstance(leases, EtcdLeases)

        def note() -> None:
            leases.sweep()
            self._note()

        self._upkeep = Upkeep(self._client, self._keys, leases.is_lowest, note)
        self._upkeep.start()

    def uuid(self) -> str:
        """Return the identity that this store was given when it was first used."""
        return self._meta.uuid

    def generation(self) -> int:
        """Return how many lives the store has had: 1, and one more per declared restore."""
        return self._meta.generation

    def raise_tokens(self, newest: int) -> None:
        """See to it that all tokens given from now on are greater than one of another store."""
        self._meta = meta.raise_base(self._client, self._keys, newest=newest)

    def close(self) -> None:
        """Hang up. Repeating is success."""
        if self._upkeep is not None:
            self._upkeep.stop()
        self._client.close()

    def _check(self) -> None:
        problem = (
            self._home.check(
                store=self._meta.uuid,
                cluster=self._client.cluster(),
                revision=self._client.revision(),
            )
            if self._home
            else ""
        )
        if problem:
            raise HostError(
                f"the store ({self._access}) is not what this node knew: {problem}. No lease is "
                "given on it: if it was restored from a backup, stop volplug on all nodes, then "
                "`volplug store declare-restored` on each"
            )

    def _note(self) -> None:
        if self._home is not None:
            self._home.note(
                store=self._meta.uuid,
                cluster=self._client.cluster(),
                revision=self._client.revision(),
                token_base=self._meta.token_base,
            )


def declare_restored(access: Access, home: Home, *, prefix: str = PREFIX) -> int:
    """Accept a store that went back in time as it is now; return its new generation.

    Its tokens go on above all that this node knew of, or missed since it last took note.
    """
    client = Client(access)
    try:
        found = meta.declare_restored(
            client, Keys(prefix.rstrip("/")), newest=home.token + _UNNOTED
        )
        home.note(
            store=found.uuid,
            cluster=client.cluster(),
            revision=client.revision(),
            token_base=found.token_base,
        )
    finally:
        client.close()
    return found.generation
