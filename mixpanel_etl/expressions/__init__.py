"""Mixpanel's segmentation expressions: `where` and `on`. Source: mixpanel-api.md#expressions.

    expression = parse('properties["plan"] == "pro" and number(properties["seats"]) > 3')
    matches = predicate(expression)
    matches({"properties": {"plan": "pro", "seats": "5"}})        # True

A package of its own that imports nothing else: the sandbox evaluates with it what the client validates with it.
"""

from mixpanel_etl.expressions.evaluation import Evaluator, Sources, evaluator, predicate
from mixpanel_etl.expressions.expression_errors import EvaluationError, ExpressionError
from mixpanel_etl.expressions.expression_text import masked, render
from mixpanel_etl.expressions.expression_values import UNDEFINED, Value, cast_to_string
from mixpanel_etl.expressions.parser import parse
from mixpanel_etl.expressions.syntax import Expression, Property, references

__all__ = [
    "UNDEFINED",
    "EvaluationError",
    "Evaluator",
    "Expression",
    "ExpressionError",
    "Property",
    "Sources",
    "Value",
    "cast_to_string",
    "evaluator",
    "masked",
    "parse",
    "predicate",
    "references",
    "render",
]
