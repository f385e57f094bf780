"""Amazon EBS volumes."""

from volplug_ebs._driver import EbsDriver
from volplug_ebs._settings import EbsConfig, EbsOptions

__all__ = ["EbsConfig", "EbsDriver", "EbsOptions"]
