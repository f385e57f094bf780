"""Trouble on the way to the array: no duplicate, no loss, and sentences that help."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.netapp.conftest import NODE_A, Sim, disk, share
from volplug.sdk import (
    AccessDenied,
    DeadlineExceeded,
    Exhausted,
    Size,
    Unavailable,
    VolplugError,
    deadline,
)
from volplug_netapp import NasOptions, SanOptions

_MADE = {"volumes": 1, "luns": 1}
_POSTS = ("/storage/volumes", "/storage/luns", "/san/igroups", "/san/lun-maps")


@pytest.mark.parametrize("path", _POSTS)
@pytest.mark.parametrize("kind", ["lost", "error", "gone", "slow"])
def test_repeated_after_trouble_makes_one(sim: Sim, kind: str, path: str) -> None:
    """Whether or not a call was carried out that failed, its repetition ends with one of each."""
    driver = sim.san()
    sim.trouble(kind, "POST", f"{path}$")

    def both() -> None:
        driver.attach(disk(driver.create("data", SanOptions())), NODE_A)

    with pytest.raises((Unavailable, DeadlineExceeded)), deadline(1.5 if kind == "slow" else 20):
        both()
    both()
    assert sim.counts() == _MADE | {"igroups": 1, "maps": 1}
    assert sim.do("writers", name=driver.create("data", SanOptions())) == [NODE_A]


@pytest.mark.parametrize("kind", ["lost", "error", "gone"])
def test_reading_is_repeated_at_once(sim: Sim, kind: str) -> None:
    """A question can be asked again without harm, so nobody hears of a single failure."""
    sim.trouble(kind, "GET", "/storage/", times=2)
    sim.san().create("data", SanOptions())
    assert sim.counts() == _MADE


def test_nothing_that_changes_is_sent_twice(sim: Sim) -> None:
    """The library's retries, which would repeat a DELETE five times, are off."""
    driver = sim.san()
    volume = disk(driver.create("data", SanOptions()))
    sim.trouble("gone", "DELETE", "/storage/luns", times=9)
    with pytest.raises(Unavailable, match="does not answer"):
        driver.delete(volume)
    assert len(sim.calls("DELETE /storage/luns")) == 1


def test_busy_array_is_left_alone_and_asked_again(sim: Sim) -> None:
    """A call that was refused because of too many was not carried out, so it is sent again."""
    sim.trouble("busy", "POST", "/storage/", times=3)
    sim.san().create("data", SanOptions())
    assert sim.counts() == _MADE


def test_busy_array_ends_at_the_deadline(sim: Sim) -> None:
    """Whoever waits for a busy array waits no longer than they were given."""
    sim.trouble("busy", "GET", "/storage/", times=10**6)
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"busy|ONTAP at"), deadline(0.5):
        sim.san().create("data", SanOptions())
    assert time.monotonic() - started < 20


def test_all_threads_share_one_pause(sim: Sim) -> None:
    """Eight threads together do not ask a busy array eight times as often."""
    driver = sim.san()
    driver.create("data", SanOptions())
    driver._flexvols._ontap._pause.longer(0.4)
    before = len(sim.calls())
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(driver.create, "data", SanOptions()) for _ in range(8)]
        with pytest.raises(DeadlineExceeded), deadline(0.1):
            driver.create("data", SanOptions())
        assert len(sim.calls()) == before
        assert len({one.result() for one in done}) == 1


def test_slow_job_goes_on_and_is_found_again(sim: Sim) -> None:
    """A job that outlives its caller's deadline is neither failed nor begun a second time."""
    sim.do("set", what="job_s", value=1.0)
    driver = sim.san()
    with pytest.raises(DeadlineExceeded, match="a retry continues"), deadline(0.3):
        driver.create("data", SanOptions())
    driver.create("data", SanOptions())
    assert sim.counts() == _MADE


def test_forgotten_job_is_over(sim: Sim) -> None:
    """ONTAP forgets jobs after a while; the volume itself is what counts then."""
    sim.do("set", what="job_s", value=0.4)
    driver = sim.san()
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(driver.create, "data", SanOptions())
        _until(lambda: bool(sim.calls("GET /cluster/jobs")))
        time_over = time.monotonic() + 0.4
        _until(lambda: time.monotonic() > time_over)
        assert sim.counts().get("volumes") == 1
        sim.do("set", what="jobs", value={})
        assert made.result()


def test_rotated_password_is_read_again(sim: Sim) -> None:
    """A login that expired is made anew with what the secret is now."""
    driver = sim.san()
    volume = disk(driver.create("data", SanOptions()))
    sim.do("password", word="n3w")
    sim.password.write_text("n3w\n")
    driver.attach(volume, NODE_A)
    sim.do("password", word="0ther")
    with pytest.raises(AccessDenied, match="check user and password") as refusal:
        driver.attach(volume, NODE_A)
    assert "n3w" not in str(refusal.value)


def test_certificate_that_nobody_signed(sim: Sim) -> None:
    """Somebody else in the array's place gets no password, and the cure is named."""
    with pytest.raises(Unavailable, match=r"not trusted .* ca_file"):
        sim.san(ca_file=None).create("data", SanOptions())
    assert sim.calls() == []


def test_nobody_answers(sim: Sim) -> None:
    """An array that is not there is told with its name."""
    with pytest.raises(Unavailable, match=r"ONTAP at 127\.0\.0\.1 does not answer .*host, port"):
        sim.san(port=1).create("data", SanOptions())


@pytest.mark.parametrize("kind", ["san", "nas"])
def test_full_aggregate(sim: Sim, kind: str) -> None:
    """The next aggregate is tried; when none has room nothing is left behind."""

    def create(name: str, *aggregates: str) -> str:
        if kind == "san":
            return sim.san(aggregates=aggregates).create(name, SanOptions())
        return sim.nas(aggregates=aggregates).create(name, NasOptions())

    create("data", "small", "aggr1")
    before = sim.counts()
    with pytest.raises(Exhausted, match=r"not enough space in aggregate .*add an aggregate"):
        create("more", "small")
    assert sim.counts() == before


def test_lun_that_finds_no_room(sim: Sim) -> None:
    """A FlexVol that was made for a LUN goes when that cannot be made."""
    with pytest.raises(Exhausted, match="no space for the LUN"):
        sim.san().create("x_fulllun_x", SanOptions())
    assert sim.counts() == {}


@pytest.mark.parametrize("size", ["1", "19M", "95T", "101T", "999999999999999P"])
def test_sizes_that_cannot_be(sim: Sim, size: str) -> None:
    """A size that no FlexVol has is refused before the array is asked."""
    driver = sim.san()
    with pytest.raises(VolplugError, match="size"):
        driver.create("data", SanOptions(size=Size.parse(size)))
    assert sim.calls("POST") == []


def test_export_trouble_makes_one_rule(sim: Sim) -> None:
    """A rule whose answer was lost is found again."""
    driver = sim.nas()
    volume = share(driver.create("data", NasOptions()))
    sim.trouble("lost", "POST", "/rules$")
    with pytest.raises(Unavailable):
        driver.attach(volume, "10.0.0.2")
    driver.attach(volume, "10.0.0.2")
    assert sim.counts()["rules"] == 1


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
