"""The three engines of a run: started once, shared by all tests, cleaned after each.

`pocket` and `pi1` are the newest Docker, `pi2` is Debian stable's: the mixed household that swarmd is for.
"""

import time

from . import image
from .engine import Engine

_engines = []
_archive = b""  # the image, as `docker save` has it


def engines():
    """All three, in the order pocket, pi1, pi2."""
    assert _engines, "the fleet is not up: start the tests with tests/real/run"
    return list(_engines)


def engine(name):
    return next(one for one in engines() if one.name == name)


def up():
    """Starts the engines (in parallel) and gives each the same `busybox:latest`, with one ID."""
    _engines[:] = [
        Engine("pocket", "127.0.0.11", "28", ["storage=ssd", "room=desk"]),
        Engine("pi1", "127.0.0.12", "28", ["storage=sd", "room=attic"]),
        Engine("pi2", "127.0.0.13", "20", ["storage=sd", "room=cellar"]),
    ]
    for one in _engines:
        one.spawn()
    for one in _engines:
        one.wait_ready()
    first, *others = _engines
    first.api.post("/images/create", image.rootfs(), fromSrc="-", repo="busybox", tag="latest", changes='CMD ["sh"]')
    global _archive
    _archive = first.api.raw("GET", "/images/busybox:latest/get")[2]
    for one in others:
        one.api.post("/images/load", _archive)
    time.sleep(1.1)  # engines date images by the second: those of the tests are newer


def clean(one):
    """Makes an engine empty again, but for its image."""
    one.clean()
    if not one.api.get("/images/json"):
        one.api.post("/images/load", _archive)


def repair():
    """After a test: every engine runs, answers and is empty again."""
    for one in _engines:
        if one.alive():
            one.unpause()
        else:
            one.spawn()
    for one in _engines:
        one.wait_ready()
        clean(one)


def down():
    for one in _engines:
        if one.alive():
            one.kill()
