"""A writer that says of each write what the kernel told it, until a write fails.

Run as `python -m tests.linux.guard_writer DIRECTORY`. It writes numbered records with O_DSYNC, each
printed with the time once it is acknowledged; besides, it dirties pages with and without a mapping.
"""

import mmap
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

RECORD_BYTES = 512
SYNCED, BUFFERED, MAPPED = "synced", "buffered", "mapped"


def record(number: int) -> bytes:
    """Return what the record with that number holds."""
    return f"{number:015d}\n".encode() * (RECORD_BYTES // 16)


def _disturb(directory: Path) -> None:
    """Write without waiting for the disk, for as long as it lasts."""
    with suppress(OSError, ValueError), (directory / BUFFERED).open("wb", buffering=0) as file:
        while True:
            for number in range(256):
                file.write(record(number))
            file.seek(0)
            time.sleep(0.001)


def _touch(mapped: mmap.mmap) -> None:
    number = 0
    while True:
        number += 1
        mapped[number % 16 * 4096 : number % 16 * 4096 + 15] = f"{number:015d}".encode()
        time.sleep(0.001)


def main() -> None:
    """Write until that fails, and print the error."""
    directory = Path(sys.argv[1])
    (directory / MAPPED).write_bytes(bytes(1 << 16))
    with (directory / MAPPED).open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 1 << 16)
    threading.Thread(target=_disturb, args=(directory,), daemon=True).start()
    threading.Thread(target=_touch, args=(mapped,), daemon=True).start()
    synced = os.open(directory / SYNCED, os.O_WRONLY | os.O_CREAT | os.O_DSYNC, 0o644)
    number = 0
    try:
        while True:
            os.write(synced, record(number))
            now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
            os.write(1, f"{number} {now_s}\n".encode())
            number += 1
    except OSError as error:
        os.write(1, f"error {time.clock_gettime(time.CLOCK_BOOTTIME)} {error.errno}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    main()
