"""The few direct calls of the Engine API that the tests make themselves: looking, preparing, cleaning.

What a *user* does goes through Docker's own clients (`cli`), never through here.
"""

import http.client
import json
import socket
import urllib.parse


class ApiError(Exception):
    """The engine or the manager answered with an error status."""

    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status, self.text = status, text


class Api:
    """A Docker API at `host:port`. Every call is a new connection with a deadline."""

    def __init__(self, address, timeout=30):
        self.address, self.timeout = address, timeout

    def raw(self, method, path, body=None, headers=None, timeout=None, **query):
        """(status, headers, body bytes)."""
        if query:
            path += "?" + urllib.parse.urlencode({k: v if isinstance(v, str) else json.dumps(v) for k, v in query.items()})
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        connection = self._connection(timeout or self.timeout)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def _connection(self, timeout):
        return http.client.HTTPConnection(self.address, timeout=timeout)

    def call(self, method, path, *args, **kwargs):
        """The decoded JSON answer (text where it is none)."""
        status, _headers, body = self.raw(method, path, *args, **kwargs)
        if status >= 400:
            raise ApiError(status, body.decode(errors="replace").strip())
        try:
            return json.loads(body)
        except ValueError:
            return body.decode(errors="replace")

    def get(self, path, **query):
        return self.call("GET", path, **query)

    def post(self, path, body=None, **query):
        return self.call("POST", path, body, **query)

    def delete(self, path, **query):
        return self.call("DELETE", path, **query)

    def containers(self):
        """All containers, running or not."""
        return self.get("/containers/json", all="1")


class UnixApi(Api):
    """The same at a unix socket."""

    def _connection(self, timeout):
        connection = http.client.HTTPConnection("localhost", timeout=timeout)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(timeout)
        connection.sock.connect(str(self.address))
        return connection
