# SPDX-License-Identifier: MIT
"""Children of a test end with it, also when it is killed."""

import ctypes
import signal

PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """For preexec_fn: the kernel ends the child when this process is gone."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
