"""A test run that is killed leaves nothing: a second run inside this one is started and killed, in three ways."""

import glob
import os
import signal
import subprocess
import sys
from pathlib import Path

from rig import session
from rig.case import EngineCase
from rig.cluster import eventually

RUNNER = Path(__file__).resolve().parent / "run"


def engines_running():
    """How many dockerds this session sees, those of sessions within it included."""
    count = 0
    for comm in glob.glob("/proc/[0-9]*/comm"):
        try:
            count += Path(comm).read_text() == "dockerd\n"
        except (FileNotFoundError, ProcessLookupError):
            pass
    return count


class Cleanup(EngineCase):
    def setUp(self):
        super().setUp()
        # Away from our own state: the inner run must not take it for what an earlier run left.
        self.temporary = session.state_dir() / "disk" / "inner"
        self.temporary.mkdir(exist_ok=True)
        self.before = engines_running()
        self.names = set()  # of the inner sessions

    def launch(self, *arguments):
        """Starts Python with a new session's directory inside ours."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SWARMD_TESTS_")}
        environment |= {"TMPDIR": str(self.temporary), "PYTHONPATH": str(RUNNER.parent)}
        run = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, text=True)
        self.addCleanup(run.stdout.close)
        return run

    def start(self):
        run = self.launch(RUNNER, "test_rig.py", "-k", "orderly")
        for line in run.stdout:
            if line.startswith("  pi2: Docker"):
                self.names = {path.name for path in self.temporary.iterdir()}
                return run
        raise AssertionError(f"the inner run ended with {run.wait()} before its engines were up")

    def left(self):
        """What there is of inner runs: engines, files, cgroups."""
        names = [path.name for path in self.temporary.iterdir()]
        cgroups = [path for name in self.names for path in glob.glob(f"/sys/fs/cgroup/**/{name}", recursive=True)]
        return [*names, *cgroups] + ["dockerd"] * (engines_running() - self.before)

    def killed_by(self, number):
        run = self.start()
        self.assertEqual(len([one for one in self.left() if one == "dockerd"]), 3)
        run.send_signal(number)
        run.wait(30)
        eventually(lambda: not self.left(), "nothing is left", show=self.left)

    def test_terminated(self):
        self.killed_by(signal.SIGTERM)

    def test_interrupted(self):
        self.killed_by(signal.SIGINT)

    def test_killed(self):
        self.killed_by(signal.SIGKILL)

    def test_nothing_is_made_anew_by_what_dies_late(self):
        """The clean-up begins when all processes have ended, not while they do: some make directories to the last."""
        program = RUNNER.parent / "rig" / "late_writer.py"
        for _ in range(5):
            run = self.launch("-c", f"from rig import session; session.enter({str(program)!r})")
            self.assertEqual(run.stdout.readline(), "writing\n")
            run.kill()
            run.wait(30)
            eventually(lambda: not self.left(), "nothing is left", show=self.left)

    def test_swept_by_the_next_run(self):
        """Guard and janitor both killed: the next run removes what they left."""
        wreck = self.temporary / (session.PREFIX + "wreck")
        wreck.mkdir()
        (wreck / "owner").write_text("999999999 1\n")
        run = self.start()
        self.assertFalse(wreck.exists())
        run.terminate()
        run.wait(30)
        eventually(lambda: not self.left(), "nothing is left", show=self.left)
