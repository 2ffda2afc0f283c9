# SPDX-License-Identifier: MIT
"""./dev bench --against NAME: the same cases with another server."""
