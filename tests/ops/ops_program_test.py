"""weft-ops as an operator types it; and OpenSSL's own opinion about the certificates it makes."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

OPS = os.path.join(os.environ["WEFT_BIN"], "weft-ops")


class OpsProgramTest(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.path = pathlib.Path(self._folder.name)

    def run_program(self, *arguments):
        return subprocess.run(list(arguments), cwd=self.path, text=True, capture_output=True, timeout=30)

    def ops(self, *arguments):
        done = self.run_program(OPS, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def refused(self, words, *arguments, code=1):
        done = self.run_program(OPS, *arguments)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn(words, done.stderr)

    def make_kits(self):
        self.ops("keys", "init-authority", "--out", "authority", "--name", "Run authority of test")
        self.ops("keys", "request", "--name", "north", "--out", "kits/north")
        self.ops("keys", "issue", "--authority", "authority", "--request", "kits/north/request.pem",
                 "--out", "kits/north")
        self.ops("keys", "issue-site", "--authority", "authority", "--name", "coordinator",
                 "--host", "localhost", "--host", "127.0.0.1", "--out", "kits/coordinator")

    def openssl_verify(self, *arguments):
        return self.run_program("openssl", "verify", "-x509_strict", "-CAfile", "authority/certificate.pem",
                                *arguments)

    def test_openssl_accepts_the_certificates(self):
        self.make_kits()
        for arguments in (["-purpose", "sslclient", "kits/north/certificate.pem"],
                          ["-purpose", "sslserver", "-verify_ip", "127.0.0.1", "kits/coordinator/certificate.pem"],
                          ["-purpose", "sslclient", "-verify_hostname", "localhost",
                           "kits/coordinator/certificate.pem"]):
            done = self.openssl_verify(*arguments)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        # And it agrees on what must not hold: a site may not serve.
        for arguments in (["-purpose", "sslserver", "kits/north/certificate.pem"],
                          ["-verify_hostname", "elsewhere.example", "kits/coordinator/certificate.pem"]):
            self.assertNotEqual(self.openssl_verify(*arguments).returncode, 0)
        text = self.run_program("openssl", "x509", "-noout", "-text", "-in", "kits/north/certificate.pem").stdout
        for words in ("CN = north", "prime256v1", "ecdsa-with-SHA256", "CA:FALSE", "Digital Signature"):
            self.assertIn(words, text)

    def test_keys_show(self):
        self.make_kits()
        kit = json.loads(self.ops("keys", "show", "kits/coordinator", "--json"))
        self.assertEqual((kit["name"], kit["role"], kit["hosts"], kit["trouble"]),
                         ("coordinator", "coordinator", ["localhost", "127.0.0.1"], ""))
        self.assertIn(kit["days_left"], (364, 365))
        self.assertIn("authority 'Run authority of test'", self.ops("keys", "show", "authority"))
        (self.path / "kits/coordinator/key.pem").chmod(0o640)
        self.refused("may be opened by others", "keys", "show", "kits/coordinator")

    def test_membership_grows_with_every_change(self):
        self.make_kits()
        self.ops("keys", "issue-site", "--authority", "authority", "--name", "south", "--out", "kits/south")
        self.refused("is the certificate of 'north'", "membership", "new", "--run-id", "demo", "--site",
                     "south=kits/north", "--out", "m.textproto")
        self.ops("membership", "new", "--run-id", "demo", "--site", "north=kits/north", "--out", "m.textproto")
        self.ops("membership", "sign", "--authority", "authority", "m.textproto", "--out", "m.json")
        self.ops("membership", "add", "m.json", "--site", "south=kits/south/certificate.pem", "--out",
                 "m2.textproto")
        self.ops("membership", "revoke", "m2.textproto", "--site", "south", "--reason", "key lost", "--out",
                 "m3.textproto")
        self.refused("revoked already", "membership", "revoke", "m3.textproto", "--site", "south", "--reason",
                     "again", "--out", "m4.textproto")
        self.ops("membership", "sign", "--authority", "authority", "m3.textproto", "--out", "m3.json")
        shown = self.ops("membership", "show", "m3.json", "--kit", "kits/north")
        for words in ("version 3", "REVOKED: key lost", "the signatures hold"):
            self.assertIn(words, shown)
        signed = json.loads((self.path / "m3.json").read_text())
        signed["payload"] = json.loads((self.path / "m.json").read_text())["payload"]
        (self.path / "forged.json").write_text(json.dumps(signed))
        self.refused("forged.json", "membership", "show", "forged.json", "--kit", "kits/north")

    def test_bad_usage_is_2_and_help_has_examples(self):
        self.refused("", "keys", code=2)
        self.refused("--out", "keys", "request", "--name", "north", code=2)
        for group, commands in (("keys", ("init-authority", "request", "issue", "issue-site", "authorities", "show")),
                                ("manifest", ("new", "check", "sign", "show")),
                                ("membership", ("new", "add", "revoke", "sign", "show"))):
            for command in commands:
                self.assertIn("Example:\n  weft-ops", self.ops(group, command, "--help"))

    def test_a_misspelt_field_is_named_with_its_line(self):
        (self.path / "run.textproto").write_text('protocol_version: 1\nrounds { rouds: 3 }\n')
        self.refused("run.textproto:2", "manifest", "check", "run.textproto")


if __name__ == "__main__":
    unittest.main()
