"""All that a campaign may move: the traces of every rule, what enrolment removes, what a stopped run left behind."""

from collections.abc import Iterable
from dataclasses import replace

from transition.campaign import Campaign
from transition.enrolment.again import given_again
from transition.enrolment.people import enrolment_traces
from transition.rules.compile import Scope, Trace, compile_rule
from transition.rules.model import load_rules
from transition.stranded import stranded_traces

Traces = dict[str, list[Trace]]  # by table, in the order of the rules' names


def all_traces(campaign: Campaign, scope: Scope) -> Traces:
    """Every trace, by table."""
    return _by_table([*_of_rules(campaign, scope), *stranded_traces(campaign, scope)])


def rule_traces(campaign: Campaign, scope: Scope) -> Traces:
    """Those that the rules find by themselves, by table."""
    return _by_table(_of_rules(campaign, scope))


def _of_rules(campaign: Campaign, scope: Scope) -> list[Trace]:
    traces = [trace for rule in load_rules() for trace in compile_rule(rule, campaign.moodle, scope)]
    if not scope.everything:
        traces = [without_given(campaign, trace) for trace in traces]
    return [*traces, *enrolment_traces(campaign, scope)]


def without_given(campaign: Campaign, trace: Trace) -> Trace:
    """Memberships of groups, subscriptions to forums stay where year N gives the same ones again."""
    table = trace.rows.selected_columns["id"].table
    stays = given_again(campaign, trace.table, table)
    return trace if stays is None else replace(trace, rows=trace.rows.where(~stays))


def _by_table(traces: Iterable[Trace]) -> Traces:
    by_table: Traces = {}
    for trace in traces:
        by_table.setdefault(trace.table, []).append(trace)
    return dict(sorted(by_table.items()))
