"""The best assignment of rows to columns, exactly: the Hungarian method on whole numbers, which no rounding can mislead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

Value = tuple[Fraction, Fraction]
"""What a pair is worth: the first number decides, the second one where sums of the first are equal."""
Pairs = tuple[tuple[int, int], ...]


def best_assignment(values: Sequence[Sequence[Value]]) -> Pairs:
    """Pairs of rows and columns, as many as the smaller side has, in the order of rows, that are worth the most together.

    In whatever order rows and columns stand their sum is the same; which of several equally good pairings it is may differ.
    """
    if not values or not values[0]:
        return ()
    costs = _costs(values)
    if len(costs) <= len(costs[0]):
        return _cheapest(costs)
    transposed_costs = [list(column_costs) for column_costs in zip(*costs, strict=True)]
    return tuple(sorted((row, column) for column, row in _cheapest(transposed_costs)))


def _costs(values: Sequence[Sequence[Value]]) -> list[list[int]]:
    """Values as costs, the second number below what the first can differ by."""
    first_unit, second_unit = (
        math.lcm(*(value[number].denominator for row_values in values for value in row_values)) for number in (0, 1)
    )
    second_counts = [[int(second * second_unit) for _, second in row_values] for row_values in values]
    pair_count = min(len(values), len(values[0]))
    spread = max(map(max, second_counts)) - min(map(min, second_counts))
    first_weight = pair_count * spread + 1
    return [
        [-(int(first * first_unit) * first_weight + second_count) for (first, _), second_count in zip(*both, strict=True)]
        for both in zip(values, second_counts, strict=True)
    ]


def _cheapest(costs: Sequence[Sequence[int]]) -> Pairs:
    """The pairs of least cost, a row after the other by its cheapest augmenting path; no more rows than columns."""
    column_count = len(costs[0])
    row_prices, column_prices = [0] * len(costs), [0] * column_count
    row_of_column: list[int | None] = [None] * column_count
    for added_row in range(len(costs)):
        slack: list[int | float] = [math.inf] * column_count
        previous_column: list[int | None] = [None] * column_count
        visited_columns: list[int] = []
        row, last_column = added_row, None
        while True:
            free_columns = [column for column in range(column_count) if column not in visited_columns]
            for column in free_columns:
                reduced_cost = costs[row][column] - row_prices[row] - column_prices[column]
                if reduced_cost < slack[column]:
                    slack[column], previous_column[column] = reduced_cost, last_column
            next_column = min(free_columns, key=lambda column: slack[column])
            # finite, since every free column was just compared with a number
            step = int(slack[next_column])
            row_prices[added_row] += step
            for column in visited_columns:
                column_prices[column] -= step
                visited_row = row_of_column[column]
                assert visited_row is not None
                row_prices[visited_row] += step
            for column in free_columns:
                slack[column] -= step
            visited_columns.append(next_column)
            last_column, next_row = next_column, row_of_column[next_column]
            if next_row is None:
                break
            row = next_row
        path_column: int | None = last_column
        while path_column is not None:
            earlier_column = previous_column[path_column]
            row_of_column[path_column] = added_row if earlier_column is None else row_of_column[earlier_column]
            path_column = earlier_column
    return tuple(sorted((row, column) for column, row in enumerate(row_of_column) if row is not None))
