"""vCenter's types as pyVmomi makes them at run time.

The stubs that come with pyVmomi leave constructors untyped and lack some faults: they refuse
code that is right. Here the types are what they are, unchecked.
"""

from typing import Any

import pyVmomi
from pyVim import connect

vim: Any = pyVmomi.vim
vmodl: Any = pyVmomi.vmodl
stub_adapter: Any = pyVmomi.SoapAdapter.SoapStubAdapter
negotiated: Any = connect.SmartStubAdapter
