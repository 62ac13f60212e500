"""`mixpanel-etl lexicon`, as typed."""

from __future__ import annotations

from pathlib import Path

from mixpanel_etl.sandbox import Sandbox

from .test_commands import run as run_command

PURCHASE = """\
event: Purchase
description: A customer paid.
tags: [core, revenue]
properties:
  amount:
    type: number
    description: In euros.
  coupon: string
"""


def run(*arguments: str) -> tuple[int, str]:
    """A command that comes minutes after the one before: nothing of the budget is used."""
    for state in Path.cwd().glob("budget.sqlite*"):
        state.unlink()
    return run_command(*arguments)


def test_plan_apply_plan_pull(mixpanel: Sandbox, tmp_path: Path) -> None:
    directory = tmp_path / "lexicon"
    directory.mkdir()
    (directory / "purchase.yaml").write_text(PURCHASE)
    code, said = run("lexicon", "plan", str(directory))
    assert code == 3
    assert "+ event 'Purchase'" in said
    assert "tags: core, revenue" in said
    assert "property 'amount'" in said
    assert "1 to create" in said
    code, said = run("lexicon", "apply", str(directory))
    assert code == 0
    assert "1 uploaded, 0 deleted, in 1 requests" in said
    code, said = run("lexicon", "plan", str(directory))
    assert code == 0
    assert "1 unchanged" in said
    code, said = run("lexicon", "pull", str(tmp_path / "other"))
    assert code == 0
    assert (tmp_path / "other" / "events" / "purchase.yaml").read_text() == PURCHASE
    assert run("lexicon", "plan", str(tmp_path / "other"))[0] == 0
    # plan: 1, apply: 2, plan: 1, pull: 1, plan: 1
    assert [request.method for request in mixpanel.requests] == ["GET", "GET", "POST", "GET", "GET", "GET"]


def test_what_only_mixpanel_has_is_left_alone_unless_deletion_is_asked_for(mixpanel: Sandbox, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for directory, name in ((one, "A"), (two, "B")):
        directory.mkdir()
        (directory / "file.yaml").write_text(f"event: {name}\n")
    assert run("lexicon", "apply", str(one))[0] == 0
    code, said = run("lexicon", "apply", str(two))
    assert code == 0
    assert "left alone, only in Mixpanel: event 'A'" in said
    code, said = run("lexicon", "plan", str(two), "--delete")
    assert code == 3
    assert "- event 'A'" in said
    assert run("lexicon", "apply", str(two), "--delete")[0] == 0
    assert run("lexicon", "plan", str(two), "--delete")[0] == 0
    code, said = run("lexicon", "apply", str(one), "--truncate")
    assert code == 0
    assert "the whole dictionary, 1 schemas, is deleted first" in said
    assert run("lexicon", "plan", str(one), "--truncate")[0] == 0


def test_mistakes_and_dropped_data_stop_it_before_anything_is_sent(mixpanel: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("event: A\nhiden: true\n")
    code, said = run("lexicon", "apply", str(tmp_path))
    assert code == 1
    assert "a.yaml:2: unknown key 'hiden'; did you mean 'hidden'?" in said
    assert not mixpanel.requests
    (tmp_path / "a.yaml").write_text("event: A\ndropped: true\n")
    code, said = run("lexicon", "apply", str(tmp_path))
    assert code == 1
    assert "--allow-drop" in said
    assert [request.method for request in mixpanel.requests] == ["GET"]
    assert run("lexicon", "apply", str(tmp_path), "--allow-drop")[0] == 0
