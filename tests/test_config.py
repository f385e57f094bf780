"""Configuration: one file, one environment, every problem told at once."""

import dataclasses
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from volplug.config import RESERVED, Config, Settings, load, variable
from volplug.errors import InvalidOptions
from volplug.options import Secret

File = Callable[[str], Path]


@pytest.fixture
def file(tmp_path: Path) -> File:
    """Write a volplug.toml and return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "volplug.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """Return the path of a file that does not exist."""
    return tmp_path / "none.toml"


def refusal(path: Path | None, environment: dict[str, str], nowhere: Path) -> str:
    """Return the sentence with which a configuration is refused."""
    with pytest.raises(InvalidOptions) as refused:
        load(path, environment, default_file=nowhere)
    return str(refused.value)


def test_nothing_configured(nowhere: Path) -> None:
    """Without file and variables there are defaults, and the backends local and loop."""
    config = load(None, {"PATH": "/bin"}, default_file=nowhere)
    assert config == Config()
    assert config.socket == Path("/run/docker/plugins/volplug.sock")
    assert config.mount_dir == Path("/var/lib/volplug/mounts")
    assert config.node == platform.node()
    assert dict(config.backends) == {"local": {"driver": "local"}, "loop": {"driver": "loop"}}


def test_file(file: File, nowhere: Path) -> None:
    """Keys and backends are read from the file; a driver's own keys stay as they are written."""
    config = load(
        file(
            'state_dir = "/data"\nthreads = 16\nmanaged = true\ndefault_backend = "gold"\n'
            '[backends.gold]\ndriver = "ebs"\nzone = "a"\nsizes = [1, 2]\n'
            '[backends.local]\ndriver = "local"\n'
        ),
        {},
        default_file=nowhere,
    )
    assert config.mount_dir == Path("/data/mounts")
    assert (config.threads, config.managed) == (16, True)
    assert config.backends["gold"] == {"driver": "ebs", "zone": "a", "sizes": [1, 2]}
    assert sorted(config.backends) == ["gold", "local"]


@pytest.mark.parametrize("key", [one.name for one in dataclasses.fields(Settings)])
def test_every_key_has_a_variable_that_wins(key: str, file: File, nowhere: Path) -> None:
    """The environment has every key under VOLPLUG_KEY, and it wins over the file."""
    values = {
        "socket": ("/a.sock", "/b.sock"),
        "state_dir": ("/a", "/b"),
        "mount_dir": ("/a", "/b"),
        "node": ("a", "b"),
        "default_backend": ("loop", "local"),
        "managed": ("false", "true"),
        "boot_id_file": ("/a", "/b"),
        "hardware_id_file": ("/a", "/b"),
        "deadline_s": ("30", "31"),
        "wait_s": ("3", "4"),
        "grace_s": ("5", "6"),
        "threads": ("10", "11"),
    }
    in_file, in_environment = values[key]
    path = file(f'{key} = "{in_file}"\n')
    from_file = getattr(load(path, {}, default_file=nowhere), key)
    from_both = getattr(load(path, {variable(key): in_environment}, default_file=nowhere), key)
    assert (str(from_file).lower(), str(from_both).lower()) == (
        str(type(from_file)(in_file) if key != "managed" else False).lower(),
        str(type(from_file)(in_environment)).lower(),
    )


def test_a_backend_out_of_the_environment(nowhere: Path) -> None:
    """VOLPLUG_BACKENDS__GOLD__DRIVER makes a backend; the only one there is is the default."""
    environment = {
        "VOLPLUG_BACKENDS__GOLD__DRIVER": "ebs",
        "VOLPLUG_BACKENDS__GOLD__ACCESS_KEY": "file:/run/secrets/key",
    }
    config = load(None, environment, default_file=nowhere)
    assert dict(config.backends) == {
        "gold": {"driver": "ebs", "access_key": "file:/run/secrets/key"}
    }
    assert config.default_backend == "gold"


