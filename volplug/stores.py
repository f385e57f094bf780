"""Opens the stores that were configured, and moves volumes from one kind to the other.

Mount rows stay in the node's own SQLite file whatever keeps the rest; the client of etcd is an
extra, and loaded only where it is asked for.
"""

import importlib.util
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from volplug import migration
from volplug.admin.doctor import Finding
from volplug.catalog import Catalog
from volplug.config import Config
from volplug.deadline import deadline
from volplug.errors import InvalidOptions
from volplug.lease import LeaseTable
from volplug.linux.guard import Post
from volplug.session import Session
from volplug.sqlite import SqliteStore

if TYPE_CHECKING:
    from volplug.etcd import Access, EtcdStore, Home

_log = logging.getLogger(__name__)

_DISK = Path("/etc/machine-id")

_OPENING_S = 3.0
"""How long the engine's first calls wait at the start for a store that may be away."""


def open_local(config: Config) -> SqliteStore:
    """Open this node's own store."""
    config.state_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    return SqliteStore(config.state_dir / "volplug.db")


def new_session(config: Config) -> Session:
    """Make the session of this process on this node; it is not registered yet."""
    boot_id = config.boot_id_file.read_text().strip()
    return Session(
        config.node,
        boot_id,
        _hardware_id(config),
        instance=secrets.token_hex(8),
        hold_ms=config.guard.told_ms,
    )


def guard_post(config: Config) -> Post:
    """Return what a guard of this node stands for."""
    return Post(
        config.state_dir,
        config.mount_dir.resolve(),
        config.boot_id_file.read_text().strip(),
        config.guard.watchdog,
        config.guard.watchdog_s,
    )


def catalog_and_leases(
    config: Config, local: SqliteStore, session: Session
) -> tuple[Catalog, LeaseTable]:
    """Return what the node goes by: its own store's, or the cluster's; raise Unavailable soon."""
    if config.store.kind == "sqlite":
        return local.catalog(), local.leases(session)
    if local.catalog().records():
        _log.warning("volumes of before are in this node's own store: `volplug store migrate`")
    with deadline(_OPENING_S):
        cluster = _open_cluster(config)
    try:
        leases = cluster.leases(session)
    except BaseException:
        cluster.close()
        raise
    cluster.keep(leases)
    return cluster.catalog(leases), leases


def migrate(config: Config, *, dry_run: bool, tell: Callable[[str], None]) -> list[migration.Move]:
    """Move this node's own volumes and leases into the cluster's store; see migration.py.

    Raises HostError while volplug runs on this state directory.
    """
    with _both(config) as (local, cluster):
        if dry_run:
            return migration.plan(local.catalog(), cluster.catalog())
        cluster.raise_tokens(local.newest_token())
        session = new_session(config)
        source = migration.Side(local.catalog(), local.leases(session))
        target = migration.Side(cluster.catalog(), cluster.leases(session))
        return migration.migrate(source, target, tell)


def declare_restored(config: Config) -> int:
    """Accept the cluster's store as it is after it was restored; return its new generation.

    Raises HostError while volplug runs on this state directory.
    """
    _need_etcd(config)
    from volplug import etcd  # noqa: PLC0415  an extra

    local = open_local(config)
    try:
        access, home = _access(config)
        return etcd.declare_restored(access, home, prefix=config.store.prefix)
    finally:
        local.close()


def examine(config: Config) -> list[Finding]:
    """Look at the cluster's store, if there is one, for the doctor; changes nothing."""
    if config.store.kind != "etcd":
        return []
    purpose = "catalog and leases of the cluster"
    try:
        _need_etcd(config)
        from volplug import etcd  # noqa: PLC0415  an extra

        checks = etcd.check(etcd.Access.of(config.store), prefix=config.store.prefix)
    except InvalidOptions as error:
        return [Finding("etcd", ok=False, purpose=purpose, fix=str(error))]
    return [
        Finding(one.what, not one.problem, purpose, one.problem, needed=not one.optional)
        for one in checks
    ]


@contextmanager
def _both(config: Config) -> "Iterator[tuple[SqliteStore, EtcdStore]]":
    _need_etcd(config)
    local = open_local(config)
    try:
        cluster = _open_cluster(config)
        try:
            yield local, cluster
        finally:
            cluster.close()
    finally:
        local.close()


def _open_cluster(config: Config) -> "EtcdStore":
    access, home = _access(config)
    from volplug.etcd import EtcdStore  # noqa: PLC0415  an extra

    return EtcdStore(access, prefix=config.store.prefix, home=home)


def _access(config: Config) -> "tuple[Access, Home]":
    """Return how to reach the cluster, and what this node knows of it."""
    _need_etcd(config)
    from volplug import etcd  # noqa: PLC0415  an extra

    return etcd.Access.of(config.store), etcd.Home(config.state_dir, _hardware_id(config))


def _need_etcd(config: Config) -> None:
    """Raise InvalidOptions if etcd is not configured, or its client is not installed."""
    if config.store.kind != "etcd":
        raise InvalidOptions(
            f'store.kind is "{config.store.kind}": wanted "etcd", with the endpoints of the cluster'
        )
    if importlib.util.find_spec("etcd3gw") is None:
        raise InvalidOptions(
            'store.kind is "etcd", and its client is missing: pip install volplug[etcd]'
        )


def _hardware_id(config: Config) -> str:
    """Return what names this machine; empty where nothing does.

    Where firmware names none (small boards, microVMs), its disk does: that is enough for a store on
    the same disk. In a cluster a copy of the disk would pass for a reboot, and free leases.
    """
    named = config.hardware_id_file
    for file in (named, _DISK) if config.store.kind == "sqlite" else (named,):
        try:
            found = file.read_text().strip()
        except OSError:
            continue
        if found:
            return found
    return ""
