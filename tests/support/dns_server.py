# SPDX-License-Identifier: Apache-2.0
"""A DNS server for A records (RFC 1035, section 4), on port 53 of a loopback address of its own."""

import socket
import struct
import threading


class DnsServer:
    """Answers with `records` ({"name.": IPv4 address}); anything else does not exist."""

    def __init__(self, records, address="127.0.53.53"):
        self.records, self.address, self._asked = records, address, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.socket.sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()

    def asked(self):
        return list(self._asked)

    def _serve(self):
        while True:
            query, sender = self.socket.recvfrom(512)
            if not query:
                return
            self.socket.sendto(self._answer(query), sender)

    def _answer(self, query):
        name, at = "", 12
        while query[at]:
            name += query[at + 1:at + 1 + query[at]].decode() + "."
            at += 1 + query[at]
        question = query[12:at + 5]
        (kind,) = struct.unpack(">H", query[at + 1:at + 3])
        self._asked.append(name)
        address = self.records.get(name)
        found = address is not None and kind == 1
        header = query[:2] + struct.pack(">HHHHH", 0x8180 if address else 0x8183, 1, int(found), 0, 0)
        record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + socket.inet_aton(address) if found else b""
        return header + question + record
