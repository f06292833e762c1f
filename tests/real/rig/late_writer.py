"""Program of a session for `test_cleanup`: many processes that make the session's directory anew once it is gone."""

import os
import signal
from pathlib import Path

PROCESSES = 60


def write_late(directory):
    while True:
        if not directory.parent.exists():
            try:
                directory.mkdir(parents=True)
            except OSError:
                pass


if __name__ == "__main__":
    for number in range(PROCESSES):
        if os.fork() == 0:
            write_late(Path(os.environ["SWARMD_TESTS_STATE"]) / f"late-{number}")
    print("writing", flush=True)
    signal.pause()
