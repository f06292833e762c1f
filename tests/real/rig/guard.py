"""Runs one command so that nothing of it outlives us, however we die.

    python3 guard.py COMMAND [ARG...]

Three nets, each for a harder death than the one before:

1. The command ends, or we get SIGTERM, SIGINT or SIGHUP: we are the *subreaper* of all its descendants
   (orphans become our children, not init's), so we find and kill every one of them. The death of our own parent
   (a killed `tests/run`) reaches us as SIGTERM through PR_SET_PDEATHSIG.
2. We are killed with -9: the command itself gets SIGKILL through its own PR_SET_PDEATHSIG. Where the command is
   `unshare --pid --kill-child` (as for the real engines) that takes a whole pid namespace with it; the kernel
   leaves no one behind.
3. What is no process (cgroups, directories) is removed by a *janitor*: a process in a session of its own that
   waits until the other end of a pipe, held by us alone, is closed, and until the namespace of net 2 is empty: what
   dies a moment after us would make directories anew behind its back. It does the clean-up after an orderly end too, so that this path is not one that is never walked. A janitor that was killed as well has its work done by
   the next run (`session.sweep`).

Guards do not nest: the outer one would kill the janitor of the inner one. It is *not* a sandbox: a command that wants to
escape can.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option, value):
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def die_with_parent(sig=signal.SIGKILL):
    """For `preexec_fn`: this process gets `sig` when the thread that started it ends."""
    _prctl(PR_SET_PDEATHSIG, int(sig))


def children(pid):
    """Pids of the direct children of `pid`; empty when it is gone."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def descendants(pid):
    """Pids of all processes below `pid`."""
    for child in children(pid):
        yield child
        yield from descendants(child)


def kill_descendants(spare=()):
    """Kills all processes below us but those in `spare`, and reaps them."""
    for _ in range(500):
        victims = [pid for pid in descendants(os.getpid()) if pid not in spare]
        if not victims:
            return
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for pid in children(os.getpid()):
            if pid not in spare:
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass
        time.sleep(0.01)


def _state(pid):
    """State letter and start time of `pid`; `None` when it is gone. With the pid, the start time names one process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], fields[19]


def _announce_first(child, pipe):
    """Tells the janitor the first process of the pid namespace that `child`, an `unshare --fork`, makes."""
    while child.poll() is None:
        for pid in children(child.pid):
            known = _state(pid)
            if known:
                os.write(pipe, f"{pid} {known[1]}\n".encode())
                return
        time.sleep(0.005)


def _await_end(first):
    """Ends when the process `first` has. The kernel lets the first process of a pid namespace end only after all
    others in it: after that nothing can write where the janitor cleans."""
    pid, start = first.split()
    for _ in range(6000):
        known = _state(pid)
        if known is None or known[1] != start or known[0] in "ZX":
            return
        time.sleep(0.01)


def start_janitor(clean):
    """Forks a process that calls `clean()` once we are gone or have closed the returned descriptor, and the process
    that was named through it (`_announce_first`) has ended."""
    reader, writer = os.pipe()  # both close-on-exec: no command of ours can hold the janitor back
    pid = os.fork()
    if pid:
        os.close(reader)
        return pid, writer
    status = 1
    try:
        os.setsid()
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, signal.SIG_IGN)
        os.close(writer)
        with os.fdopen(reader) as lines:
            first = lines.read()
        if first:
            _await_end(first)
        clean()
        status = 0
    finally:
        os._exit(status)


def run(command, clean=None, **popen):
    """Runs `command` to its end; returns its exit status (128 + signal if it was killed by one)."""
    parent = os.getppid()
    _prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    _prctl(PR_SET_CHILD_SUBREAPER, 1)

    def stop(number, _frame):
        raise SystemExit(128 + number)

    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, stop)
    if os.getppid() != parent:  # it died before prctl: no signal will come
        raise SystemExit(128 + signal.SIGTERM)
    janitor, pipe = start_janitor(clean) if clean else (0, -1)
    try:
        # A group of its own: Ctrl-C reaches us alone, and we end the rest.
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_own_group, **popen)
        if clean:
            _announce_first(child, pipe)
        status = child.wait()
        return status if status >= 0 else 128 - status
    finally:
        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(sig, signal.SIG_IGN)
        kill_descendants(spare=(janitor,))
        if janitor:
            os.close(pipe)
            os.waitpid(janitor, 0)


def _own_group():
    os.setpgid(0, 0)
    die_with_parent()


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1:]))
    except FileNotFoundError as problem:
        sys.exit(f"guard: {problem}")