def test_store_in_file_and_environment(file: File, nowhere: Path) -> None:
    """The store is a table; each of its keys has a variable, which wins."""
    path = file(
        '[store]\nkind = "etcd"\nendpoints = ["https://a:2379", "https://b:2379"]\nca = "/ca.pem"\n'
    )
    store = load(path, {}, default_file=nowhere).store
    assert (store.kind, store.endpoints) == ("etcd", ("https://a:2379", "https://b:2379"))
    assert (store.ca, store.prefix) == (Path("/ca.pem"), "/volplug/v1")
    environment = {
        "VOLPLUG_STORE__ENDPOINTS": "http://c:1,http://d:2",
        "VOLPLUG_STORE__USER": "volplug",
        "VOLPLUG_STORE__PASSWORD": "env:PASSWORD",
    }
    store = load(path, environment, default_file=nowhere).store
    assert (store.endpoints, store.user) == (("http://c:1", "http://d:2"), "volplug")
    assert store.password == Secret("env:PASSWORD")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("store = 3", "the store is written as a table"),
        ('[store]\nkind = "consul"', "option 'kind' is 'consul': wanted one of sqlite, etcd"),
        ('[store]\nkind = "etcd"', "wants endpoints"),
        ('[store]\nendpoints = ["http://a"]', 'kind is "sqlite", which has no other keys'),
        ('[store]\nkind = "etcd"\nendpoint = "http://a"', "did you mean 'endpoints'?"),
        ('[store]\nkind = "etcd"\nendpoints = ["http://a"]\nuser = "u"', "go together"),
        ('[store]\nkind = "etcd"\nendpoints = ["http://a"]\nkey = "/k"', "go together"),
        ('[store]\nkind = "etcd"\nendpoints = ["http://a"]\nprefix = "v"', "wanted a path"),
    ],
)
def test_refused_store(text: str, wanted: str, file: File, nowhere: Path) -> None:
    """A store that could not work is refused before anything starts."""
    assert wanted in refusal(file(text), {}, nowhere)


def test_a_password_is_not_shown(file: File, nowhere: Path) -> None:
    """What stands where a reference belongs may be the password itself."""
    text = '[store]\nkind = "etcd"\nendpoints = "http://a"\nuser = "u"\npassword = "hunter2"'
    sentence = refusal(file(text), {}, nowhere)
    assert "wanted a reference" in sentence
    assert "hunter2" not in sentence


def test_a_variable_reaches_a_backend_with_a_hyphen(file: File, nowhere: Path) -> None:
    """The environment has no hyphens and no case, so `Gold-eu` is reached as GOLD_EU."""
    path = file('[backends.Gold-eu]\ndriver = "ebs"\nzone = "a"\n')
    config = load(path, {"VOLPLUG_BACKENDS__GOLD_EU__ZONE": "b"}, default_file=nowhere)
    assert dict(config.backends) == {"Gold-eu": {"driver": "ebs", "zone": "b"}}


def test_an_empty_variable_is_not_set(nowhere: Path) -> None:
    """`docker plugin set VOLPLUG_NODE=` goes back to the default."""
    assert load(None, {"VOLPLUG_NODE": ""}, default_file=nowhere).node == platform.node()


def test_reserved_variables_are_no_keys(nowhere: Path) -> None:
    """Variables that mean something else to volplug are neither keys nor mistakes."""
    environment = dict.fromkeys(RESERVED - {"VOLPLUG_CONFIG"}, "x")
    assert load(None, environment, default_file=nowhere) == Config()


def test_which_file(tmp_path: Path, nowhere: Path) -> None:
    """The command line wins over VOLPLUG_CONFIG, which wins over the file of the machine."""
    paths = [tmp_path / name for name in ("line", "variable", "machine")]
    for path in paths:
        path.write_text(f'node = "{path.name}"\n')
    line, named, machine = paths
    environment = {"VOLPLUG_CONFIG": str(named)}
    assert load(line, environment, default_file=machine).node == "line"
    assert load(None, environment, default_file=machine).node == "variable"
    assert load(None, {}, default_file=machine).node == "machine"
    assert load(None, {}, default_file=nowhere).node == platform.node()


