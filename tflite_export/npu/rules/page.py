"""The rules of a kind of machine as a page of documentation, made from the docstrings that ``check`` prints."""

from tflite_export.npu.rules import Target
from tflite_export.npu.rules.site import Rule, texts

OTHERWISE = {"CPU": "The CPU beside the accelerator runs", "REJECT": "Nothing runs"}


def page(target: Target) -> str:
    """Markdown: what runs there, each rule with its remedy, and the ops that it is for."""
    rows = [_row(rule, "all, or nothing runs") for rule in target.readable]
    rows += [_row(rule, "all") for rule in target.everywhere]
    for rule in dict.fromkeys(rule for rules in target.ops.values() for rule in rules):
        rows.append(_row(rule, ", ".join(kind for kind, rules in target.ops.items() if rule in rules)))
    rows += [_row(rule, "all, as advice") for rule in target.advice]
    head = f"{OTHERWISE[target.otherwise]} what is not in this list, or breaks a rule: {', '.join(sorted(target.ops))}."
    return "\n".join([head, "", "| rule | remedy | ops |", "|---|---|---|", *rows])


def _row(rule: Rule, ops: str) -> str:
    demand, remedy = texts(rule)
    return f"| {demand} | {remedy} | {ops} |"
