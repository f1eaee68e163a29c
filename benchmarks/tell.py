"""The results as a Markdown page: what was measured, and the ratios that the project aims at."""

from typing import Any

from transition.side_by_side import CONNECTIONS

_BACKUP = "campaign: backup of every trace, read back"
# (what, how many times faster, the slower measure, the aim)
RATIOS = (
    ("log table, by swap, against a chunked DELETE", "log: chunked DELETE", "campaign: log, by swap", 20),
    ("purge tasks against one plain DELETE a table", "whole purge: one plain DELETE ... JOIN a table", "purge", 5),
    ("the same, with the keys of the freeze", "whole purge: one plain DELETE ... JOIN a table", "with its keys", 5),
    ("purge tasks against the row-by-row reset", "row by row, one space, without its log", "purge", 50),
    ("the same, with the keys of the freeze", "row by row, one space, without its log", "with its keys", 50),
    ("backup against mariadb-dump", "mariadb-dump of every trace", _BACKUP, 1),
)
_PURGE = ("campaign: log, by swap", "campaign: the other tables")
_SWAPS = ("campaign: log again, by swap", "campaign: log again, twice the rows that go")
_RESTORES = (
    "campaign: first restore from the archive schema",
    "campaign: next restore from the archive schema",
    "campaign: restore of one space from the backup",
)
# Of the curve: measure, the task that does it, what it grows with.
_STAGES = (
    (_BACKUP, "july_backup", "log rows"),
    ("campaign: freeze, the keys", "approval.freeze, the keys", "log rows"),
    ("campaign: freeze, its checks", "approval.freeze, its checks", "log rows"),
    ("campaign: log, by swap", "purge.logs", "log rows"),
    ("campaign: the other tables", "the other purge tasks", "spaces"),
    ("campaign: verify", "verify", "log rows"),
    (_RESTORES[0], "restore_course, archive schema, the first", "rows of the space"),
    (_RESTORES[1], "restore_course, archive schema, the next", "rows of the space"),
    (_RESTORES[2], "restore_course, backup", "rows of the space"),
)
_DUMP = (
    "A dump is the text that the server sends. The backup also has the server compute a checksum of each row, sorts the"
    " rows by space, takes digests of them, compresses them, and reads all of it back."
)
PLATFORM = {"spaces": 15_000, "log rows": 300_000_000}


def markdown(results: dict[str, Any]) -> str:
    """The page, in English, from :class:`benchmarks.run.Results` as a dict."""
    measures, size, machine = results["measures"], results["size"], results["machine"]
    lines = [
        "# Benchmarks", "",
        f"`BENCH_SCALE={results['scale']} make bench`: {size['spaces']:,} spaces of which {size['going']:,} are reset,"
        f" {size['rows']:,} trace rows of which {size['spaces'] * size['log']:,} log rows.", "",
        f"Measured {machine['at']} on {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['server']} with a"
        f" buffer pool of {machine['buffer_pool_mib']:,} MiB, load average {machine['load']} when it began (anything"
        " above 0 is other work on the machine). Each stage ran in a process of its own, whose memory this is, with"
        " Airflow in it; a reference is a statement or a program of the server, those that write on a copy of the same"
        " tables.", "",
        "| measure | rows | seconds | rows/s | peak memory |", "|---|---:|---:|---:|---:|",
    ]  # fmt: skip
    for name, facts in measures.items():
        memory = results["memory"].get(name)
        lines.append(
            f"| {name} | {facts['rows']:,} | {facts['seconds']:.1f} | {_rate(facts):,.0f} |"
            f" {f'{memory:.0f} MiB' if memory else ''} |"
        )
    return "\n".join([*lines, "", *_aims(measures, results["memory"]), "", _DUMP]) + "\n"


