"""The NFS drivers on a real nfs-ganesha, without a kernel that has an NFS client."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.rigs.ganesha import Ganesha
from tests.rigs.network import Network, until
from volplug.deadline import deadline
from volplug.options import parse
from volplug.sdk import (
    AccessDenied,
    AccessMode,
    InvalidOptions,
    RemoteTree,
    SubdirectoryOptions,
    Unavailable,
    Unsupported,
    VolplugError,
    Volume,
    VolumeNotFound,
    module,
)
from volplug.testing import DriverContract, FencingContract
from volplug_nfs import GaneshaConfig, GaneshaDriver, NfsConfig, NfsDriver
from volplug_nfs._probe import PORT, VERSIONS, supported

pytestmark = pytest.mark.root


@pytest.fixture
def config(ganesha: Ganesha, pool: Path) -> NfsConfig:
    """Give the plain driver's configuration."""
    return NfsConfig(servers=(ganesha.host.address,), export=str(pool))


@pytest.fixture
def ganesha_config(ganesha: Ganesha, pool: Path) -> GaneshaConfig:
    """Give the configuration of the driver with an export per volume."""
    servers = (ganesha.host.address,)
    return GaneshaConfig(servers=servers, export=str(pool), admin=tuple(ganesha.bus))


def made(
    driver: NfsDriver | GaneshaDriver,
    name: str,
    access: AccessMode = AccessMode.SHARED,
    **options: str,
) -> Volume[SubdirectoryOptions]:
    """Create a volume."""
    read = parse(SubdirectoryOptions, options, what="test")
    return Volume(name, "nfs", driver.create(name, read), access, read)


class TestContract(DriverContract):
    """The plain driver keeps the contract."""

    @pytest.fixture
    def driver(self, config: NfsConfig) -> NfsDriver:
        """Give the driver."""
        return NfsDriver(config)

    @pytest.fixture
    def options(self) -> SubdirectoryOptions:
        """Give plain options."""
        return SubdirectoryOptions()


class TestMountedContract(TestContract):
    """The driver keeps it too when it provisions through a mount that the operator made."""

    @pytest.fixture
    def driver(self, config: NfsConfig, tmp_path: Path) -> NfsDriver:
        """Give the driver, with a directory in the mount's place."""
        return NfsDriver(NfsConfig(**{**vars(config), "mounted_at": tmp_path}))


class TestGaneshaContract(DriverContract, FencingContract):
    """The driver with an export per volume keeps the contract, and that of fencing."""

    @pytest.fixture
    def driver(self, ganesha_config: GaneshaConfig) -> GaneshaDriver:
        """Give the driver."""
        return GaneshaDriver(ganesha_config)

    @pytest.fixture
    def options(self) -> SubdirectoryOptions:
        """Give plain options."""
        return SubdirectoryOptions()


def test_versions_are_probed(ganesha: Ganesha) -> None:
    """What a server speaks is known without mounting, minor versions included."""
    assert supported(ganesha.host.address, VERSIONS) == list(VERSIONS)
    assert supported(ganesha.host.address, ["4.7", "3", "2"]) == ["3"]


def test_first_version_that_is_spoken_is_mounted(config: NfsConfig) -> None:
    """The operator's order of versions decides, among those that the server has."""
    for versions, chosen in ((("4.2", "3"), "vers=4.2"), (("3",), "vers=3")):
        driver = NfsDriver(NfsConfig(**{**vars(config), "versions": versions}))
        volume = made(driver, "versions")
        words = driver.attach(volume, "n").mount_options
        assert [word for word in words if word.startswith("vers=")] == [chosen]
    driver.delete(volume)


def test_mount_is_hard_and_harmless(config: NfsConfig) -> None:
    """By default a mount waits for its server for ever, and obeys no set-user bits or devices."""
    driver = NfsDriver(config)
    volume = made(driver, "defaults")
    share = driver.attach(volume, "n")
    assert {"hard", "nosuid", "nodev", "retry=0"} <= set(share.mount_options)
    assert share.source == f"{config.servers[0]}:{config.export}/v/{volume.handle}"
    driver.delete(volume)


