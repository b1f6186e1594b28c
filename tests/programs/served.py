# SPDX-License-Identifier: Apache-2.0
"""A WSGI application whose requests take a third of a second of CPU time each."""

import time


def burn(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def application(environment, start_response):
    burn(0.3)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"burnt"]