def _aims(measures: dict[str, dict[str, float]], memory: dict[str, float]) -> list[str]:
    """The table of what is aimed at: the lines of which every measure is there."""
    known = dict(measures)
    if known.keys() >= {*_PURGE}:
        known["purge"] = purge = {key: sum(known[name][key] for name in _PURGE) for key in ("rows", "seconds")}
        # The freeze writes down the keys of the very rows that the purge moves.
        known["with its keys"] = {**purge, "seconds": purge["seconds"] + known["campaign: freeze, the keys"]["seconds"]}
    lines = ["| | aim | measured |", "|---|---:|---:|"]
    for what, slow, fast, aim in RATIOS:
        if known.keys() >= {slow, fast}:
            lines.append(f"| rows/s: {what} | ≥ {aim} | {_rate(known[fast]) / _rate(known[slow]):.1f} |")
    if known.keys() >= {*_SWAPS}:
        once, twice = (known[name]["seconds"] for name in _SWAPS)
        what = "seconds, times: the log's swap, twice the rows that go, same that stay"
        lines.append(f"| {what} | 0.8 – 1.2 | {twice / once:.2f} |")
    lines += [
        f"| seconds: {name.removeprefix('campaign: ')} | < 2 | {known[name]['seconds']:.1f} |"
        for name in _RESTORES
        if name in known
    ]
    if memory:
        lines.append(f"| MB of memory: the task that needs most | < 400 | {max(memory.values()) * 2**20 / 1e6:.0f} |")
    return lines


def curve_markdown(found: list[dict[str, Any]]) -> str:
    """The page of the curve: what was measured, then what is foretold for the platform of :data:`PLATFORM`."""
    machine = found[-1]["machine"]
    lines = [
        "# How long it takes, by size", "",
        "`BENCH_SCALE=curve make bench`: spaces with 4,000 log rows and 2,010 other trace rows each, of which 95 % are"
        f" reset. Measured {machine['at']} on {machine['cores']} cores, {machine['server']}. The server's memory grows"
        " with the platform, as its administrator would see to; nothing else changes from one column to the next.", "",
        "## Measured", "",
        "| seconds | " + " | ".join(f"{one['size']['spaces']:,} spaces" for one in found) + " |",
        "|---|" + "---:|" * len(found),
        "| log rows | " + " | ".join(f"{one['size']['spaces'] * one['size']['log']:,}" for one in found) + " |",
        "| buffer pool, MiB | " + " | ".join(f"{one['machine']['buffer_pool_mib']:,}" for one in found) + " |",
    ]  # fmt: skip
    for name, task, _ in _STAGES:
        lines.append(f"| {task} | " + " | ".join(f"{one['measures'][name]['seconds']:.1f}" for one in found) + " |")
    last = found[-1]
    size = last["size"]
    log, others = PLATFORM["log rows"] // PLATFORM["spaces"], size["rows"] // size["spaces"] - size["log"]
    ratio = {
        "log rows": PLATFORM["log rows"] / (size["spaces"] * size["log"]),
        "spaces": PLATFORM["spaces"] / size["spaces"],
        "rows of the space": (log + others) / (size["log"] + others),
    }
    lines += [
        "", "## Extrapolated, not measured", "",
        f"For {PLATFORM['spaces']:,} spaces and {PLATFORM['log rows']:,} log rows, at the rate of the largest size"
        " measured. With less memory than in proportion, rates fall: take these as an order of magnitude, and a"
        " rehearsal on a copy as the answer.", "",
        "| task | grows with | extrapolated |", "|---|---|---:|",
    ]  # fmt: skip
    for name, task, grows in _STAGES:
        seconds = last["measures"][name]["seconds"] * ratio[grows]
        lines.append(f"| {task} | {grows} | {f'{seconds / 60:,.0f} min' if seconds > 90 else f'{seconds:.0f} s'} |")
    lines += [
        "", "`july_backup` reads the log once from end to end, however many sets of 200 spaces it writes. The DAG of"
        " July does so for each component that has a twentieth of the spaces. These are the traces: files and Moodle's"
        " own `.mbz` are not among them.", "",
        "From `approval.freeze` to `verify`, Moodle is in maintenance mode. These two read and write by"
        f" {CONNECTIONS} connections at once, each of which keeps a core of the server busy; the purge, by one. Where"
        " the other tables grow with the spaces only, what is said to grow with the log is foretold too long.", "",
        f"A restore is that of one space, which has {log:,} log rows on such a platform; it also depends on what the"
        " server's memory holds of the tables.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _rate(facts: dict[str, float]) -> float:
    return facts["rows"] / max(facts["seconds"], 1e-9)
