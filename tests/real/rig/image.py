"""The one image of the tests, `busybox:latest`, made from Debian's static busybox without any registry."""

import io
import subprocess
import tarfile

from . import fetch


def rootfs():
    """A root file system as tar, for `docker import`; equal for equal busyboxes."""
    program = fetch.busybox()
    applets = subprocess.run([program, "--list"], check=True, text=True, stdout=subprocess.PIPE).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("root", 0o700), ("proc", 0o555),
                           ("sys", 0o555), ("dev", 0o755), ("www", 0o755)):
            _add(tar, path, mode, kind=tarfile.DIRTYPE)
        _add(tar, "bin/busybox", 0o755, program.read_bytes())
        for applet in applets:
            if applet != "busybox":
                _add(tar, f"bin/{applet}", 0o777, kind=tarfile.SYMTYPE, target="busybox")
        _add(tar, "etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")
        _add(tar, "etc/group", 0o644, b"root:x:0:\n")
        _add(tar, "www/index.html", 0o644, b"ok\n")
    return buffer.getvalue()


def _add(tar, path, mode, data=b"", kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(path)
    info.mode, info.type, info.linkname, info.size = mode, kind, target, len(data)
    tar.addfile(info, io.BytesIO(data))