def test_defaults_of_the_caller_are_weakest(file: File, nowhere: Path) -> None:
    """What `serve --dev` presumes gives way to the file and to the environment."""
    presumed = {"node": "presumed", "threads": 9, "state_dir": "run/state"}
    config = load(file('node = "file"\n'), {"VOLPLUG_THREADS": "8"}, presumed, nowhere)
    assert (config.node, config.threads) == ("file", 8)
    assert config.state_dir == Path.cwd() / "run/state"


def test_all_problems_at_once(file: File, nowhere: Path) -> None:
    """One refusal names every problem of file and environment, with suggestions."""
    path = file(
        'sockett = "/a"\nthreads = "many"\nnode = ["a"]\n'
        '[backends."a.b"]\ndriver = "local"\n[backends.bare]\n'
    )
    sentence = refusal(path, {"VOLPLUG_DEADLINE": "5", "VOLPLUG_GRACE_S": "-1"}, nowhere)
    for part in (
        str(path),
        "unknown option 'sockett', did you mean 'socket'?",
        "option 'threads' is 'many': wanted a number",
        "option 'node' wants one value",
        "backend name 'a.b' is not allowed",
        "backend 'bare' names no driver",
        "unknown variable 'VOLPLUG_DEADLINE', did you mean 'VOLPLUG_DEADLINE_S'?",
        "option 'grace_s' is '-1': wanted 0 to 86400 seconds",
    ):
        assert part in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('node = "a\nthreads = 1', "line 1"),
        ("\n\nthreads = = 3", "line 3"),
    ],
)
def test_broken_toml(text: str, wanted: str, file: File, nowhere: Path) -> None:
    """Broken TOML is refused with the file and the line."""
    path = file(text)
    sentence = refusal(path, {}, nowhere)
    assert str(path) in sentence
    assert wanted in sentence


def test_a_file_that_is_not_text(tmp_path: Path, nowhere: Path) -> None:
    """A file in another encoding is refused with a sentence too."""
    path = tmp_path / "latin.toml"
    path.write_bytes(b'node = "\xe4"')
    assert "not valid TOML" in refusal(path, {}, nowhere)


def test_a_named_file_must_exist(nowhere: Path) -> None:
    """A file that somebody named and that is not there is an error, not a default."""
    assert refusal(nowhere, {}, nowhere) == (
        f"cannot read the configuration {nowhere}: No such file or directory"
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("deadline_s = 10", "wait_s (20) must be less than deadline_s (10)"),
        ("deadline_s = 111", "wanted 1 to 110 seconds"),
        ("deadline_s = nan", "wanted 1 to 110 seconds"),
        ('default_backend = "gold"', "'gold', which is not configured (known: local, loop)"),
        ("backends = 3", "a backend is written as a table"),
        ("[backends]\ngold = 3", "a backend is written as a table"),
        ('[backends.a]\ndriver = ""', "backend 'a' names no driver"),
        (
            '[backends.a-b]\ndriver = "x"\n[backends.A_B]\ndriver = "x"',
            "'a-b' and 'A_B' have one name",
        ),
        ('[backends.a]\ndriver = "x"\n[backends.b]\ndriver = "x"', "known: a, b"),
    ],
)
def test_refused(text: str, wanted: str, file: File, nowhere: Path) -> None:
    """Values that could not work together are refused before anything starts."""
    assert wanted in refusal(file(text), {}, nowhere)


@pytest.mark.parametrize(
    "name", ["VOLPLUG_BACKENDS__GOLD", "VOLPLUG_BACKENDS____X", "VOLPLUG_BACKENDS__A__B__C"]
)
def test_misshapen_backend_variables(name: str, nowhere: Path) -> None:
    """A variable that names no backend or no key is refused, and the right shape is shown."""
    assert "VOLPLUG_BACKENDS__NAME__KEY" in refusal(None, {name: "x"}, nowhere)
