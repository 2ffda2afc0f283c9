# SPDX-License-Identifier: MIT
"""A short run of `./dev soak` (tests/soak), with another seed each time."""

import subprocess
import sys

from lab import ROOT


def test_what_is_accepted_arrives_once_and_in_order_whatever_dies(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "tests/soak/soak.py", "--seconds", "20",
                           "--kills", "10", "--folder", tmp_path / "soak"],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
