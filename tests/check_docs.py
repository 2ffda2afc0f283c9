#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the pages in docs/ against what they describe: options, errors, metrics, rate limits,
commands, source files, members of JSON; and that every link leads somewhere. Run from the
root of the tree; prints what is wrong and exits 1 then."""

import fnmatch
import re
import sys
from pathlib import Path

PAGES = [Path(name) for name in ("README.md", "CHANGES.md", "CONTRIBUTING.md", "SECURITY.md")] + \
    sorted(Path("docs").glob("*.md"))
PROTOCOL, OPERATING, FEDERATION, ARCHITECTURE = (
    Path("docs", name + ".md").read_text()
    for name in ("protocol", "operating", "federation", "architecture"))


def table(path):
    """The text of a .def file, without comments."""
    return re.sub(r"/\*.*?\*/", "", Path(path).read_text(), flags=re.S)


def strings(text):
    return [match.replace('\\"', '"') for match in re.findall(r'"((?:\\.|[^"\\])*)"', text)]


def options():
    for section, name, rest in re.findall(r"^OPTION\((\w+), (\w+), (.*)\)$",
                                          table("include/restante/options.def"), re.M):
        *_, default, doc = strings(rest)
        choices = re.match(r'CHOICE\("(.*?)"\)', rest)
        if choices:
            doc += " One of " + ", ".join(f"`{choice}`" for choice in choices[1].split("|")) + "."
        yield f"| `{section}.{name}` | {f'`{default}`' if default else ''} | {doc} |"


def limits():
    for burst, every, what in re.findall(r'^LIMIT\(\w+, (\d+), (\d+), \w+, "(.*)"\)$',
                                         table("src/api/limits.def"), re.M):
        every = int(every)
        rate = f"{1000 // every} a second" if every <= 500 else \
            "1 a second" if every == 1000 else f"1 in {every // 1000} s"
        yield f"| {what} | {int(burst):,} | {rate} |"


def commands():
    found = re.findall(r'^\t\{"([a-z ]+?)(?: [A-Z]+)*", cli_', Path("src/main.c").read_text(), re.M)
    return [f"restante {command}" for command in found]


def members():
    """Names in JSON that is written or read."""
    patterns = r'\\"(\w+)\\":', r'json_get\([^;]*?, "(\w+)"\)', r'text_member_decode\([^;]*?"(\w+)"'
    for file in [*Path("src/proto").glob("*.c"), *Path("src/api").glob("*.c"), Path("src/live/live.c")]:
        for pattern in patterns:
            yield from re.findall(pattern, file.read_text())


def sources():
    return [*Path("federation").glob("*.c"), *Path("src").glob("**/*.c")]


def missing():
    """Of each thing that a page has to name."""
    for row in [*options(), *limits()]:
        if row not in OPERATING:
            yield f"docs/operating.md: the row {row}"
    for code in re.findall(r'^ERR\(\w+, +\w+, +\d+, +"(\w+)"', table("include/restante/err.def"), re.M):
        if code != "OK" and f"`{code}`" not in PROTOCOL:
            yield f"docs/protocol.md: the code {code}"
    for name in sorted(set(members())):
        if not re.search(rf"\b{name}\b", PROTOCOL):
            yield f"docs/protocol.md: the member {name}"
    for command in commands():
        if command not in OPERATING + FEDERATION:
            yield f"docs/operating.md or federation.md: the command {command}"
    globs = re.findall(r"`([\w*/]+\.c)`", ARCHITECTURE)
    for file in sources():
        if not any(fnmatch.fnmatch(file.name, glob.split("/")[-1]) for glob in globs):
            yield f"docs/architecture.md: the file {file}"


def strangers(page, text):
    """What a page names that is not there."""
    metrics = re.findall(r"^METRIC\((\w+)", table("include/restante/metrics.def"), re.M)
    for name in re.findall(r"`restante_(\w+)`", text):
        if name not in metrics:
            yield f"{page}: there is no metric restante_{name}"
    known = [row.split("`")[1] for row in options()]
    for name in re.findall(r"`((?:node|listen|store|accounts|limits|federation)\.[a-z_]+)\b(?!\.)", text):
        if name not in known and not re.search(r"\.(c|md|h|def)$", name):
            yield f"{page}: there is no option {name}"
    for command in re.findall(r"`(?:[\w/]*/)?(restante (?:peer \w+|key \w+|store \w+|[a-z]+))", text):
        if command not in [*commands(), "restante peer", "restante key"]:
            yield f"{page}: there is no command {command}"


def anchors(text):
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    for title in re.findall(r"^#+ (.*)$", text, re.M):
        yield re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def broken_links(page, text):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists():
            yield f"{page}: {target} leads nowhere"
        elif anchor and anchor not in anchors(file.read_text()):
            yield f"{page}: {target}: no such section"


def main():
    wrong = list(missing())
    for page in PAGES:
        text = page.read_text()
        wrong += [*strangers(page, text), *broken_links(page, text)]
    for line in wrong:
        print(line)
    print(f"{len(PAGES)} pages, {len(wrong)} mistakes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
