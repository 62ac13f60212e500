"""`$name` in every warehouse's SQL, and nowhere else."""

from __future__ import annotations

import pytest

from mixpanel_etl.warehouse import WarehouseError, parameters_of
from mixpanel_etl.warehouse.sql_parameters import bind

VALUES = {"start": 1, "end": 2}
DIALECTS = ["duckdb", "postgres", "snowflake", "bigquery"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_literals_comments_casts_and_quoted_names_are_left_alone(dialect: str) -> None:
    sql = "SELECT '$start', 'it''s $end', a::date -- $start\n, /* $end */ \"$end\" FROM t WHERE a$b >= $start::date"
    assert bind(sql, VALUES, dialect, numbered=False) == (sql.removesuffix("$start::date") + "?::date", (1,))


@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
def test_texts_in_dollars_are_left_alone(dialect: str) -> None:
    assert bind("SELECT $$ $start $$, $x$ $end $x$, $end", VALUES, dialect, numbered=True) == (
        "SELECT $$ $start $$, $x$ $end $x$, $1",
        (2,),
    )


def test_a_parameter_may_come_twice() -> None:
    sql = "SELECT $end, $start, $end"
    assert bind(sql, VALUES, "postgres", numbered=True) == ("SELECT $1, $2, $1", (2, 1))
    assert bind(sql, VALUES, "snowflake", numbered=False) == ("SELECT ?, ?, ?", (2, 1, 2))


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT $from, $start", r"\$from.*\$start, \$end"),
        ("SELECT 1; DROP TABLE t", "more than one statement"),
        (" -- nothing\n;", "empty"),
        ("SELECT 'open", "can't be read"),
    ],
    ids=["unknown parameter", "two statements", "nothing", "open literal"],
)
def test_what_is_no_query_with_these_parameters_is_rejected(sql: str, said: str) -> None:
    with pytest.raises(WarehouseError, match=said):
        bind(sql, VALUES, "duckdb", numbered=True)


def test_the_semicolon_at_the_end_is_taken_off() -> None:
    assert bind("SELECT 1 ; ", {}, "duckdb", numbered=True).sql == "SELECT 1 "
    assert parameters_of("SELECT $start, '$end';") == {"start"}
