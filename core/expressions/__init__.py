"""Expressions of workflow files: CEL, the Common Expression Language, checked and bounded.

The language: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

from core.expressions.expression import Expression, compile_expression
from core.expressions.lexer import ExpressionError
from core.expressions.types import Types
from core.expressions.values import look_up

__all__ = ["Expression", "ExpressionError", "Types", "compile_expression", "look_up"]
