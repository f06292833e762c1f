"""A small image registry (protocol version 2) that every engine reaches at 127.0.0.1:5000.

Nothing leads from one engine's network to another's, so each engine gets a process of its own, in its network
namespace; all of them keep what they are given in one directory, which makes them one registry. Engines speak plain HTTP to
127.0.0.0/8 without being told.

Run as a program it is that process:  registry.py DIRECTORY [USER:PASSWORD]
"""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

try:
    from . import guard
except ImportError:  # as a program
    guard = None

NAME = "127.0.0.1:5000"
_PATHS = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs/uploads|blobs)/(?P<key>[^/]*)")


class Registry:
    """One process for each of some engines. `login`: "USER:PASSWORD" that it demands."""

    def __init__(self, engines, directory, login=None):
        self.directory, self.processes = Path(directory), []
        shutil.rmtree(directory, ignore_errors=True)
        for one in engines:
            command = one.enter() + [sys.executable, __file__, str(directory), *([login] if login else [])]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                       preexec_fn=guard.die_with_parent)
            self.processes.append(process)
            assert process.stdout.readline() == b"ready\n"

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()
        self.processes = []

    def asked(self, what):
        """How many requests had this in their first line."""
        return sum(what in line for line in (self.directory / "requests").read_text().splitlines())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root, login = None, None

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code, **headers):
        self.answer(status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode(), Content_Type="application/json", **headers)

    def handle_any(self):
        body = self.body()
        with open(self.root / "requests", "a") as log:
            log.write(f"{self.command} {self.path}\n")
        if self.login and self.headers.get("Authorization") != "Basic " + base64.b64encode(self.login.encode()).decode():
            return self.refuse(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="tests"')
        path, _, query = self.path.partition("?")
        if path == "/v2/":
            return self.answer(200, b"{}", Content_Type="application/json")
        match = _PATHS.fullmatch(path)
        if not match:
            return self.refuse(404, "UNSUPPORTED")
        answer = getattr(self, match["kind"].replace("/", "_"))
        return answer(match["name"], match["key"], query, body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_any

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def blobs(self, _name, digest, _query, _body):
        file = self.root / digest
        if not file.exists():
            return self.refuse(404, "BLOB_UNKNOWN")
        return self.answer(200, file.read_bytes(), Content_Type="application/octet-stream", Docker_Content_Digest=digest)

    def blobs_uploads(self, name, key, query, body):
        key = key or uuid.uuid4().hex
        upload = self.root / ("upload-" + key)
        with open(upload, "ab") as file:
            file.write(body)
        location = {"Location": f"/v2/{name}/blobs/uploads/{key}", "Docker_Upload_UUID": key}
        if self.command != "PUT":
            return self.answer(202, Range=f"0-{max(upload.stat().st_size - 1, 0)}", **location)
        digest = "sha256:" + hashlib.sha256(upload.read_bytes()).hexdigest()
        if digest not in query.replace("%3A", ":"):
            return self.refuse(400, "DIGEST_INVALID")
        os.replace(upload, self.root / digest)
        return self.answer(201, Location=f"/v2/{name}/blobs/{digest}", Docker_Content_Digest=digest)

    def manifests(self, name, key, _query, body):
        if self.command == "PUT":
            digest = "sha256:" + hashlib.sha256(body).hexdigest()
            for reference in (key, digest):
                (self.root / f"manifest {name} {reference}".replace("/", "_")).write_bytes(body)
            return self.answer(201, Docker_Content_Digest=digest)
        file = self.root / f"manifest {name} {key}".replace("/", "_")
        if not file.exists():
            return self.refuse(404, "MANIFEST_UNKNOWN")
        body = file.read_bytes()
        return self.answer(200, body, Content_Type=json.loads(body)["mediaType"],
                           Docker_Content_Digest="sha256:" + hashlib.sha256(body).hexdigest())

    def log_message(self, *_arguments):
        pass


def main():
    _Handler.root = Path(sys.argv[1])
    _Handler.login = sys.argv[2] if len(sys.argv) > 2 else None
    _Handler.root.mkdir(parents=True, exist_ok=True)
    server = ThreadingHTTPServer(("127.0.0.1", 5000), _Handler)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
