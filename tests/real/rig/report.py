"""The test report: a line and a time for each test, the logs' tails where one fails, a closing line to be counted by.

The last line is exactly `N passed, M failed`.
"""

import sys
import time
import unittest

from . import fleet, swarmd


class Report(unittest.TestResult):
    """Prints as it goes."""

    def __init__(self):
        super().__init__()
        self.passed = 0
        self._begun = 0.0

    def startTest(self, test):
        super().startTest(test)
        self._begun = time.monotonic()
        print(f"  {_name(test)} ... ", end="", flush=True)

    def _end(self, word):
        print(f"{word} ({time.monotonic() - self._begun:.1f} s)", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1
        self._end("ok")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._end(f"skipped: {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._explain(test, self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self._explain(test, self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            mine = self.failures if issubclass(err[0], subtest.failureException) else self.errors
            self._explain(subtest, mine[-1][1])

    def _explain(self, test, text):
        self._end("FAILED")
        print(f"---- {_name(test)}", flush=True)
        print(text.rstrip())
        for one in swarmd.running():
            state = "runs" if one.alive() else f"ended with {one.process and one.process.returncode}"
            print(f"---- log of {one.name} ({state}): {one}\n{one.log_tail()}", end="")
        for one in fleet.engines():
            if not one.alive():  # else the client has been told what was wrong
                print(f"---- log of engine {one.name}, which is down\n{one.log_tail()}", end="")
        print("----", flush=True)

    def failed(self):
        """Failures and errors, those of class set-ups included."""
        return len(self.failures) + len(self.errors)


def _name(test):
    return str(test.id()).removeprefix("test_")


def run(suite):
    """Runs a suite; prints the closing line; returns whether all went well (and anything ran at all)."""
    report = Report()
    begun = time.monotonic()
    suite.run(report)
    skipped = f"{len(report.skipped)} skipped, " if report.skipped else ""
    print(f"\nreal engines: {skipped}{time.monotonic() - begun:.0f} s\n{report.passed} passed, {report.failed()} failed", flush=True)
    sys.stdout.flush()
    return report.failed() == 0 and report.passed > 0
