"""What volplug does to a Linux machine: mounts, disks, file systems, and who uses them."""

from volplug.linux.directory import DirectoryHost
from volplug.linux.host import LinuxHost

__all__ = ["DirectoryHost", "LinuxHost"]
