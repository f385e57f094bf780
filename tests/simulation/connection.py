"""A connection to a simulated member: the place where production's client is cut off from etcd."""

from collections.abc import Mapping
from typing import Any

from tests.simulation.network import Call
from tests.simulation.threads import local_wait
from tests.simulation.timeline import current
from volplug.etcd.access import Access, Endpoint
from volplug.etcd.connection import TRY_S, TryAgain


class Connection:
    """Speaks to one member, as volplug.etcd.connection's does."""

    def __init__(self, access: Access, endpoint: Endpoint) -> None:
        del access
        self.endpoint = endpoint

    def post(self, path: str, body: Mapping[str, Any], token: str) -> dict[str, Any]:
        """Send a request and return its answer; raise TryAgain if none comes in time."""
        del token
        assert path == "kv/txn", path
        task = current()
        machine = task.process.owner.machine
        world = machine.world
        member = world.cluster.members[self.endpoint.port % len(world.cluster.members)]
        call = Call(task)

        def answer(reply: dict[str, Any] | None) -> None:
            world.network.send(member.name, machine.name, call.reply, reply)

        task.process.check_alive()
        message = machine.name, member.name, member.ask, body, answer
        world.timeline.after(world.faults.at_request(body), world.network.send, *message)
        if not call.wait(local_wait(TRY_S, task)):
            raise TryAgain(f"{self.endpoint}: no answer in time")
        if call.answer is None:
            raise TryAgain(f"{self.endpoint}: connection refused")
        answered: dict[str, Any] = call.answer
        return answered

    def close(self) -> None:
        """Hang up."""
