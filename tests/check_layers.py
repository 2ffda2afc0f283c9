#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks what every C file includes against the layers of the program.

main -> api -> {net, live, federation, store} -> {proto, crypto, config} -> base:
what stands left may use what stands right, never back. Every library has one module
that talks to it, and only base/ and the tables that threads share know locks. Also refuses
files that have grown too long. Run from the root of the tree; prints what it checked, exits 1
on violations.
"""

import fnmatch
import os
import re
import sys

# The module of each header in include/restante/, by name without .h or .def.
HEADERS = {
    "base": ["bytes", "err", "arena", "text", "inbox", "worker", "clock", "log", "metrics", "lock", "thread"],
    "config": ["config", "options"],
    "crypto": ["caller", "crypto", "sign", "verify", "password", "token",
               "private_file", "certificate"],
    "proto": ["proto*", "address", "keys", "messages", "accounts", "document",
              "transaction", "problem"],
    "store": ["store", "store_copy", "ops*", "effects"],
    "live": ["live", "directory"],
    "net": ["server", "request", "ratelimit"],
    "federation": ["federation", "inbound", "signature"],
    "api": ["api", "node"],
}

LOW = {"proto", "crypto", "config", "base"}
MAY_USE = {
    "base": set(),
    "config": {"base"},
    "crypto": {"base"},
    "proto": {"crypto", "base"},
    "store": LOW,
    "live": LOW | {"store"},
    "net": LOW,
    "federation": LOW | {"store"},
    "api": LOW | {"store", "live", "net", "federation"},
    "main": set(HEADERS),
}

# Headers of libraries, and the folders or files that may include them.
LIBRARIES = [
    (r"jansson\b.*", ["src/proto/", "src/crypto/token.c"]),  # libjwt takes its claims as JSON
    (r"(libwebsockets|lws-).*|libwebsockets/.*", ["src/net/"]),
    (r"uv(\.h|/.*)", ["src/net/"]),
    (r"curl/.*", ["federation/"]),
    (r"ares.*\.h", ["federation/"]),
    (r"sqlite3.*\.h", ["src/store/"]),
    (r"(postgresql/)?(libpq.*|pg_config.*)", ["src/store/"]),
    (r"sodium(\.h|/.*)", ["src/crypto/"]),
    (r"jwt.*\.h", ["src/crypto/"]),
    (r"openssl/.*", ["src/crypto/", "src/net/tls.c"]),
    (r"yaml\.h", ["src/config/"]),
]

LOCKS = re.compile(r"\bpthread_(mutex|cond|rwlock|spin)_?\w*|\b(mtx|cnd)_\w+")
LOCKS_IN = "src/base/"
# The tables that several threads use. All else goes from one to the other through inboxes.
LOCKED = ["src/net/ratelimit.c", "src/net/tally.c", "src/live/directory.c", "src/api/origins.c",
          "federation/nonces.c"]

MAX_LINES = 600
# Files that may be longer, each with its reason.
LONG_FILES = {}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)
COMMENT_OR_LITERAL = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])+'""", re.S | re.X)


def without_comments(text):
    """The text with comments blanked; lines keep their numbers."""

    def blank(match):
        found = match.group(0)
        return re.sub(r"[^\n]", " ", found) if found.startswith("/") else found

    return COMMENT_OR_LITERAL.sub(blank, text)


def module_of_header(name):
    """The module of include/restante/<name>, None if the table does not know it."""
    stem = re.sub(r"\.(h|def)$", "", name)
    for module, patterns in HEADERS.items():
        if any(fnmatch.fnmatchcase(stem, p) for p in patterns):
            return module
    return None


def module_of_file(path):
    parts = path.split("/")
    if parts[0] == "include":
        return module_of_header(parts[-1])
    if parts[0] == "federation":
        return "federation"
    return parts[1] if len(parts) > 2 and parts[1] != "cli" else "main"


def folders_of_library(header):
    """Who may include it; None for a header of the system or of this program."""
    for pattern, allowed in LIBRARIES:
        if re.fullmatch(pattern, header):
            return allowed
    return None


class Check:
    def __init__(self):
        self.problems = []
        self.files = 0
        self.includes = 0
        self.modules = set()

    def problem(self, path, line, message):
        self.problems.append(f"{path}:{line}: {message}")

    def check_own(self, path, line, module, header):
        """A header of include/restante/."""
        if header == "lock.h" and not path.startswith(LOCKS_IN) and path not in LOCKED:
            self.problem(path, line, "is not among the tables that threads share (LOCKED)")
        used = module_of_header(header)
        if used is None:
            self.problem(path, line, f"restante/{header}: add it to HEADERS in this check")
        elif used != module and used not in MAY_USE[module]:
            self.problem(path, line, f"{module} must not use {used} (restante/{header})")

    def check_private(self, path, line, header):
        """A header beside the file that includes it."""
        folder = os.path.dirname(path)
        target = os.path.normpath(os.path.join(folder, header))
        if not target.startswith(folder + "/"):
            self.problem(path, line, f"{header} is private to another folder")
        elif not os.path.exists(target):
            self.problem(path, line, f"{header}: not found beside this file")

    def check_library(self, path, line, header, allowed):
        if not path.startswith(tuple(allowed)):
            where = " and ".join(allowed)
            self.problem(path, line, f"<{header}> belongs in {where} only")

    def check_include(self, path, line, module, quote, header):
        self.includes += 1
        allowed = folders_of_library(header)
        if header.startswith("restante/"):
            self.check_own(path, line, module, header[len("restante/"):])
        elif allowed is not None:
            self.check_library(path, line, header, allowed)
        elif quote == '"':
            self.check_private(path, line, header)

    def check_length(self, path, lines):
        if path in LONG_FILES:
            if lines <= MAX_LINES:
                self.problem(path, lines, "no longer long: take it off LONG_FILES")
        elif lines > MAX_LINES:
            self.problem(path, lines, f"{lines} lines, more than {MAX_LINES}: split it")

    def check_file(self, path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.files += 1
        self.check_length(path, text.count("\n"))
        module = module_of_file(path)
        if module is None:
            self.problem(path, 1, "header of no module: add it to HEADERS in this check")
            return
        if module not in MAY_USE:
            self.problem(path, 1, f"module {module} is not in MAY_USE of this check")
            return
        self.modules.add(module)
        code = without_comments(text)
        for match in INCLUDE.finditer(code):
            line = code.count("\n", 0, match.start(2)) + 1
            self.check_include(path, line, module, match.group(1), match.group(2))
        if not path.startswith(LOCKS_IN):
            for match in LOCKS.finditer(code):
                line = code.count("\n", 0, match.start()) + 1
                self.problem(path, line, f"{match.group(0)}: locks belong in {LOCKS_IN} only")


def source_files():
    for top in ("src", "federation", "include"):
        for folder, _, names in os.walk(top):
            for name in names:
                if name.endswith((".c", ".h", ".def")):
                    yield os.path.join(folder, name)


def main():
    check = Check()
    for path in sorted(source_files()):
        check.check_file(path)
    for path in sorted(LONG_FILES):
        if not os.path.exists(path):
            check.problem(path, 1, "is gone: take it off LONG_FILES")
    for problem in check.problems:
        print(problem)
    print(f"layers: {check.files} files of {len(check.modules)} modules, "
          f"{check.includes} includes, {len(check.problems)} violations")
    if check.files == 0:
        print("layers: no files; run this from the root of the tree")
    return 1 if check.problems or check.files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
