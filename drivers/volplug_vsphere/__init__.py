"""Disks of a vSphere cluster as volumes."""

from volplug_vsphere._driver import VsphereDriver
from volplug_vsphere._settings import VsphereConfig, VsphereOptions

__all__ = ["VsphereConfig", "VsphereDriver", "VsphereOptions"]
