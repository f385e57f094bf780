"""A volplug of paper behind a real socket: the service only remembers what it was told."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from werkzeug.serving import make_server

from volplug.admin import wire
from volplug.admin.blueprint import create_blueprint
from volplug.deadline import remaining
from volplug.errors import HeldElsewhere, VolplugError, VolumeInUse, VolumeNotFound
from volplug.event import Entry
from volplug.facts import Facts
from volplug.lease import Lease, LeaseState
from volplug.options import Size
from volplug.volume import AccessMode
from volplug.why import Answer, answer


def since() -> datetime:
    """Return a moment that is three minutes and some seconds ago whenever it is asked."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=3, seconds=5)


@dataclass
class PaperNodes:
    """Nodes by name, each with how long it has been silent."""

    silent: dict[str, float] = field(default_factory=lambda: {"web1": 0.5, "web2": 90.0})
    evicted: list[tuple[str, str, str]] = field(default_factory=list)

    def nodes(self) -> list[dict[str, Any]]:
        """Describe all."""
        return [
            {
                "node": name,
                "presence": "silent" if silent_s > 16 else "alive",
                "silent_s": silent_s,
                "guard_level": 1,
                "quarantine": "clean",
                "leases": 2,
                "incarnation": 3,
            }
            for name, silent_s in self.silent.items()
        ]

    def evict(self, name: str, *, by: str, reason: str) -> str:
        """Note who evicted whom and why; a live node is refused."""
        if self.silent[name] <= 16:
            raise VolumeInUse(f"node '{name}' was heard of 0 s ago and may be writing")
        self.evicted.append((name, by, reason))
        return "freed 'data'"

    def forget(self, name: str) -> str:
        """Forget it."""
        self.silent.pop(name, None)
        return f"node '{name}' is forgotten"


@dataclass
class PaperService:
    """Answers as the real one does, out of a dictionary."""

    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    held: list[Lease] = field(default_factory=list)
    released: list[tuple[str, str, str]] = field(default_factory=list)
    kept: list[tuple[str, str]] = field(default_factory=list)
    remaining_s: list[float] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    failure: Exception | None = None
    membership: PaperNodes = field(default_factory=PaperNodes)

    def add(self, name: str, **facts: Any) -> None:
        """Make a volume that is held by web1."""
        common = {"name": name, "backend": "local", "access": "single-writer", "state": "ready"}
        self.found[name] = {
            **common,
            "created_at": since(),
            "nodes": ["web1"],
            "mounts": 2,
            **facts,
        }
        token = 7 + len(self.held)
        mode = AccessMode.SINGLE_WRITER
        self.held.append(Lease(name, "web1", mode, token, since(), LeaseState.LAPSED))

    def volumes(self) -> list[dict[str, Any]]:
        """Describe all."""
        if self.failure:
            raise self.failure
        return [self.found[name] for name in sorted(self.found)]

    def inspect(self, name: str) -> dict[str, Any]:
        """Describe one."""
        if name not in self.found:
            raise VolumeNotFound(f"there is no volume '{name}'")
        return {**self.found[name], "options": {"size": "10G"}, "place": Path("/data")}

    def leases(self, name: str | None) -> list[Lease]:
        """List leases."""
        return [lease for lease in self.held if name in (None, lease.volume)]

    def why(self, name: str) -> Answer:
        """Say what was put down, or what there is to say of a volume that does not exist."""
        self.remaining_s.append(remaining())
        return self.answers.get(name) or answer(Facts(volume=name, node="web1"))

    def journal(self, name: str | None, since: datetime | None) -> list[Entry]:
        """List what was put down."""
        return [
            entry
            for entry in self.entries
            if name in (None, entry.volume) and (since is None or entry.at >= since)
        ]

    def expand(self, name: str, size: Size) -> None:
        """Note the new size."""
        self.remaining_s.append(remaining())
        self.inspect(name)
        self.found[name]["size"] = int(size)

    def snapshot(self, name: str, snapshot: str) -> dict[str, Any]:
        """Note a snapshot."""
        self.remaining_s.append(remaining())
        self.inspect(name)
        self.kept.append((name, snapshot))
        return {"snapshot": f"{name}@{snapshot}", "consistency": "frozen", "why": "held still"}

    def snapshots(self, name: str) -> list[dict[str, Any]]:
        """List what was noted."""
        return [
            {"snapshot": f"{volume}@{snapshot}", "taken_at": since()}
            for volume, snapshot in self.kept
            if volume == name
        ]

    def remove_snapshot(self, name: str, snapshot: str) -> None:
        """Forget a snapshot."""
        self.kept.remove((name, snapshot))

    def release(self, name: str, *, by: str, reason: str) -> str:
        """Note who released what and why; a live holder is refused."""
        self.remaining_s.append(remaining())
        self.inspect(name)
        if any(lease.state is LeaseState.LIVE for lease in self.leases(name)):
            raise HeldElsewhere(f"volume '{name}' is held by node 'web1', which is alive")
        self.released.append((name, by, reason))
        return f"the lease of volume '{name}' was taken from web1"


def application(service: PaperService) -> Flask:
    """Put the real blueprint on an app that has as much of Docker's calls as a client uses."""
    app = Flask("paper")
    app.register_blueprint(create_blueprint(service, deadline_s=11))

    def docker(work: Any) -> Response:
        body: Mapping[str, Any] = wire.read_object(request.get_data())
        try:
            work(body)
        except VolplugError as error:
            return Response(wire.dump({"Err": str(error)}))
        return Response(wire.dump({"Err": ""}))

    def create() -> Response:
        return docker(lambda body: service.add(body["Name"], given=body["Opts"]))

    def remove() -> Response:
        return docker(lambda body: service.found.pop(body["Name"]))

    app.add_url_rule(wire.CREATE, view_func=create, methods=["POST"])
    app.add_url_rule(wire.REMOVE, view_func=remove, methods=["POST"])
    return app


@contextmanager
def serving(app: Flask, socket: Path) -> Iterator[None]:
    """Serve an app on a unix socket while the block runs."""
    server = make_server(f"unix://{socket}", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        socket.unlink(missing_ok=True)
