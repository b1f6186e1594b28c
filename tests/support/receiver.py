# SPDX-License-Identifier: Apache-2.0
"""The test receiver as an object: starts it, switches its faults, says what it got."""

import contextlib
import http.client
import json
import os
import pathlib
import socket
import ssl
import subprocess
import time
import urllib.request

PROGRAM = pathlib.Path(os.environ.get("AGENT_BUILD", "build/release")) / "bin" / "receiver"
PUSH = "/push.v1.PusherService/Push"


class Receiver:
    """A server of its own process on a port of `host`, until `stop`.

    Requests are dicts as receiver_state.cpp writes them; profiles are those of all requests in the order of arrival.
    """

    def __init__(self, port=0, certificate=None, key=None, fault=None, count=None, host="127.0.0.1", client_ca=None,
                 formats=None, unix=None):
        self.tls = certificate is not None
        command = [str(PROGRAM), "--host", host, "--port", str(port)]
        if self.tls:
            command += ["--tls-cert", str(certificate), "--tls-key", str(key)]
        if fault is not None:
            command += ["--fault", fault]
        if count is not None:
            command += ["--fault-count", str(count)]
        for name, value in (("--client-ca", client_ca), ("--formats", formats), ("--unix", unix)):
            if value is not None:
                command += [name, str(value)]
        self.unix = unix
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening "):
            self.stop()
            raise RuntimeError(f"{PROGRAM} does not listen: {line!r}")
        self.port = int(line.split()[1])
        if unix is not None:
            self.address = f"unix://{unix}"
            return
        shown = f"[{host}]" if ":" in host else host
        self.address = f"{'https' if self.tls else 'http'}://{shown}:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def call(self, path, body=None, headers=None, method=None):
        """(status, headers, body) of one request, whatever the status."""
        if self.unix is not None:
            return _call_unix(self.unix, path, body, method)
        request = urllib.request.Request(self.address + path, data=body, headers=headers or {}, method=method)
        context = ssl._create_unverified_context() if self.tls else None
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), _AsItIs, *([urllib.request.HTTPSHandler(context=context)] if self.tls else [])
        )
        with opener.open(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()

    def set_fault(self, kind="", count=-1):
        """The next `count` requests (-1: all) get `kind`; "" ends it, and lets those go that hang."""
        status, _, _ = self.call(f"/test/fault?kind={kind}&count={count}", b"", method="POST")
        if status != 200:
            raise RuntimeError(f"/test/fault: {status}")

    def requests(self):
        return json.loads(self.call("/test/received")[2])

    def profiles(self):
        return [profile for request in self.requests() for profile in request.get("profiles", [])]

    def errors(self):
        """What the rules had to say against requests that met no fault."""
        return [request["error"] for request in self.requests() if "error" in request]

    def wait_for(self, condition, what, seconds=20):
        """Polls the requests until condition(requests) is true, and returns its value."""
        end = time.monotonic() + seconds
        while True:
            value = condition(self.requests())
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {what}")
            time.sleep(0.01)


def _call_unix(socket_path, path, body, method):
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    # "listening" is said before the socket is there.
    end = time.monotonic() + 20
    while connection.sock.connect_ex(str(socket_path)) != 0:
        if time.monotonic() > end:
            raise RuntimeError(f"nobody listens at {socket_path}")
        time.sleep(0.01)
    connection.request(method or "GET", path, body)
    with connection.sock, connection.getresponse() as answer:
        return answer.status, answer.headers, answer.read()


class _AsItIs(urllib.request.HTTPErrorProcessor):
    """No status is an exception, and no redirect is followed."""

    def http_response(self, request, response):
        return response

    https_response = http_response


def free_port():
    """A port of 127.0.0.1 where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def deaf_address():
    """An address where no connection is ever taken: with its backlog full, Linux drops further connection requests."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for fill in (first, second):
            fill.setblocking(False)
            fill.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
