# SPDX-License-Identifier: Apache-2.0
"""The manifests of docker/ have the fields and values that the Kubernetes API knows; no cluster is needed."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import agent_runs

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = {"kubernetes-models": "4.5.1", "js-yaml": "5.5.0", "typescript": "5.9.3"}
FOLDER = agent_runs.CACHE / "npm"


def install():
    """The packages, kept in the cache folder; skips the test, with the reason, where they cannot be had."""
    if not shutil.which("npm"):
        raise unittest.SkipTest("no npm in PATH (Debian: npm)")
    wanted = json.dumps({"private": True, "dependencies": PACKAGES})
    manifest = FOLDER / "package.json"
    if manifest.exists() and manifest.read_text() == wanted:
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["npm", "install", "--no-fund", "--no-audit", "--no-save", "--ignore-scripts", "--prefix", FOLDER,
                           *(f"{name}@{version}" for name, version in PACKAGES.items())], capture_output=True, text=True)
    if done.returncode != 0:
        raise unittest.SkipTest(f"npm installs nothing: {done.stderr.strip()[-300:]}")
    manifest.write_text(wanted)


def check(*files):
    return subprocess.run(["node", ROOT / "tests" / "support" / "check_manifests.mjs", FOLDER, *files], capture_output=True,
                          text=True, timeout=120)


class Manifests(unittest.TestCase):
    def test_all_have_the_schemas_fields_and_values(self):
        install()
        files = sorted((ROOT / "docker" / "kubernetes").glob("*.yaml"))
        self.assertGreaterEqual(len(files), 5)
        done = check(*files)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_faults_are_found(self):
        install()
        good = (ROOT / "docker" / "kubernetes" / "sidecar.yaml").read_text()
        for fault, instead, said in (
                ("imagePullPolicy: IfNotPresent", "imagePulPolicy: IfNotPresent", "imagePulPolicy"),
                ("name: email\n", "name: 5\n", "name must be string"), ("kind: Pod", "kind: Pot", "no Pot in v1"),
                ("shareProcessNamespace: true", "shareProcessNamespace: 7", "must be boolean")):
            with self.subTest(instead), tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
                self.assertIn(fault, good)
                file = pathlib.Path(folder) / "faulty.yaml"
                file.write_text(good.replace(fault, instead))
                done = check(file)
                self.assertEqual((done.returncode, done.stderr), (1, ""))
                self.assertRegex(done.stdout, said)
