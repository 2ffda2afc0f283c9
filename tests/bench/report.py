# SPDX-License-Identifier: MIT
"""./dev bench --report: the cases that count most and, where other servers do the same, those
beside, all of them several times; a table of medians for docs/performance.md. In each run all
servers have their turn, so that a slow quarter of an hour of the machine is nobody's alone."""

import dataclasses
import importlib
import json
import statistics
import time

from against import cases as against
from against.compare import PEERS
from against.sides import Restante, Xmpp, package_version
from cases import CASES, file_limit
from limits import add_shares, measure

OURS = "local", "federated", "offline", "catchup", "idle"
BESIDE = "local", "federated", "offline_local", "offline_federated", "idle"


def per_cpu_second(row):
    return 1e6 / sum(node["cpu_us_per_message"] for node in row["nodes"].values())


def cpu_us(row):
    return sum(node["cpu_us_per_message"] for node in row["nodes"].values())


def latency(quantile):
    return lambda row: row["latency_ms"][quantile]


def kib(row):
    return row["kb_per_socket"] if "kb_per_socket" in row else row["kb_per_connection"]


@dataclasses.dataclass(frozen=True)
class Line:
    """Of the table. Rows are found by how their names begin."""
    name: str
    value: object        # of a row
    ours: tuple          # case, row
    beside: tuple = None
    target: str = ""
    less_is_better: bool = False


def steady_lines(case, p50="", p99=""):
    rows = (case, "100 messages a second"), (case, "100 messages a second")
    return [Line(f"`{case}`, 100 a second: {what}", value, *rows, target, less_is_better=True)
            for what, value, target in (("ms, p50", latency("p50"), p50),
                                        ("ms, p99", latency("p99"), p99),
                                        ("µs CPU a message", cpu_us, ""))]


def idle_line(name, row, beside, **more):
    return Line(f"KiB for an idle socket, {name}", kib, ("idle", row), ("idle", beside),
                less_is_better=True, **more)


LINES = [
    Line("`local`, one message a frame", per_cpu_second, ("local", "one message"),
         ("local", "as fast"), target="≥ 18,000"),
    Line("`local`, 16 a frame", per_cpu_second, ("local", "16 messages"),
         target="≥ 30,000"),
    Line("`federated`, one message a frame", per_cpu_second, ("federated", "one message"),
         ("federated", "as fast"), target="≥ 12,000"),
    Line("`federated`, 16 a frame", per_cpu_second, ("federated", "16 messages"),
         target="≥ 18,000"),
    Line("`offline_local`, stored", per_cpu_second, ("offline_local", "stored"),
         ("offline_local", "stored"), target="≥ 18,000"),
    Line("`offline_local`, taken", per_cpu_second, ("offline_local", "taken"),
         ("offline_local", "taken")),
    Line("`offline`, stored", per_cpu_second, ("offline", "until all"),
         ("offline_federated", "stored"), target="≥ 18,000"),
    Line("`offline`, taken", per_cpu_second, ("offline", "drained"),
         ("offline_federated", "taken")),
    Line("`catchup`", per_cpu_second, ("catchup", "catch-up"),
         target="≥ 25,000"),
    *steady_lines("local"), *steady_lines("federated", "≤ 1.5", "≤ 3"),
    idle_line("without TLS, the first 1,000", "without TLS, 1,000", "without", target="≤ 3.5"),
    idle_line("without TLS, up to 10,000", "without TLS, 10,000", "without", target="≤ 3.5"),
    idle_line("with TLS", "with TLS, 10,000", "with TLS", target="≤ 18"),
]


def peer(name):
    return importlib.import_module(f"against.{name}")


def timed(name, case, *arguments):
    """The rows of a case; says how long it took, for whoever waits."""
    began = time.monotonic()
    rows = case(*arguments)
    print(f"  {name}: {time.monotonic() - began:.0f} s", flush=True)
    return rows


def measure_once(size, peers):
    """server -> case -> rows"""
    ours = {case: timed(f"Restante, {case}", CASES[case], size) for case in OURS}
    limits = measure(size.limits)
    for rows in ours.values():
        add_shares(rows, limits)
    size = dataclasses.replace(size, messages=max(size.messages // 2, 1))
    ours["offline_local"] = timed("Restante, offline_local", against.CASES["offline_local"],
                                  Restante(), size)
    servers = {"Restante": ours}
    for other in peers:
        store, one_of = next(iter(other.STORES.items()))
        side = Xmpp(other.KIND, store, one_of)
        servers[other.KIND.NAME] = {
            case: timed(f"{other.KIND.NAME}, {case}", against.CASES[case], side, size)
            for case in BESIDE}
    return {"servers": servers, "limits": limits}


def found(rows, begin):
    """The row of that name; None where a size has no such row."""
    return next((row for row in rows if row["name"].startswith(begin)), None)


def summary(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def shares(rows):
    nodes = [[node.get("share_of_limit") for node in row["nodes"].values()] for row in rows]
    return [statistics.median(several) for several in zip(*nodes) if None not in several]


def summarize(line, runs):
    """None where a size has no such row."""
    case, begin = line.ours
    servers = [run["servers"] for run in runs]
    rows = [found(run["Restante"][case], begin) for run in servers]
    if None in rows:
        return None
    ours = summary([line.value(row) for row in rows])
    out = {"name": line.name, "target": line.target, "value": ours}
    if "per_second" in rows[0] and line.value is per_cpu_second:
        out["per_second"] = statistics.median(row["per_second"] for row in rows)
        out["share_of_limit"] = shares(rows)
    if line.beside:
        out["beside"] = {name: beside(line, servers, name, ours)
                         for name in servers[0] if name != "Restante"}
    return out


def beside(line, servers, name, ours):
    case, begin = line.beside
    theirs = summary([line.value(found(run[name][case], begin)) for run in servers])
    ratio = ours["median"] / theirs["median"]
    return {**theirs, "ratio": round(1 / ratio if line.less_is_better else ratio, 2)}


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def span(value):
    return f"{number(value['median'])} ({number(value['min'])}–{number(value['max'])})"


def table(summaries):
    names = list(dict.fromkeys(name for line in summaries for name in line.get("beside", {})))
    yield "| | target | Restante | messages/s | share of the limit | " + " | ".join(
        f"{name} | ×" for name in names) + " |"
    yield "|---|---|---|---|---|" + "---|---|" * len(names)
    for line in summaries:
        per_second = number(line["per_second"]) if "per_second" in line else ""
        cells = [line["name"], line["target"], span(line["value"]), per_second,
                 ", ".join(f"{share:.0%}" for share in line.get("share_of_limit", []))]
        for name in names:
            theirs = line.get("beside", {}).get(name)
            cells += [span(theirs), number(theirs["ratio"])] if theirs else ["", ""]
        yield "| " + " | ".join(cells) + " |"


def run(runs, size, folder, names=PEERS):
    """Writes what there is after each run."""
    folder.mkdir(parents=True, exist_ok=True)
    file_limit()
    peers = [peer(name) for name in names]
    versions = {other.KIND.NAME: package_version(other.PACKAGE) for other in peers}
    measured = []
    for count in range(1, runs + 1):
        print(f"run {count} of {runs}", flush=True)
        measured.append(measure_once(size, peers))
        summaries = [line for line in (summarize(line, measured) for line in LINES) if line]
        (folder / "report.json").write_text(json.dumps(
            {"versions": versions, "size": dataclasses.asdict(size), "table": summaries,
             "runs": measured}, indent=1) + "\n")
        (folder / "report.md").write_text("\n".join(table(summaries)) + "\n")
    print((folder / "report.md").read_text())
