"""EgressGate is the only owner of a connection, and the gate links no LibTorch: held by looking."""

import os
import re
import subprocess
import unittest
from pathlib import Path

SOURCE = Path(os.environ["WEFT_SOURCE"])
# What may know the network in a site's programs. WatchStream is made by EgressGate only; the doctor's probe connects and
# shakes hands, and writes no byte of its own.
OWNERS = {"egress_gate.cc", "watch_stream.h", "doctor_network.cc"}
NETWORK = re.compile(r'#include [<"](grpc|sys/socket|netinet|arpa/|netdb|openssl/ssl|curl|httplib|proto/\w+\.grpc\.pb)')


class OnlyWayOutTest(unittest.TestCase):
    def test_only_the_egress_gate_knows_the_network(self):
        knows = set()
        for folder in ("worker", "model", "tokenizer", "kernels"):
            for path in (SOURCE / folder).rglob("*"):
                if path.suffix in (".h", ".cc", ".cu") and NETWORK.search(path.read_text()):
                    knows.add(path)
        self.assertEqual({path.name for path in knows}, OWNERS)

    def test_watch_streams_are_made_by_the_egress_gate_only(self):
        for path in (SOURCE / "worker" / "gate").glob("*.cc"):
            if "watch_stream.h" in path.read_text():
                self.assertIn(path.name, {"egress_gate.cc", "watch_stream.cc"})

    def test_the_doctors_probe_writes_nothing(self):
        text = (SOURCE / "worker" / "gate" / "doctor_network.cc").read_text()
        self.assertFalse(re.findall(r"\b(SSL_write\w*|write|writev|send|sendto|sendmsg)\s*\(", text))

    def test_what_the_gate_links(self):
        def needed(program):
            text = subprocess.run(["readelf", "-d", Path(os.environ["WEFT_BIN"]) / program], capture_output=True, text=True,
                                  check=True, timeout=30).stdout
            return re.findall(r"Shared library: \[(\S+?)\]", text)

        gate = needed("weft-gate")
        self.assertTrue(any("grpc" in name for name in gate), gate)
        self.assertFalse([name for name in gate if "torch" in name or "c10" in name])
        self.assertFalse([name for name in needed("weft-worker") if "grpc" in name or "libssl" in name])


if __name__ == "__main__":
    unittest.main(verbosity=2)
