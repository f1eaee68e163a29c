"""The results as a Markdown page: what was measured, and the ratios that the project aims at."""

from typing import Any

# (what, how many times faster, the slower measure, the aim)
RATIOS = (
    ("log table, by swap, against a chunked DELETE", "log: chunked DELETE", "campaign: log, by swap", 20),
    ("whole purge against one plain DELETE a table", "whole purge: one plain DELETE ... JOIN a table", "whole", 5),
    ("whole purge against the row-by-row reset", "row by row, one space, without its log", "whole", 50),
    ("backup against mariadb-dump", "mariadb-dump of every trace", "campaign: backup of every trace, read back", 1),
)
_WHOLE = ("campaign: log, by swap", "campaign: the other tables")


def markdown(results: dict[str, Any]) -> str:
    """The page, in English, from :class:`benchmarks.run.Results` as a dict."""
    measures, size, machine = results["measures"], results["size"], results["machine"]
    lines = [
        "# Benchmarks", "",
        f"`BENCH_SCALE={results['scale']} make bench`: {size['spaces']:,} spaces of which {size['going']:,} are reset,"
        f" {size['rows']:,} trace rows of which {size['spaces'] * size['log']:,} log rows.", "",
        f"Measured {machine['at']} on {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['server']} with a"
        f" buffer pool of 192 MiB, load average {machine['load']} when it began (anything above 0 is other work on the"
        " machine). Each stage ran in a process of its own; every reference on a copy of the same tables.", "",
        "| measure | rows | seconds | rows/s | peak memory |", "|---|---:|---:|---:|---:|",
    ]  # fmt: skip
    for name, facts in measures.items():
        memory = results["memory"].get(name)
        lines.append(
            f"| {name} | {facts['rows']:,} | {facts['seconds']:.1f} | {_rate(facts):,.0f} |"
            f" {f'{memory:.0f} MiB' if memory else ''} |"
        )
    lines += ["", "| ratio of rows/s | aim | measured |", "|---|---:|---:|"]
    whole = {key: sum(measures[name][key] for name in _WHOLE) for key in ("rows", "seconds")}
    for what, slow, fast, aim in RATIOS:
        ratio = _rate(whole if fast == "whole" else measures[fast]) / _rate(measures[slow])
        lines.append(f"| {what} | ≥ {aim} | {ratio:.1f} |")
    once, twice = (measures[f"campaign: log, by swap{more}"]["seconds"] for more in ("", ", twice the rows that go"))
    lines.append(
        f"| seconds of the log's swap, twice the rows that go, same that stay | 0.8 – 1.2 | {twice / once:.2f} |"
    )
    return "\n".join(lines) + "\n"


def _rate(facts: dict[str, float]) -> float:
    return facts["rows"] / max(facts["seconds"], 1e-9)
