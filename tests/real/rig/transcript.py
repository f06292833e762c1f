"""Command lines as data: the tables in `conformance/`, and what is compared of what they print.

A table is text. `## title` opens a case, whose lines are run in order by bash, each in a shell of its own, all in one
directory that is empty at first. `docker` is the client under test, pointed at the side under test, and

    up NAME [OPTION]...     is   docker run -d --stop-signal=KILL --name NAME [OPTION]... busybox sleep 1000

Exit code, stdout and stderr of every line are compared. An indented line below a command documents a difference that
is meant: what swarmd does instead, as `EXIT CODE|STDOUT|STDERR`.

      one: REGEX -- reason      over one engine
      three: REGEX -- reason    over three
      both: REGEX -- reason     over either
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

TABLES = Path(__file__).resolve().parents[1] / "conformance"
DEADLINE = 60  # seconds for one line
_PRELUDE = 'up() { local name=$1; shift; docker run -d --stop-signal=KILL --name "$name" "$@" busybox sleep 1000; }\n'


@dataclass
class Line:
    """One command line, and by what its output may differ: {"one": regex, "three": regex}."""
    text: str
    meant: dict = field(default_factory=dict)


@dataclass
class Case:
    title: str
    lines: list


@dataclass
class Answer:
    """What one line did."""
    code: object
    out: str
    err: str

    def whole(self):
        return f"{self.code}|{self.out}|{self.err}"

    def __str__(self):
        return f"  exit {self.code}\n" + "".join(f"  {name}: {text}\n" for name, text in (("out", self.out), ("err", self.err)) if text)


def read(path):
    """The cases of one table."""
    cases = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if text.startswith("## "):
            cases.append(Case(f"{path.stem}: {text[3:]}", []))
        elif text.startswith(" "):
            side, pattern = text.strip().split(": ", 1)
            assert side in ("one", "three", "both") and " -- " in pattern, f"{path.name}:{number}: {text}"
            for one in ("one", "three") if side == "both" else (side,):
                cases[-1].lines[-1].meant[one] = pattern.rsplit(" -- ", 1)[0]
        elif text and not text.startswith("# ") and text != "#":
            cases[-1].lines.append(Line(text))
    return cases


def every_case():
    return [case for path in sorted(TABLES.glob("*.txt")) for case in read(path)]


def run(case, client, directory, clean):
    """The answers to the lines of a case, as printed by `client`: taken through `clean`, then normalised."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    path = f"{os.path.dirname(client.command[0])}:{client.environment['PATH']}"
    environment = {**client.environment, "PATH": path, "DOCKER_HOST": f"tcp://{client.address}"}
    names = Names()
    answers = []
    for line in case.lines:
        code, out, err = _run_line(line.text, environment, directory)
        answers.append(Answer(code, names.normal(clean(out)), names.normal(clean(err))))
    return answers


def _run_line(text, environment, directory):
    with subprocess.Popen(["bash", "-c", _PRELUDE + text], cwd=directory, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            out, err = process.communicate(timeout=DEADLINE)
            code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            out, err = process.communicate()
            code = f"none within {DEADLINE} s"
    return code, out.decode(errors="replace").rstrip("\n"), err.decode(errors="replace").rstrip("\n")


class Names:
    """Takes out of texts what cannot be equal in two runs. IDs become numbers, by their first appearance in a case: an
    ID that should be another's stays visible."""

    _TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?[+-]\d{4}( [A-Z]{3,4})?|Z|[+-]\d\d:\d\d)?")
    _SPAN = re.compile(r"(Less than a second|About an? (?:minute|hour)|\d+ (?:second|minute|hour)s?)( ago)?")
    _RULES = (
        # Docker 20.10's client says so now and then when its container ends before it waits; nothing is wrong.
        (re.compile(r'time="<time>" level=error msg="error waiting for container: context canceled"(\n|$)'), ""),
        (re.compile(r'("(?:time|timeNano|Created|CreatedAt|StartedAt|Time)":) ?\d+'), r"\1 <time>"),
        (re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b"), "<mac>"),
        (re.compile(r"\b172\.\d+\.\d+\.\d+\b|\b192\.168\.\d+\.\d+\b"), "<ip>"),
        (re.compile(r'("(?:Pid|SandboxKey)": ?)("[^"]*"|\d+)'), r"\1<any>"),
        (re.compile(r"\b1[789]\d{8}(\.\d+)?\b"), "<time>"),
        (re.compile(r"\bpid[ =]\d+"), "pid <any>"),
        (re.compile(r" {2,}"), "  "),
        (re.compile(r"[ \r]+$", re.M), ""),
    )
    _ID = re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{12})\b")

    def __init__(self):
        self.known = {}

    def normal(self, text):
        text = self._SPAN.sub("<span>", self._TIME.sub("<time>", text))
        text = self._ID.sub(self._number, text)
        for pattern, replacement in self._RULES:
            text = pattern.sub(replacement, text)
        return text.rstrip("\n")

    def _number(self, match):
        short, whole = match[0][:12], match[0]
        number = self.known.setdefault(short, len(self.known) + 1)
        return f"<id {number}>" if len(whole) == 64 else f"<short id {number}>"
