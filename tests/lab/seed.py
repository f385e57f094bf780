"""What every guest finds at /seed: the checkout under test, its scripts, a key, an image.

A snapshot taken before the first lab opens, packed as a disk that all guests read: Debian's cloud
kernel has no 9p, and virtiofs wants a daemon per guest. volplug and the drivers are laid out as an
installation would have them, metadata included, for drivers are found by their entry points.
"""

import importlib.metadata
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.image import busybox_tree
from tests.lab.image import CONTAINED, Image
from tests.machine import need_program

_ROOT = Path(__file__).parents[2]
_INSIDE = Path(__file__).with_name("inside")
IMAGE = "/seed/image.tar"
_INSTALLED = (
    "etcd3gw", "netapp-ontap", "pyvmomi",
    "boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six",
)  # fmt: skip
# Of AWS' services the descriptions are a hundred times the code, and of ONTAP's resources the
# classes: one of them is enough, and none.
_LEFT_OUT = re.compile(
    r"botocore/data/(?!ec2/2016-11-15/)[^/]+/.*|.*/examples-1\.json|.*\.py[ci]"
    r"|netapp_ontap/(docs|models|resources)/.*"
)


@dataclass(frozen=True, slots=True)
class Seed:
    """The disk that holds it, and the private key that opens the guests."""

    disk: Path
    key: Path


def lay_out(directory: Path, image: Image) -> Seed:
    """Make the disk and the key in a directory, for guests that boot from an image."""
    seed, disk, key = (directory / name for name in ("seed", "seed.erofs", "key"))
    keygen = need_program("ssh-keygen", "openssh-client")
    subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    seed.mkdir()
    shutil.copy(key.with_suffix(".pub"), seed / "authorized_keys")
    for script in ("calls.py", "crashes.py", "host.py", "init", "lives.py", "writer.py"):
        shutil.copy(_INSIDE / script, seed)
    shutil.copytree(_INSIDE / "bin", seed / "bin")
    for name in ("exports", "flexvols", "luns", "ontap", "records", "served", "server"):
        _copy(_ROOT / f"tests/netapp/{name}.py", seed / "tests/netapp")
    _install(seed / "python")
    _compile(seed, image)
    busybox_tree(need_program("busybox", "busybox-static"), seed / Path(IMAGE).name)
    mkfs = need_program("mkfs.erofs", "erofs-utils")
    subprocess.run([mkfs, "-x-1", disk, seed], check=True, capture_output=True)
    return Seed(disk, key)


def _compile(seed: Path, image: Image) -> None:
    """Have the guests' Python compile what they import, which is slow on an emulated processor.

    It runs here, off the image; a kernel that cannot mount that leaves the work to the guests.
    """
    script = """
        mount -t erofs -o loop,ro "$0" /mnt || exit 0
        mount --bind "$1" /mnt/mnt
        exec chroot /mnt python3 -m compileall -q --invalidation-mode unchecked-hash \\
            -s /mnt -p /seed /mnt
    """
    argv = [*CONTAINED, "sh", "-euc", script, str(image.root), str(seed)]
    subprocess.run(argv, check=True, capture_output=True)


def _install(site: Path) -> None:
    """Lay out the packages of the checkout as pip would."""
    skip = shutil.ignore_patterns("__pycache__", "*.md")
    for package in (_ROOT / "volplug", *(_ROOT / "drivers").iterdir(), _INSIDE / "volplug_share"):
        if (package / "__init__.py").exists():
            shutil.copytree(package, site / package.name, ignore=skip)
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    for name in _INSTALLED:
        _copy_installed(name, site)
    metadata = site / f"{project['name']}-{project['version']}.dist-info"
    metadata.mkdir()
    identity = f"Name: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\n{identity}")
    points = project["entry-points"]["volplug.drivers"] | {"share": "volplug_share:ShareDriver"}
    lines = [f"{name} = {target}" for name, target in points.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[volplug.drivers]", *lines, ""]))


def _copy_installed(name: str, site: Path) -> None:
    """Copy the files of a distribution of plain Python that the tests themselves run with.

    For what Debian has in a version that is too old, or not; what it wants in turn is in the image.
    """
    for file in importlib.metadata.files(name) or ():
        if ".." not in file.parts and not _LEFT_OUT.fullmatch(file.as_posix()):
            _copy(Path(str(file.locate())), (site / file).parent)


def _copy(file: Path, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, directory)
