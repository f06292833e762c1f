"""The ground that all real-engine tests of one run stand on, and its complete removal.

One run is one *session*: a pid, mount and network namespace of its own, held by `guard`. All that the tests start
lives below it, so the end of the session's first process, by any signal, is the end of every engine, container,
mount, bridge and socket. In it ports 2375 and 3376 are always free and nothing leads to another network.

Two kinds of things are not tied to processes; both carry the session's name, `swarmd-tests-XXXXXXXX`:

* the state directory, under the directory for temporary files (the engines' data is on a tmpfs in it, which goes
  with the mount namespace; logs are plain files);
* the cgroups of the containers.

The guard's janitor removes them; `sweep`, at the start of each run, does so for sessions whose janitor was killed
too. Whose session is over is told by the guard's pid and start time, kept in the file `owner`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import guard

PREFIX = "swarmd-tests-"
_STATE = "SWARMD_TESTS_STATE"  # set inside a session: its state directory


def state_dir():
    """The state directory; only inside a session."""
    return Path(os.environ[_STATE])


def logs_dir():
    return state_dir() / "log"


def cgroup_parent(*below):
    """The cgroup (as dockerd's `--cgroup-parent` wants it) under which containers of this session are."""
    return "/" + "/".join((state_dir().name,) + below)


def _cgroup_roots():
    with open("/proc/self/mounts") as mounts:
        return [fields[1] for fields in map(str.split, mounts) if fields[2] in ("cgroup", "cgroup2")]


def make_cgroups(path, memory=False):
    """Makes the cgroup `path` in every hierarchy, in that of memory only if so wished (processes stay where their caller
    is accounted); returns the directories."""
    made = []
    for root in _cgroup_roots():
        group = Path(root + path)
        if ("memory" in Path(root).name and not memory) or not os.access(root, os.W_OK):
            continue
        group.mkdir(parents=True, exist_ok=True)
        for directory in [*reversed(group.relative_to(root).parents), group.relative_to(root)]:
            for limit in ("cpuset.cpus", "cpuset.mems"):  # empty in a new group: nothing could run there
                if directory.parts and (Path(root) / directory / limit).exists():
                    (Path(root) / directory / limit).write_text((Path(root) / limit).read_text())
        made.append(group)
    return made


def remove_cgroups(path):
    """Removes the cgroup `path` with all below it, in every hierarchy. Its processes are dead or dying."""
    for root in _cgroup_roots():
        top = root + path
        for _ in range(100):
            for directory, _dirs, _files in os.walk(top, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    pass
            if not os.path.isdir(top):
                break
            time.sleep(0.05)


def _start_time(pid):
    """When `pid` started, in clock ticks since boot: with the pid it names one process for good."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


def _owner_lives(state):
    try:
        pid, start = (state / "owner").read_text().split()
    except (FileNotFoundError, ValueError):
        return time.time() - state.stat().st_mtime < 60  # being made right now, or a wreck
    return _start_time(pid) == start


def _clean(state):
    """What the janitor does: all processes of the session are dead or about to be."""
    remove_cgroups("/" + state.name)
    for _ in range(100):
        shutil.rmtree(state, ignore_errors=True)
        if not state.exists():
            return
        time.sleep(0.05)


def sweep():
    """Removes what sessions left whose guard *and* janitor are gone."""
    for state in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        if state.is_dir() and not _owner_lives(state):
            print(f"removing what an earlier run left: {state}", flush=True)
            _clean(state)


def enter(program, *arguments):
    """Runs `program` (a Python file) inside a new session; returns its exit status."""
    sweep()
    state = Path(tempfile.mkdtemp(prefix=PREFIX))
    (state / "owner").write_text(f"{os.getpid()} {_start_time(os.getpid())}\n")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DOCKER_", "SWARM_", "COMPOSE_"))}
    environment.update({_STATE: str(state), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"})
    command = ["unshare", "--pid", "--mount", "--net", "--fork", "--kill-child", "--mount-proc",
               "tini", "-g", "--", sys.executable, str(program), *arguments]
    return guard.run(command, clean=lambda: _clean(state), env=environment)


def inside():
    return _STATE in os.environ


def settle():
    """First thing inside: loopback up, the disk of the engines mounted."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for part in ("log", "disk"):
        (state_dir() / part).mkdir(exist_ok=True)
    # overlay2 needs a file system that is no overlay itself; fsync costs nothing here.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(state_dir() / "disk")], check=True)
