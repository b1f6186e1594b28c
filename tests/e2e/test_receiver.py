# SPDX-License-Identifier: Apache-2.0
"""The test receiver keeps to the server's rules: it takes what is right and refuses each thing that is wrong."""

import gzip
import http.client
import json
import time
import unittest
import uuid

import receiver

PROTO = {"Content-Type": "application/proto"}
SECOND = 10**9


def varint(number):
    out = bytearray()
    number &= (1 << 64) - 1
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def field(number, value):
    """An integer, or bytes or text with its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else bytes(value)
    return varint(number << 3 | 2) + varint(len(data)) + data


STRINGS = ["", "cpu", "nanoseconds", "samples", "count", "main", "work", "app.py"]
VALUE_TYPE = field(1, 1) + field(2, 2)  # cpu/nanoseconds


def sample(*values):
    return field(1, varint(1) + varint(2)) + field(2, b"".join(map(varint, values)))


SAMPLE = sample(30_000_000, 3)


def location(number, function):
    return field(1, number) + field(4, field(1, function) + field(2, 7))


def function(number, name):
    return field(1, number) + field(2, name) + field(4, 7)


def pprof(**changes):
    """A right profile (work called by main), but for the changes; each is what stands there instead."""
    parts = {
        "types": [VALUE_TYPE, field(1, 3) + field(2, 4)],
        "samples": [SAMPLE],
        "locations": [location(1, 1), location(2, 2)],
        "functions": [function(1, 6), function(2, 5)],
        "strings": STRINGS,
        "period_type": VALUE_TYPE,
        "time": time.time_ns() - SECOND,
        "more": b"",
    }
    parts.update(changes)
    numbered = ((1, "types"), (2, "samples"), (4, "locations"), (5, "functions"), (6, "strings"))
    data = b"".join(field(number, part) for number, name in numbered for part in parts[name])
    data += field(9, parts["time"]) + field(10, SECOND) + field(12, 10_000_000)
    return data + (field(11, parts["period_type"]) if parts["period_type"] else b"") + parts["more"]


LABELS = {"__name__": "process_cpu", "service_name": "shop"}


def push_request(profile, labels=None, name=None):
    pairs = (LABELS if labels is None else labels).items()
    series = b"".join(field(1, field(1, key) + field(2, value)) for key, value in pairs)
    return field(1, series + field(2, field(1, profile) + field(2, name or str(uuid.uuid4()))))


class ReceiverTest(unittest.TestCase):
    def setUp(self):
        self.receiver = receiver.Receiver()
        self.addCleanup(self.receiver.stop)

    def push(self, body, headers=None):
        return self.receiver.call(receiver.PUSH, body, headers or PROTO)

    def accept(self, body, headers=None):
        status, answer, content = self.push(body, headers)
        self.assertEqual((status, content), (200, b""), self.receiver.errors())
        self.assertEqual(answer["Content-Type"], "application/proto")
        return self.receiver.profiles()[-1]

    def refuse(self, body, message):
        before = len(self.receiver.profiles())
        status, answer, content = self.push(body)
        self.assertEqual(status, 400, message)
        self.assertEqual(answer["Content-Type"], "application/json")
        error = json.loads(content)
        self.assertEqual(error["code"], "invalid_argument")
        self.assertIn(message, error["message"])
        self.assertEqual(len(self.receiver.profiles()), before)
        self.assertIn(error["message"], self.receiver.errors())


class Push(ReceiverTest):
    def test_takes_a_right_profile_raw_and_gzipped(self):
        now = time.time_ns()
        for packed in (False, True):
            raw = pprof(time=now - packed)
            body = push_request(gzip.compress(raw) if packed else raw)
            headers = dict(PROTO)
            if packed:
                body = gzip.compress(body)
                headers["Content-Encoding"] = "gzip"
            profile = self.accept(body, headers)
            self.assertEqual(profile["labels"], LABELS)
            self.assertEqual((profile["time_ns"], profile["duration_ns"]), (now - packed, SECOND))
            self.assertEqual((profile["samples"], profile["cpu_ns"], profile["sample_count"]), (3, 30_000_000, 1))
            both = {"samples": 3, "cpu_ns": 30_000_000}
            self.assertEqual(profile["functions"], {"main": both, "work": both})
            self.assertFalse(profile["duplicate"])

    def test_tells_a_duplicate_by_labels_and_time(self):
        now = time.time_ns()
        got = [
            self.accept(push_request(pprof(time=at), labels))["duplicate"]
            for at, labels in ((now, LABELS), (now, LABELS), (now + 1, LABELS), (now, LABELS | {"pod": "b"}))
        ]
        self.assertEqual(got, [False, True, False, False])

    def test_refuses_broken_profiles(self):
        cases = [
            (b"\x07\x07", "not protobuf"),
            (gzip.compress(pprof())[:-20], "not gzip"),
            (pprof(strings=["x", *STRINGS[1:]]), "does not begin with an empty string"),
            (pprof(strings=[]), "does not begin with an empty string"),
            (pprof(strings=[*STRINGS[:-1], b"\xff.py"]), "invalid utf8"),
            (pprof(functions=[function(0, 6), function(2, 5)]), "a function has the id 0"),
            (pprof(functions=[function(1, 6)]), "function 2 is missing"),
            (pprof(functions=[function(1, 6), function(2, 99)]), "string 99"),
            (pprof(locations=[location(0, 1)]), "a location has the id 0"),
            (pprof(locations=[location(1, 1)]), "location 2 is missing"),
            (pprof(locations=[location(n, 1) for n in (1, 2, 2)]), "is not unique"),
            (pprof(locations=[location(1, 1), location(2, 2), location(3, 9)]), "function 9 is missing"),
            (pprof(types=[VALUE_TYPE]), "not as many as the sample types"),
            (pprof(types=[]), "no sample type"),
            (pprof(strings=["", "off-cpu", *STRINGS[2:]]), "contains '-'"),
            (pprof(period_type=b""), "no period type"),
            (pprof(samples=[SAMPLE] * 16_001), "more than 16000 samples"),
            (pprof(more=field(6, "x" * (4 << 20))), "larger than 4 MiB"),
            (gzip.compress(pprof(more=field(6, "x" * (4 << 20)))), "too large when unpacked"),
            (pprof(samples=[sample(30_000_000, -3)]), "negative"),
            (pprof(time=time.time_ns() - 3610 * SECOND), "older than 1h"),
            (pprof(time=time.time_ns() + 610 * SECOND), "newer than 10m"),
        ]
        for profile, message in cases:
            with self.subTest(message):
                self.refuse(push_request(profile), message)
        self.accept(push_request(pprof(samples=[SAMPLE] * 16_000)))

    def test_refuses_bad_labels_and_requests(self):
        many = {f"label_{n}": "v" for n in range(28)}
        cases = [
            ({"service_name": "shop"}, "no label __name__"),
            ({"__name__": "process_cpu"}, "no label service_name"),
            (LABELS | many | {"one_more": "v"}, "more than 30"),
            (LABELS | {"a-b": "v"}, "label name"),
            (LABELS | {"1a": "v"}, "label name"),
            (LABELS | {"": "v"}, "label name"),
            (LABELS | {"n" * 1025: "v"}, "label name"),
            (LABELS | {"a": "v" * 2049}, "too long"),
            (LABELS | {"a": b"\xc3("}, "not UTF-8"),
        ]
        for labels, message in cases:
            with self.subTest(message):
                self.refuse(push_request(pprof(), labels), message)
        self.accept(push_request(pprof(), LABELS | many))
        self.accept(push_request(pprof(), LABELS | {"n" * 1024: "v" * 2048}))
        self.refuse(b"", "no series")
        self.refuse(b"\x0a\x7f", "not a PushRequest")
        self.refuse(push_request(pprof(), name="x"), "UUID")
        # What is right is kept, though the answer is an error.
        self.assertEqual(self.push(push_request(pprof(time=0)) + push_request(pprof(), LABELS | {"k": "v"}))[0], 400)
        self.assertEqual(self.receiver.profiles()[-1]["labels"]["k"], "v")

    def test_answers_other_requests_as_the_server_does(self):
        call = self.receiver.call
        for content_type in ("application/x-protobuf", "text/plain"):
            self.assertEqual(self.push(push_request(pprof()), {"Content-Type": content_type})[0], 415)
        self.assertEqual(call(receiver.PUSH)[0], 405)
        self.assertEqual(call("/nothing")[0], 404)
        self.assertEqual(call("/push.v1.PusherService/Pull", b"", PROTO)[0], 404)
        self.assertEqual(self.receiver.profiles(), [])


def form(part, content, filename='; filename="p.pprof"'):
    head = f'--edge\r\nContent-Disposition: form-data; name="{part}"{filename}\r\n\r\n'.encode()
    return head + content + b"\r\n--edge--\r\n", {"Content-Type": "multipart/form-data; boundary=edge"}


class Ingest(ReceiverTest):
    def post(self, query, body, headers):
        return self.receiver.call("/ingest?" + query, body, headers)[0]

    def test_pprof_form(self):
        self.assertEqual(self.post("name=shop%7Bteam%3Da%7D", *form("profile", gzip.compress(pprof()))), 200)
        self.assertEqual(self.receiver.profiles()[0]["labels"], LABELS | {"team": "a"})
        self.assertEqual(self.post("name=shop", *form("other", pprof())), 422)
        self.assertEqual(self.post("name=shop", *form("profile", b"\x07")), 422)
        self.assertEqual(self.post("name=", *form("profile", pprof())), 400)
        self.assertEqual(len(self.receiver.profiles()), 1)

    def test_folded(self):
        text = {"Content-Type": "text/plain"}
        now = int(time.time())
        body = b"main;work 3\nmain;work;work 1\nno_count\n"
        query = f"name=email.service.cpu&from={now}&format=folded"
        self.assertEqual(self.post(query, body, text), 200)
        (profile,) = self.receiver.profiles()
        self.assertEqual(profile["labels"]["service_name"], "email.service")
        self.assertEqual((profile["samples"], profile["functions"]["work"]["cpu_ns"]), (4, 40_000_000))
        self.assertEqual(self.post(f"name=email.service&from={now}", body, text), 400)
        self.assertEqual(self.receiver.errors(), ["unknown profile type: service"])
        self.assertEqual(self.post(query, b"main;work 1.5\n", text), 422)


class Faults(ReceiverTest):
    def push_once(self):
        """The status, or the kind of error."""
        try:
            status, headers, _ = self.push(push_request(pprof()))
            return status, headers
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__, {}

    def test_each_for_as_many_requests_as_asked(self):
        for kind in ("429", "500", "503", "400", "404"):
            with self.subTest(kind):
                self.receiver.set_fault(kind, 2)
                first = self.push_once()
                self.assertEqual([first[0], self.push_once()[0], self.push_once()[0]], [int(kind), int(kind), 200])
                self.assertEqual(first[1].get("Retry-After"), "1" if kind == "429" else None)
        self.receiver.set_fault("redirect", 1)
        status, headers = self.push_once()
        self.assertEqual((status, headers["Location"]), (302, "http://elsewhere.invalid/"))
        for kind in ("refuse", "cut"):
            with self.subTest(kind):
                self.receiver.set_fault(kind, 1)
                self.assertIsInstance(self.push_once()[0], str)
                self.assertEqual(self.push_once()[0], 200)
        faults = [request["fault"] for request in self.receiver.requests() if request["fault"]]
        self.assertEqual(faults, ["429"] * 2 + ["500"] * 2 + ["503"] * 2 + ["400"] * 2 + ["404"] * 2 + ["redirect", "refuse", "cut"])

    def test_slow_answers_late(self):
        self.receiver.set_fault("slow:300", 1)
        begin = time.monotonic()
        self.assertEqual(self.push_once()[0], 200)
        self.assertGreaterEqual(time.monotonic() - begin, 0.3)


if __name__ == "__main__":
    unittest.main()
