"""A second feed, for what the first source does not know: who teaches, who asked for another calendar."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transition.apogee.checks import manifest_findings
from transition.apogee.csv_source import CsvFolder
from transition.apogee.feed import Feed, Source


@dataclass(frozen=True)
class WithSecondFeed:
    """A source completed by a folder of files, laid out like any other (:mod:`transition.apogee`).

    :param first: Apogée. :param second: a folder whose ``expected`` tables ``first`` does not give.
    """

    first: Source
    second: CsvFolder

    @property
    def live(self) -> bool:
        """Whether the first source is."""
        return self.first.live

    def check(self, year: int) -> list[str]:
        """The findings of both."""
        return [*self.first.check(year), *self.second.check(year)]

    def years(self) -> Sequence[int]:
        """The years of the first source: of a past year, the second has nothing to tell."""
        return self.first.years()

    def read(self, year: int, *, snapshot: bool = False) -> Feed:
        """The tables of both, in one lot, as old as the first source's; a snapshot is the first source's alone."""
        first = self.first.read(year, snapshot=snapshot)
        if snapshot:
            return first
        second = self.second.read(year)
        findings = [*first.findings, *second.findings, *manifest_findings(second, second.findings)]
        findings += [
            f"{second.tables[name].where} : cette table vient déjà de la source Apogée ; retirez-la de l'une des deux."
            for name in sorted(set(first.tables) & set(second.tables))
        ]
        merged = replace(first, tables={**second.tables, **first.tables}, findings=findings)
        if first.manifest is None or second.manifest is None:
            return replace(merged, manifest=None)
        # The second manifest has been held against its own tables: in the merged one they are as they came.
        manifest = replace(
            first.manifest,
            lot_id=f"{first.manifest.lot_id[:80]}+{second.manifest.fingerprint[:12]}",
            rows={**{name: len(raw.frame) for name, raw in second.tables.items()}, **first.manifest.rows},
            sha256={**{name: raw.sha256 for name, raw in second.tables.items()}, **first.manifest.sha256},
        )
        return replace(merged, manifest=manifest)
