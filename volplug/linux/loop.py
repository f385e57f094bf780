"""Image files as loop devices: attached once, freed by the kernel when the last mount ends.

Two loop devices on one image are allowed, both can be mounted, and that destroys the file system
(backends-block 8). So the device that already has the image is looked for first, and attaching
takes an flock that lives as long as the device does, because the kernel keeps our open file.
"""

import errno
import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

from volplug.deadline import deadline, wait_until
from volplug.errors import HostError, Unsupported
from volplug.linux import sysfs
from volplug.linux.sysfs import SYSFS

_CONFIGURE, _CLEAR, _STATUS, _SET_CAPACITY = 0x4C0A, 0x4C01, 0x4C05, 0x4C07  # linux/loop.h
_GET_FREE = 0x4C82
_READ_ONLY, _AUTOCLEAR, _DIRECT_IO = 1, 4, 16
_INFO = struct.Struct("QQQQQIIII64s64s32sQQ")  # struct loop_info64
_CONFIG = struct.Struct(f"II{_INFO.size}s64x")  # struct loop_config

_ATTACH_S = 10.0


def attach(image: Path, *, read_only: bool) -> int:
    """Return an open loop device of an image, the one it has already or a new one.

    The device is freed when it is closed and nothing has it mounted. Raises HostError if the image
    is missing, is no plain file, or belongs to somebody else's loop device.
    """
    with deadline(_ATTACH_S):
        file = _open(image, read_only=read_only)
        try:
            return _attach(file, image, read_only=read_only)
        finally:
            os.close(file)


def name_of(image: Path) -> str | None:
    """Return the kernel's name of the loop device that shows the image; reads sysfs only."""
    for backing in _candidates(image):
        if backing.read_text().rstrip("\n") == str(image):
            return backing.parent.parent.name
    return None


def take_new_size(device: int) -> None:
    """Let an open loop device show its image's present size."""
    fcntl.ioctl(device, _SET_CAPACITY)


def is_attached(number: str) -> bool:
    """Whether the loop device with this number shows some image."""
    return (SYSFS / "dev/block" / number / "loop").is_dir()


def detach(number: str, sequence: int) -> None:
    """Free a loop device, as soon as nothing has it open, if it is still the one that was meant."""
    device = os.open(f"/dev/{sysfs.name(number)}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if sysfs.sequence(number) == sequence:  # it stays so while we have it open
            with suppress(OSError):  # ENXIO: it was freed this moment
                fcntl.ioctl(device, _CLEAR)
    finally:
        os.close(device)


def _open(image: Path, *, read_only: bool) -> int:
    flags = os.O_RDONLY if read_only else os.O_RDWR
    try:
        return os.open(image, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise HostError(
            f"the disk image {image} cannot be opened: {error.strerror}; if it was moved, put it "
            "back"
        ) from error


def _attach(file: int, image: Path, *, read_only: bool) -> int:
    found: list[int] = []

    def claimed() -> bool:
        existing = _existing(file, image, read_only=read_only)
        if existing is not None:
            found.append(existing)
            return True
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    wait_until(claimed, f"the disk image {image}, which another loop device or host has open")
    if found:
        return found[0]
    wait_until(lambda: _configured(file, image, read_only, found), "a free loop device")
    return found[0]


def _existing(file: int, image: Path, *, read_only: bool) -> int | None:
    """Return the open loop device that has this very file, compared by device and inode."""
    wanted = os.fstat(file)
    for backing in _candidates(image):
        path = f"/dev/{backing.parent.parent.name}"
        with suppress(OSError):
            device = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
            with suppress(OSError):
                status = _INFO.unpack(fcntl.ioctl(device, _STATUS, bytes(_INFO.size)))
                if (status[0], status[1]) == (_encoded(wanted.st_dev), wanted.st_ino):
                    return device
            os.close(device)
    return None


def _candidates(image: Path) -> list[Path]:
    """List the sysfs files of loop devices whose image has this name.

    Asking a loop device for its inode asks the file system below, which may hang: so those that
    cannot be it are not asked.
    """
    candidates = []
    for backing in SYSFS.glob("block/loop*/loop/backing_file"):
        with suppress(OSError):  # detached this moment
            shown = backing.read_text().rstrip("\n").removesuffix(" (deleted)")
            if shown.endswith(f"/{image.name}"):
                candidates.append(backing)
    return candidates


def _configured(file: int, image: Path, read_only: bool, found: list[int]) -> bool:
    """Try to give the file to a free loop device; False if somebody else took that first."""
    control = _open_control()
    try:
        number = fcntl.ioctl(control, _GET_FREE)
    finally:
        os.close(control)
    mode = os.O_RDONLY if read_only else os.O_RDWR
    try:
        device = os.open(f"/dev/loop{number}", mode | os.O_CLOEXEC)
    except FileNotFoundError:
        return False  # devtmpfs makes the node in a moment
    flags = _AUTOCLEAR | (_READ_ONLY if read_only else 0)
    for more in (_DIRECT_IO, 0):
        info = _INFO.pack(
            *(0,) * 8, flags | more, os.fsencode(image)[-63:], b"", b"", 0, 0
        )  # the last part of the path, for people who run losetup
        try:
            fcntl.ioctl(device, _CONFIGURE, _CONFIG.pack(file, 0, info))
        except OSError as error:
            if error.errno == errno.EBUSY:
                break
            if not more:
                os.close(device)
                raise HostError(
                    f"the disk image {image} cannot become a loop device: {error.strerror}"
                ) from error
        else:
            found.append(device)
            return True
    os.close(device)
    return False


def _open_control() -> int:
    try:
        return os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise Unsupported(
            f"this machine has no loop devices (/dev/loop-control: {error.strerror}): load the "
            "module `loop`, or give the plugin the host's /dev"
        ) from error


def _encoded(device: int) -> int:
    """Spell a device number as the kernel's new_encode_dev does."""
    major, minor = os.major(device), os.minor(device)
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)
