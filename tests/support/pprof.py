# SPDX-License-Identifier: Apache-2.0
"""Reads pprof profiles, by the field numbers of profile.proto and nothing of the agent's own code."""

import gzip


def _fields(data):
    position = 0

    def varint():
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            size = varint()
            yield key >> 3, data[position : position + size]
            position += size
        else:
            raise ValueError(f"wire type {key & 7}")


def _numbers(value):
    """A repeated number: packed bytes or one value."""
    if isinstance(value, int):
        return [value]
    numbers = []
    number = shift = 0
    for byte in value:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number - (1 << 64) if number >> 63 else number)
            number = shift = 0
    return numbers


class Profile:
    """samples: dicts with stack (list of (function, file, line), leaf first), values {type: number}, labels."""

    def __init__(self, raw):
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        strings, types, samples, locations, functions, comments = [], [], [], {}, {}, []
        self.time_nanos = self.duration_nanos = self.period = 0
        period_type = None
        for field, value in _fields(raw):
            if field == 1:
                types.append(dict(_fields(value)))
            elif field == 2:
                samples.append(list(_fields(value)))
            elif field == 4:
                location = list(_fields(value))
                lines = [dict(_fields(v)) for f, v in location if f == 4]
                locations[dict((f, v) for f, v in location if f == 1)[1]] = lines
            elif field == 5:
                function = dict(_fields(value))
                functions[function[1]] = function
            elif field == 6:
                strings.append(value.decode())
            elif field == 9:
                self.time_nanos = value
            elif field == 10:
                self.duration_nanos = value
            elif field == 11:
                period_type = dict(_fields(value))
            elif field == 12:
                self.period = value
            elif field == 13:
                comments += _numbers(value)
        self.strings = strings
        self.comments = [strings[comment] for comment in comments]
        self.types = [(strings[t[1]], strings[t[2]]) for t in types]
        self.period_type = period_type and (strings[period_type[1]], strings[period_type[2]])
        self.functions = {
            strings[f.get(2, 0)]: (strings[f.get(4, 0)], f.get(5, 0)) for f in functions.values()
        }
        self.samples = []
        for sample in samples:
            ids = [i for f, v in sample if f == 1 for i in _numbers(v)]
            values = [i for f, v in sample if f == 2 for i in _numbers(v)]
            labels = {}
            for label in (dict(_fields(v)) for f, v in sample if f == 3):
                labels[strings[label[1]]] = strings[label[2]] if 2 in label else label.get(3, 0)
            stack = []
            for location in ids:
                for line in locations[location]:
                    function = functions[line[1]]
                    stack.append((strings[function.get(2, 0)], strings[function.get(4, 0)], line.get(2, 0)))
            self.samples.append(
                {"stack": stack, "values": dict(zip((t[0] for t in self.types), values)), "labels": labels}
            )

    def total(self, kind):
        return sum(sample["values"][kind] for sample in self.samples)

    def inclusive(self, kind):
        """{function: value of all samples that have it anywhere}"""
        sums = {}
        for sample in self.samples:
            for name in {frame[0] for frame in sample["stack"]}:
                sums[name] = sums.get(name, 0) + sample["values"][kind]
        return sums


def read(path):
    with open(path, "rb") as file:
        return Profile(file.read())
