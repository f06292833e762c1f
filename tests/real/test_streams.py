"""Streams through the manager are the streams of the engine: the same bytes, at once, in both directions.

Each comparison runs the same command directly on an engine first, so that Docker's own habits are not held against us.
"""

import fcntl
import hashlib
import io
import json
import os
import random
import select
import struct
import subprocess
import tarfile
import termios
import time

from rig import cli, fleet, session
from rig.case import ClusterCase, DIRECT
from rig.cluster import eventually

MIB = 1 << 20


class Streams(ClusterCase):
    def both(self):
        """(label, client) of the engine itself, then of the manager."""
        return (("engine", cli.docker(self.direct.address)), ("manager", self.docker))

    # -- bytes --------------------------------------------------------------------------------------------------

    def big_file(self, size):
        path = session.state_dir() / "disk" / "big"
        path.write_bytes(random.Random(size).randbytes(size))
        self.addCleanup(path.unlink)
        return path

    def through(self, docker, path, *arguments):
        """(exit code, sha256 and length of stdout) of a command fed with a file."""
        digest, length = hashlib.sha256(), 0
        with open(path, "rb") as source, docker.popen(*arguments, stdin=source, stderr=subprocess.DEVNULL) as process:
            while chunk := process.stdout.read(MIB):
                digest.update(chunk)
                length += len(chunk)
        return process.returncode, length, digest.hexdigest()

    def test_run_cat_returns_the_same_64_mib(self):
        path = self.big_file(64 * MIB)
        want = (0, 64 * MIB, hashlib.sha256(path.read_bytes()).hexdigest())
        for label, docker in self.both():
            with self.subTest(label):
                self.assertEqual(self.through(docker, path, "run", "--rm", "-i", "busybox", "cat"), want)

    def test_exec_cat_returns_the_same_bytes(self):
        path = self.big_file(16 * MIB)
        want = (0, 16 * MIB, hashlib.sha256(path.read_bytes()).hexdigest())
        for label, docker in self.both():
            with self.subTest(label):
                docker.ok("run", "-d", "--name", "box-" + label, "busybox", "sleep", "1000")
                self.assertEqual(self.through(docker, path, "exec", "-i", "box-" + label, "cat"), want)

    def test_end_of_input_leaves_output_open(self):
        for label, docker in self.both():
            with self.subTest(label):
                out = docker.out("run", "--rm", "-i", "busybox", "sh", "-c", "cat; sleep 1; echo after", input=b"before\n")
                self.assertEqual(out, "before\nafter")

    def test_a_program_that_reads_no_further_is_heard(self):
        path = self.big_file(16 * MIB)
        want = (0, MIB, hashlib.sha256(path.read_bytes()[:MIB]).hexdigest())
        for label, docker in self.both():
            with self.subTest(label):
                for _ in range(5):
                    self.assertEqual(self.through(docker, path, "run", "--rm", "-i", "busybox", "head", "-c", str(MIB)), want)

    def test_stdout_and_stderr_stay_apart(self):
        script = "for i in 1 2 3 4 5; do echo out$i; echo err$i >&2; done"
        for label, docker in self.both():
            with self.subTest(label):
                result = docker.ok("run", "--rm", "busybox", "sh", "-c", script)
                self.assertEqual(result.lines, [f"out{i}" for i in range(1, 6)])
                self.assertEqual(result.err.splitlines(), [f"err{i}" for i in range(1, 6)])

    # -- terminals ----------------------------------------------------------------------------------------------

    def test_exec_it_follows_the_size_of_the_terminal(self):
        for label, docker in self.both():
            with self.subTest(label):
                name = "box-" + label
                docker.ok("run", "-d", "--name", name, "busybox", "sleep", "1000")
                self.terminal_session(docker, "exec", "-it", name, "sh")

    def test_run_it_follows_the_size_of_the_terminal(self):
        for label, docker in self.both():
            with self.subTest(label):
                self.terminal_session(docker, "run", "-it", "--rm", "busybox", "sh")

    def terminal_session(self, docker, *arguments):
        terminal = Terminal(docker, *arguments, size=(40, 100))
        self.addCleanup(terminal.close)
        terminal.until("# ")
        eventually(lambda: "40 100" in terminal.ask("stty size"), "the first size", show=lambda: terminal.seen[-500:])

        def second_size():
            # Anew each time: a client that has only just connected may not listen for the signal of a new size yet.
            terminal.resize(50, 131)
            terminal.resize(50, 132)
            return "50 132" in terminal.ask("stty size")

        eventually(second_size, "the second size", show=lambda: terminal.seen[-500:])
        terminal.type("exit 9\n")
        self.assertEqual(terminal.wait(), 9)

    # -- following ----------------------------------------------------------------------------------------------

    def test_logs_follow(self):
        script = "echo first; while [ ! -e /go ]; do sleep 0.1; done; echo second"
        for label, docker in self.both():
            with self.subTest(label):
                name = "box-" + label
                docker.ok("run", "-d", "--name", name, "busybox", "sh", "-c", script)
                with docker.popen("logs", "-f", name) as following:
                    self.assertEqual(following.stdout.readline(), b"first\n")  # while the container still runs
                    docker.ok("exec", name, "touch", "/go")
                    self.assertEqual(following.stdout.read(), b"second\n")
                    self.assertEqual(following.wait(30), 0, "it ends with the container")

    def test_stats_stream(self):
        self.docker.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000")
        with self.docker.popen("stats", "--format", "{{.Name}}", "box") as stats:
            self.assertIn(b"box", stats.stdout.readline())
            stats.terminate()

    # -- files --------------------------------------------------------------------------------------------------

    def test_cp_both_ways(self):
        home = session.state_dir() / "disk" / "cp"
        (home / "in" / "sub").mkdir(parents=True, exist_ok=True)
        (home / "in" / "sub" / "data").write_bytes(random.Random(1).randbytes(4 * MIB))
        (home / "in" / "script").write_text("#!/bin/sh\n")
        (home / "in" / "script").chmod(0o750)
        seen = {}
        for label, docker in self.both():
            name = "box-" + label
            docker.ok("create", "--name", name, "busybox")
            docker.ok("cp", str(home / "in"), f"{name}:/root/tree")
            archive = docker.ok("cp", f"{name}:/root/tree", "-").raw
            seen[label] = self.listing(archive)
            out = home / label
            docker.ok("cp", f"{name}:/root/tree", str(out))
            self.assertEqual((out / "sub" / "data").read_bytes(), (home / "in" / "sub" / "data").read_bytes())
            self.assertEqual((out / "script").stat().st_mode & 0o777, 0o750)
        self.assertEqual(seen["manager"], seen["engine"])

    @staticmethod
    def listing(archive):
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            return sorted((one.name, one.mode, one.size, one.type) for one in tar.getmembers())

    # -- events -------------------------------------------------------------------------------------------------

    def test_each_event_once_with_its_node(self):
        direct = self.events_of_a_life(cli.docker(self.direct.address), self.direct.api)
        seen = self.events_of_a_life(self.docker, self.cluster.api)
        actions = [event["Action"] for event in seen]
        self.assertEqual((actions[0], actions[-1]), ("create", "destroy"))
        self.assertEqual(sorted(actions), sorted(["start", "kill", "die", "rename", "create", "destroy"]))  # kill and die race in Docker
        self.assertEqual(sorted(actions), sorted(event["Action"] for event in direct))
        if not DIRECT:
            names = {one.name: one for one in fleet.engines()}
            for event in seen:
                attributes = event["Actor"]["Attributes"]
                node = names[attributes["node.name"]]
                self.assertEqual((attributes["node.addr"], attributes["node.id"]), (node.address, node.id()))

    def events_of_a_life(self, docker, api):
        """The container events that `docker events` prints during one container's life."""
        listeners = api.get("/info")["NEventsListener"]
        with docker.popen("events", "--filter", "type=container", "--format", "{{json .}}", text=True) as stream:
            try:
                eventually(lambda: api.get("/info")["NEventsListener"] > listeners, "the event stream is open")
                full = docker.out("run", "-d", "--name", "live", "busybox", "sleep", "1000")
                docker.ok("kill", "live")
                eventually(lambda: docker.out("inspect", "-f", "{{.State.Status}}", "live") == "exited", "it has ended")
                docker.ok("rename", "live", "dead")
                docker.ok("rm", "dead")
                last = docker.out("create", "--name", "marker", "busybox")
                events = []
                for line in stream.stdout:
                    event = json.loads(line)
                    if event["Actor"]["ID"] == last:
                        break
                    if event["Actor"]["ID"] == full:
                        events.append(event)
            finally:
                stream.terminate()
        docker.ok("rm", "marker")
        return events

    def test_events_are_filtered(self):
        listeners = self.cluster.api.get("/info")["NEventsListener"]
        filters = ("--filter", "event=start", "--filter", "label=wanted")
        with self.docker.popen("events", *filters, "--format", "{{.Action}} {{.Actor.ID}}", text=True) as stream:
            try:
                eventually(lambda: self.cluster.api.get("/info")["NEventsListener"] > listeners, "the event stream is open")
                self.docker.ok("run", "--rm", "busybox", "true")
                full = self.docker.out("run", "-d", "-l", "wanted", "busybox", "true")
                self.assertEqual(stream.stdout.readline().split(), ["start", full])
            finally:
                stream.terminate()


