"""The tree of errors is closed, and drawn as it is."""

import re

import volplug.errors
from volplug.errors import VolplugError


def test_drawing_shows_the_tree() -> None:
    """The module's docstring names exactly the classes that there are, in their order."""
    drawn = re.findall(r"[├└]── (\w+)", volplug.errors.__doc__ or "")
    assert drawn == [leaf.__name__ for leaf in VolplugError.__subclasses__()]


def test_leaves_have_no_children() -> None:
    """Fronts map each leaf once, so nothing may hang below one."""
    assert [leaf for leaf in VolplugError.__subclasses__() if leaf.__subclasses__()] == []


def test_every_error_shows_its_sentence() -> None:
    """What was said when it was raised is what people read, and nothing is added."""
    for leaf in VolplugError.__subclasses__():
        assert str(leaf("the disk is gone: plug it in")) == "the disk is gone: plug it in"
