"""Volumes on a NetApp ONTAP array: `netapp-san`, LUNs over iSCSI; `netapp-nas`, NFS exports."""

from volplug_netapp._nas import NetappNasDriver
from volplug_netapp._san import NetappSanDriver
from volplug_netapp._settings import NasConfig, NasOptions, SanConfig, SanOptions

__all__ = [
    "NasConfig",
    "NasOptions",
    "NetappNasDriver",
    "NetappSanDriver",
    "SanConfig",
    "SanOptions",
]
