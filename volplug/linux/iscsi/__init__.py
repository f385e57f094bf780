"""iSCSI LUNs of this machine: logged in to, found by their serial, and let go of in order.

open-iscsi by itself attaches every LUN that a target shows, and keeps a disk under its name when
the array has long given its number to another volume: both are how the wrong volume gets mounted
(backends-block 1.6 and 9). Here a session scans nothing but what it is told to, and a disk counts
only by the serial number that it tells.
"""

from volplug.linux.iscsi.lun import connect, disconnect, name_of

__all__ = ["connect", "disconnect", "name_of"]
