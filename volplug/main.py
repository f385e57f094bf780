"""Builds the object graph and serves it: with cli.py and stores.py all that knows the adapters.

One process holds everything that has a state: the worker of the web server. Its parent only keeps
the socket and starts it again if it dies; both may be killed at any moment, for whatever they have
answered is on disk and whatever they were doing is finished by the keeper's first look.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask

from volplug import arming, docker, registry, stores
from volplug.admin.blueprint import create_blueprint
from volplug.administration import Administration
from volplug.backends import Backends
from volplug.command import run
from volplug.config import Config
from volplug.controller import Controller
from volplug.guard import Level, Times
from volplug.guarding import Guarding, Unguarded
from volplug.host import Host
from volplug.journal import Journal
from volplug.keeper import PERIOD_S, Keeper
from volplug.ladder import Ladder
from volplug.lease import LeaseTable
from volplug.linux import DirectoryHost, LinuxHost, cgroup, mountpoint
from volplug.linux.guard import GuardClient
from volplug.mounts import Mounts
from volplug.node import Node
from volplug.opening import Opening
from volplug.operations import Operations
from volplug.renewal import Renewal
from volplug.service import Service
from volplug.session import BoottimeClock
from volplug.sqlite import SqliteStore


@dataclass(frozen=True, slots=True)
class Agent:
    """What one node runs, put together and not yet started."""

    service: Service
    administration: Administration
    keeper: Keeper
    renewal: Renewal
    node: Node


def assemble(config: Config, local: SqliteStore | None = None) -> Agent:
    """Put a node together on the stores that it was told of; `local` is its own, if it is open.

    Raises VolplugError, in a sentence for the operator, if the configuration or the store is bad;
    Unavailable if the store is away.
    """
    local = local or stores.open_local(config)
    session = stores.new_session(config)
    catalog, leases = stores.catalog_and_leases(config, local, session)
    backends = Backends(
        config.backends,
        default=config.default_backend,
        load=registry.load,
        state_dir=config.state_dir,
    )
    journal = Journal(config.state_dir / "journal", node=config.node, boot_id=session.boot_id)
    node = Node(
        name=config.node,
        boot_id=session.boot_id,
        catalog=catalog,
        leases=leases,
        mount_table=local.mounts(),
        backends=backends,
        host=_host(config, session.boot_id),
        operations=Operations(callers_per_backend=config.threads // 2),
        guard=_guard(config, leases, backends, journal),
        journal=journal,
    )
    controller = Controller(node)
    ladder = Ladder(node, wait_s=config.wait_s)
    mounts = Mounts(node, ladder, wait_s=config.wait_s, grace_s=config.grace_s)
    # An orphan is dropped at the first look after its grace: a fifth of it is late by little.
    keeper = Keeper(node, controller, mounts, period_s=min(PERIOD_S, config.grace_s / 5 + 0.1))
    if config.managed:  # Docker sends no Activate to a managed plugin: its start is the new epoch
        mounts.new_epoch()
    return Agent(
        Service(node, controller, mounts, keeper),
        Administration(node, controller, mounts),
        keeper,
        Renewal(
            leases,
            journal=journal,
            guard=node.guard,
            period_s=config.guard.renew_s,
            hold_s=config.guard.told_ms / 1000,
        ),
        node,
    )


def create_app(config: Config, parting: list[Callable[[], None]] | None = None) -> Flask:
    """Start a node, now or when its store is there, and return the web application for it.

    What has to be done when it ends in good order is added to `parting`.
    """
    local = stores.open_local(config)

    def start() -> Agent:
        agent = assemble(config, local)
        arming.begin(agent.node)
        if parting is not None:
            parting.append(agent.node.guard.close)
        agent.renewal.start()
        agent.keeper.start()
        return agent

    if parting is not None and config.managed:
        parting.append(lambda: mountpoint.give_up(config.mount_dir))
    opening = Opening(start, local.mounts())
    opening.begin()
    app = docker.create_app(
        opening.late(lambda agent: agent.service),
        deadline_s=config.deadline_s,
        slow_calls=config.threads * 3 // 4,
    )
    administration = opening.late(lambda agent: agent.administration)
    app.register_blueprint(create_blueprint(administration, deadline_s=config.deadline_s))
    return app


def serve(config: Config) -> None:
    """Serve until a signal ends it."""
    parting: list[Callable[[], None]] = []

    def part() -> None:
        for step in parting:
            step()

    docker.serve(
        lambda: create_app(config, parting),
        socket_path=config.socket,
        threads=config.threads,
        closing=part,
    )


def _guard(config: Config, leases: LeaseTable, backends: Backends, journal: Journal) -> Guarding:
    """Return what stops this node's writers, where any could be waited out by another node."""
    shared = config.store.kind != "sqlite"
    if not (shared and os.geteuid() == 0 and arming.may_guard(backends)):
        return Unguarded()

    post = stores.guard_post(config)

    def start() -> None:
        run([sys.executable, "-m", "volplug.linux.guard", *post.words], through=cgroup.outside())

    return GuardClient(
        post=post,
        times=Times.of(config.guard.hold_ms),
        renewed_s=leases.renewed_s,
        clock=BoottimeClock(),
        start=start,
        journal=journal,
        most=Level.NONE if config.managed else Level.WATCHDOG,
    )


def _host(config: Config, boot_id: str) -> Host:
    """Return the host that this user can have: only root mounts."""
    if os.geteuid() == 0:
        return LinuxHost(config.state_dir, config.mount_dir, boot_id=boot_id)
    return DirectoryHost(config.state_dir)
