# SPDX-License-Identifier: MIT
"""For files whose tests share a lab and add nodes to it, each when it needs them."""

import pytest

from lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Without nodes; its name server runs."""
    with Lab(folder=tmp_path_factory.mktemp("lab"), keep=True) as lab:
        lab.names.apply()
        yield lab
