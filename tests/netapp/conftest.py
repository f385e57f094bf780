"""The simulated array, in a process of its own so that the tests' process can fork."""

import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import tested
from tests.netapp.certificate import make
from volplug.sdk import AccessMode, Secret, Size, Volume
from volplug_netapp import (
    NasConfig,
    NasOptions,
    NetappNasDriver,
    NetappSanDriver,
    SanConfig,
    SanOptions,
)

_ROOT = Path(__file__).parents[2]
CHAP = {"chap_user": "node", "chap_password": Secret("env:CHAP_PASSWORD")}
NODE_A, NODE_B = "iqn.1993-08.org.debian:01:aaaa", "iqn.1993-08.org.debian:01:bbbb"
ADDRESS_A, ADDRESS_B = "127.0.0.1", "10.0.0.2"


@dataclass
class Sim:
    """The tests' way to the array's process."""

    port: int
    certificate: Path
    password: Path
    _way: http.client.HTTPSConnection | None = None

    def do(self, order: str, **more: Any) -> Any:
        """Have something done behind the API's back; see server.py."""
        if self._way is None:
            trust = ssl.create_default_context(cafile=str(self.certificate))
            self._way = http.client.HTTPSConnection("127.0.0.1", self.port, context=trust)
        self._way.request("POST", "/sim", json.dumps({"do": order, **more}))
        return json.load(self._way.getresponse())["answer"]

    def close(self) -> None:
        """Close the tests' connection."""
        if self._way is not None:
            self._way.close()

    def trouble(self, kind: str, method: str, path: str, times: int = 1, skip: int = 0) -> None:
        """Ask for trouble with the next requests of that kind, after letting some through."""
        self.do("trouble", kind=kind, method=method, path=path, times=times, skip=skip)

    def calls(self, start: str = "") -> list[str]:
        """List the requests that begin like that."""
        return [call for call in self.do("calls") if call.startswith(start)]

    def counts(self) -> dict[str, int]:
        """Count what exists, leaving out what does not."""
        return {name: count for name, count in self.do("counts").items() if count}

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return what both drivers need to know of the array."""
        known = {"host": "127.0.0.1", "port": self.port, "svm": "svm1", "user": "volplug"}
        secret = {"password": Secret(f"file:{self.password}"), "ca_file": self.certificate}
        kept = {"owner": "east", "aggregates": ("aggr1",), "default_size": Size.parse("64M")}
        return known | secret | kept | more

    def san(self, **more: Any) -> NetappSanDriver:
        """Return a driver of LUNs."""
        return NetappSanDriver(SanConfig(**self.settings(**{"initiator": NODE_A, **more})))

    def nas(self, **more: Any) -> NetappNasDriver:
        """Return a driver of shares."""
        return NetappNasDriver(NasConfig(**self.settings(**more)))


@pytest.fixture(scope="session")
def array(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    """The array's process."""
    place = tmp_path_factory.mktemp("array")
    (both, certificate), password = make(place, "127.0.0.1"), place / "password"
    password.write_text("s3cret\n")
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.netapp.server", str(both)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    )
    against = "a stand-in for ONTAP's REST API, without data"
    tested.against(["netapp-san", "netapp-nas"], against, "tests/netapp/")
    with server:
        assert server.stdout is not None
        sim = Sim(int(server.stdout.readline()), certificate, password)
        yield sim
        sim.close()
        server.kill()


@pytest.fixture
def sim(array: Sim) -> Sim:
    """The array, with nothing on it."""
    array.do("reset")
    array.password.write_text("s3cret\n")
    return array


def disk(handle: str, name: str = "data", **more: Any) -> Volume[SanOptions]:
    """Return a volume of netapp-san."""
    access = more.pop("access", AccessMode.SINGLE_WRITER)
    return Volume(name, "filer", handle, access, SanOptions(**more))


def share(handle: str, name: str = "data", **more: Any) -> Volume[NasOptions]:
    """Return a volume of netapp-nas."""
    access = more.pop("access", AccessMode.SINGLE_WRITER)
    return Volume(name, "filer", handle, access, NasOptions(**more))


_SAN_MADE = {"volumes": 1, "luns": 1}
_NAS_MADE = {"volumes": 1, "policies": 1}


class Kind:
    """One of the two drivers, so that each test is written once."""

    def __init__(self, sim: Sim, kind: str) -> None:
        self.sim = sim
        self.san = kind == "san"
        self.node = NODE_A if self.san else ADDRESS_A
        self.made = _SAN_MADE if self.san else _NAS_MADE
        self.attached = self.made | ({"igroups": 1, "maps": 1} if self.san else {"rules": 1})

    def driver(self) -> Any:
        """Return a driver as of a new process."""
        return self.sim.san() if self.san else self.sim.nas()

    def options(self) -> Any:
        """Return options of a volume."""
        return self.volume("").options

    def volume(self, handle: str, name: str = "data") -> Volume[Any]:
        """Return a volume."""
        return disk(handle, name) if self.san else share(handle, name)

    def create(self, name: str = "data") -> Volume[Any]:
        """Create a volume."""
        return self.volume(self.driver().create(name, self.options()), name)


@pytest.fixture(params=["san", "nas"])
def kind(sim: Sim, request: pytest.FixtureRequest) -> Kind:
    """Return one of the two drivers."""
    return Kind(sim, request.param)
