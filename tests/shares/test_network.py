"""The network of the tests themselves."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.machine import need_program, need_root

pytestmark = pytest.mark.root

_ROOT = Path(__file__).parents[2]
_AS_AN_ENGINE_DOES = 'iptables --policy FORWARD DROP; ip link set lo up; exec "$0" -c "$1"'
_TALK = """
from tests.rigs.network import Network
network = Network()
try:
    first, second = network.host(1), network.host(2)
    first.run("busybox", "ping", "-c", "1", "-W", "5", second.address)
    first.run("busybox", "ping", "-c", "1", "-W", "5", network.address)
finally:
    network.close()
"""


def test_hosts_talk_whatever_this_machine_forwards() -> None:
    """A Docker Engine has the machine drop what it forwards, and so what passes its bridges."""
    need_root()
    for program, package in (("ip", "iproute2"), ("iptables", "iptables")):
        need_program(program, package)
    need_program("busybox", "busybox-static")
    argv = ["unshare", "--net", "sh", "-euc", _AS_AN_ENGINE_DOES, sys.executable, _TALK]
    done = subprocess.run(argv, cwd=_ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