def test_servers_are_tried_in_order(config: NfsConfig, network: Network) -> None:
    """The first server that answers is used, and one that does not costs two seconds at most."""
    dead = f"{network.prefix}.99"
    driver = NfsDriver(NfsConfig(**{**vars(config), "servers": (dead, *config.servers)}))
    started = time.monotonic()
    volume = made(driver, "order")
    assert driver.attach(volume, "n").source.startswith(config.servers[0])
    assert time.monotonic() - started < 60
    driver.delete(volume)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("bind", "not allowed"),
        ("vers=3", "not allowed"),
        ("actimeo=3,bind", "not allowed"),
        ("noatime=1", "not one of"),
        ("actimeo=x", "not one of"),
        ("soft", "not allowed"),
        ("actimeo=3 bind", "not one of"),
        ("x-systemd.automount", "not allowed"),
    ],
)
def test_users_set_what_operators_allow(config: NfsConfig, words: str, fault: str) -> None:
    """A mount option that the operator did not allow, or with a wrong value, is refused at once."""
    with pytest.raises(InvalidOptions, match=fault):
        made(NfsDriver(config), "words", mount_options=words)


def test_last_word_counts(config: NfsConfig) -> None:
    """A user's allowed option takes the operator's place, and the operator's takes ours."""
    changed = {"mount_options": ("soft", "actimeo=60"), "allowed_options": ("actimeo",)}
    driver = NfsDriver(NfsConfig(**{**vars(config), **changed}))
    volume = made(driver, "last", mount_options="actimeo=3")
    words = driver.attach(volume, "n").mount_options
    assert "soft" in words
    assert "hard" not in words
    assert [word for word in words if word.startswith("actimeo")] == ["actimeo=3"]
    driver.delete(volume)


def test_local_locks_are_refused_where_several_write(config: NfsConfig) -> None:
    """A shared volume does not get nolock, with which each node would have locks of its own."""
    driver = NfsDriver(NfsConfig(**{**vars(config), "allowed_options": ("nolock",)}))
    volume = made(driver, "locks", mount_options="nolock")
    with pytest.raises(InvalidOptions, match="nolock"):
        driver.attach(volume, "n")
    alone = made(driver, "locks", AccessMode.SINGLE_WRITER, mount_options="nolock")
    assert "nolock" in driver.attach(alone, "n").mount_options
    driver.delete(volume)


def test_operator_mistakes_are_refused_at_the_start(config: NfsConfig) -> None:
    """Options that can never be allowed are named when the driver is made."""
    for wrong in ({"allowed_options": ("bind",)}, {"mount_options": ("x-mount.mkdir",)}):
        with pytest.raises(InvalidOptions):
            NfsDriver(NfsConfig(**{**vars(config), **wrong}))


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"export": "/not/there"}, (AccessDenied, Unavailable), "not exported|refuses"),
        ({"servers": ("no-such-host.invalid",)}, Unavailable, "does not resolve"),
        ({"servers": ("127.0.0.9",)}, Unavailable, "NFS service is not running"),
        ({"versions": ("4.0",)}, None, ""),
    ],
)  # fmt: skip
def test_refusals_are_sentences_in_time(
    config: NfsConfig,
    changed: dict[str, tuple[str, ...]],
    kind: type[VolplugError] | None,
    words: str,
) -> None:
    """What is wrong with a server is told in one sentence, in less than ten seconds."""
    driver = NfsDriver(NfsConfig(**{**vars(config), **changed}))
    started = time.monotonic()
    if kind is None:
        driver.delete(made(driver, "fine"))
    else:
        with pytest.raises(kind, match=words) as refusal:
            made(driver, "refused")
        assert "\n" not in str(refusal.value)
    assert time.monotonic() - started < 10