class Terminal:
    """A docker client on a pseudo terminal of its own, as a person has one."""

    def __init__(self, docker, *arguments, size):
        self.master, slave = os.openpty()
        self.seen = ""
        self.resize(*size)

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that a new size is a signal to the client

        self.process = docker.popen(*arguments, stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_terminal)
        os.close(slave)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def read(self, seconds):
        """What comes within `seconds` (returns at the first piece)."""
        if not select.select([self.master], [], [], seconds)[0]:
            return ""
        try:
            text = os.read(self.master, 65536).decode(errors="replace")
        except OSError:  # the other side is closed
            return ""
        self.seen += text
        return text

    def until(self, word, after="", seconds=30):
        """Reads until `word` has come, after `after`; returns all that was read."""
        deadline, text = time.monotonic() + seconds, ""
        while word not in text.partition(after)[2] if after else word not in text:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"no {word!r} on the terminal: {self.seen[-1000:]!r}")
            text += self.read(0.2)
        return text

    def ask(self, command):
        """Types a command; what the terminal shows up to the next prompt."""
        self.type(command + "\n")
        # The echo ends with a newline, the prompt follows the answer; all may come in one piece.
        return self.until("# ", after="\n")

    def wait(self):
        deadline = time.monotonic() + 30
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.1)
        return self.process.poll()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
