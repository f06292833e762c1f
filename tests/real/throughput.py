"""How fast `docker save` is through an agent's front and a manager, TLS on both ways, against the engine itself.

    cargo build --release && SWARMD_BIN=target/release/swarmd tests/real/run throughput.py
    SWARMD_TESTS_MIB=256 ... tests/real/run throughput.py       a smaller image than 1 GiB

Not among the tests that run by themselves: it takes memory (twice the image) and a quiet machine, and asserts nothing
about time. All ways are taken in turns, three times each, in one run; what is printed are the best times and their ratio.
"""

import os
import subprocess
import tarfile
import time
import unittest

from rig import cli
from rig.case import needs_cluster
from rig.fronted import FRONT, Fronted

MIB = 1 << 20
SIZE = int(os.environ.get("SWARMD_TESTS_MIB", "1024")) * MIB
ROUNDS = 3


class Random:
    """What nothing can compress, quickly made."""

    block = os.urandom(MIB)

    def read(self, count):
        return self.block[:count]


@needs_cluster
class Throughput(unittest.TestCase):
    def setUp(self):
        self.fronted = Fronted("throughput")
        self.addCleanup(self.fronted.down)
        self.fronted.up()
        engine = cli.docker(self.fronted.engine.address)
        self.ways = {"engine": engine, "front": self.fronted.docker(FRONT, "manager"), "front + manager": self.fronted.docker()}
        self.bring(engine)

    def bring(self, engine):
        """The image, from a tar that is made on the way."""
        importing = engine.popen("import", "-", "big", stdout=subprocess.DEVNULL, stderr=None)
        info = tarfile.TarInfo("data")
        info.size = SIZE
        with tarfile.open(fileobj=importing.stdin, mode="w|", bufsize=MIB) as tar:
            tar.addfile(info, Random())
        importing.stdin.close()
        self.assertEqual(importing.wait(300), 0)

    def save(self, docker):
        """Seconds, and bytes."""
        begun = time.monotonic()
        saving = docker.popen("save", "big", stdin=subprocess.DEVNULL, stderr=None)
        count = 0
        buffer = bytearray(MIB)
        while got := saving.stdout.readinto(buffer):
            count += got
        self.assertEqual(saving.wait(60), 0)
        return time.monotonic() - begun, count

    def test_docker_save(self):
        times = {way: [] for way in self.ways}
        for _ in range(ROUNDS):
            for way, docker in self.ways.items():
                seconds, count = self.save(docker)
                self.assertGreater(count, SIZE)
                times[way].append(seconds)
        best = {way: min(seconds) for way, seconds in times.items()}
        print(f"\ndocker save of {SIZE // MIB} MiB, best of {ROUNDS}:")
        for way, seconds in best.items():
            every = ", ".join(f"{one:.2f}" for one in times[way])
            print(f"  {way:16} {seconds:6.2f} s  {SIZE / MIB / seconds:7.0f} MiB/s  {best['engine'] / seconds:5.2f} of the engine's   ({every})")