def test_squashed_root_is_refused_in_time(config: NfsConfig, squashed: Path) -> None:
    """An export that maps root to nobody is refused with the cure."""
    for path in sorted(squashed.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    squashed.chmod(0o1777)
    driver = NfsDriver(NfsConfig(**{**vars(config), "export": str(squashed)}))
    with pytest.raises(AccessDenied, match="no_root_squash"):
        made(driver, "squashed")
    user = {"provision_uid": 1001, "provision_gid": 1001, "export": str(squashed)}
    for path in sorted(squashed.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    allowed = NfsDriver(NfsConfig(**{**vars(config), **user}))
    allowed.delete(made(allowed, "owned", uid="1001", gid="1001"))


def test_hung_server_is_refused_in_time(config: NfsConfig, ganesha: Ganesha) -> None:
    """A server that accepts and says nothing costs each verb less than ten seconds."""
    driver = NfsDriver(config)
    volume = made(driver, "hung")
    ganesha.host.stop()
    try:
        for call in (
            lambda: made(driver, "new"),
            lambda: driver.attach(volume, "n"),
            lambda: driver.delete(volume),
        ):
            started = time.monotonic()
            with pytest.raises(VolplugError, match="does not answer"):
                call()
            assert time.monotonic() - started < 10
    finally:
        ganesha.host.send(signal.SIGCONT)
    driver.attach(volume, "n")
    driver.delete(volume)


@pytest.fixture
def stranger() -> Iterator[tuple[str, int]]:
    """Give a server that is there and speaks another protocol."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.sendall(b"220 hello, this is no NFS server\r\n")
                    connection.close()

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()
        server.shutdown(socket.SHUT_RDWR)


def test_other_service_is_no_nfs_server(
    stranger: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever answers on the port is understood or refused."""
    monkeypatch.setattr("volplug_nfs._probe.PORT", stranger[1])
    with pytest.raises(Unavailable, match="no NFS server"):
        supported(stranger[0], ["3"])
    assert PORT == 2049


def test_server_without_nfs3_needs_a_mount(
    config: NfsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where directories cannot be made over NFSv3 the way out is named."""
    monkeypatch.setattr(
        "volplug_nfs._driver.supported",
        lambda _, wanted: [version for version in wanted if version != "3"],
    )
    with pytest.raises(Unsupported, match="mounted_at"):
        made(NfsDriver(config), "v4only")


def test_wrong_export_is_noticed_before_a_mount(config: NfsConfig, all_squashed: Path) -> None:
    """A volume whose directory is not on the export is not found, rather than mounted empty."""
    driver = NfsDriver(config)
    volume = made(driver, "here")
    elsewhere = NfsDriver(NfsConfig(**{**vars(config), "export": str(all_squashed)}))
    with pytest.raises(VolumeNotFound, match="right share"):
        elsewhere.attach(volume, "n")
    driver.delete(volume)


def client(network_host: object, server: str, path: str) -> RemoteTree:
    """Return an NFS client on another host."""
    argv = getattr(network_host, "argv")  # noqa: B009  a Host
    return RemoteTree(argv(*module("volplug_nfs.libnfs_tree", server, path, "0", "0")))


def test_fenced_node_cannot_write(ganesha_config: GaneshaConfig, network: Network) -> None:
    """Once fence has returned the node's next request fails, and nobody else notices."""
    driver = GaneshaDriver(ganesha_config)
    other = network.host(5)
    volume, spare = made(driver, "fenced"), made(driver, "spare")
    for one in (volume, spare):
        for node in (other.address, driver.node_id()):
            driver.attach(one, node)
    server, export = ganesha_config.servers[0], ganesha_config.export
    doomed = client(other, server, f"{export}/v/{volume.handle}")
    spared = client(other, server, f"{export}/v/{spare.handle}")
    mine = client(_Here(), server, f"{export}/v/{volume.handle}")
    results = _Results(doomed)
    until(lambda: results.successes > 3, "writes")
    spared.mkdir("before")
    mine.mkdir("mine")
    proof = driver.fence(volume, other.address)
    fenced_s = time.monotonic()
    until(lambda: results.failures > 2, "writes to fail")
    results.stop()
    assert results.last_success_s <= fenced_s
    assert other.address in proof
    mine.mkdir("still")
    spared.mkdir("still")
    assert [one.node_id for one in driver.attachments(volume)] == [driver.node_id()]
    driver.attach(volume, other.address)
    client(other, server, f"{export}/v/{volume.handle}").mkdir("again")
    for tree in (doomed, spared, mine):
        tree.close()
    for one in (volume, spare):
        driver.delete(one)


def test_only_attached_nodes_can_use_the_export(
    ganesha_config: GaneshaConfig, network: Network
) -> None:
    """Before attach and after detach the server refuses the node; a deleted volume is no export."""
    driver = GaneshaDriver(ganesha_config)
    other = network.host(6)
    volume = made(driver, "private")
    driver.attach(volume, driver.node_id())
    where = (ganesha_config.servers[0], f"{ganesha_config.export}/v/{volume.handle}")
    with pytest.raises(AccessDenied):
        client(other, *where).stat(".")
    driver.attach(volume, other.address)
    assert client(other, *where).stat(".").directory
    driver.detach(volume, other.address)
    with pytest.raises(AccessDenied):
        client(other, *where).stat(".")
    driver.delete(volume)
    with pytest.raises(VolplugError):
        client(_Here(), *where).stat(".")


def test_exports_outlive_the_server(ganesha_config: GaneshaConfig, ganesha: Ganesha) -> None:
    """What was exported to whom is so again after the server was restarted."""
    driver = GaneshaDriver(ganesha_config)
    volume = made(driver, "lasting")
    driver.attach(volume, driver.node_id())
    index = Path(ganesha_config.export) / ".volplug/exports/all.conf"
    (ganesha.place / "more.conf").write_text(f'%include "{index}"\n')
    ganesha.stop()
    ganesha.start()
    assert [one.node_id for one in driver.attachments(volume)] == [driver.node_id()]
    driver.delete(volume)
    assert volume.handle not in index.read_text()
    (ganesha.place / "more.conf").write_text("")


def test_unreachable_bus_is_no_fence(ganesha_config: GaneshaConfig) -> None:
    """Without an answer of the server nobody is declared fenced."""
    driver = GaneshaDriver(ganesha_config)
    volume = made(driver, "unsure")
    driver.attach(volume, "10.0.0.1")
    blind = {"admin": ("env", "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent")}
    with pytest.raises(Unavailable, match="did not take the order"):
        GaneshaDriver(GaneshaConfig(**{**vars(ganesha_config), **blind})).fence(volume, "10.0.0.1")
    driver.delete(volume)


def test_no_name_writes_server_configuration(ganesha_config: GaneshaConfig) -> None:
    """Neither a path nor a node's name can say more to the server than what it is."""
    driver = GaneshaDriver(ganesha_config)
    for path in ("a;b", "a b", 'a"', "a}", "a\nb"):
        with pytest.raises(InvalidOptions, match="path="):
            made(driver, "mine", path=path)
    volume = made(driver, "mine")
    for node in ("*", "10.0.0.1; Access_Type = RW", "", "host", "10.0.0.0/8"):
        with pytest.raises(InvalidOptions, match="IPv4"):
            driver.attach(volume, node)
    driver.delete(volume)


def test_adopted_directory_is_exported_and_kept(ganesha_config: GaneshaConfig, pool: Path) -> None:
    """An adopted directory has an export and a fence like any other, and stays."""
    (pool / "old").mkdir()
    driver = GaneshaDriver(ganesha_config)
    volume = made(driver, "adopted", path="old")
    assert driver.attach(volume, driver.node_id()).source.endswith(f"{pool}/old")
    assert driver.fence(volume, driver.node_id())
    assert driver.attachments(volume) == []
    driver.delete(volume)
    assert (pool / "old").is_dir()


class _Here:
    """This machine, where a command is itself."""

    def argv(self, *words: str) -> list[str]:
        """Return the command."""
        return list(words)


class _Results:
    """Somebody who makes directories without a pause, in a thread, and remembers the results.

    A success counts from when it was asked for: the answer may be on its way for any time.
    """

    def __init__(self, tree: RemoteTree) -> None:
        self._tree, self._stopped = tree, False
        self.successes = self.failures = 0
        self.last_success_s = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        number = 0
        while not self._stopped:
            number += 1
            began_s = time.monotonic()
            try:
                with deadline(5):
                    self._tree.mkdir(f"d{number}")
                self.last_success_s = began_s
                self.successes += 1
            except (VolplugError, OSError):
                self.failures += 1

    def stop(self) -> None:
        """End."""
        self._stopped = True
        self._thread.join()
