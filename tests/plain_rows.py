"""Rows as plain dicts, and what filters, sorts and updates mean for them: written from the documentation alone, so that
it shares no mistake with the core. Conditions are pairs of what the database is asked and a function that knows better.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
Rows = dict[int, Row]
#: The bounds of `size`.
LOW, HIGH = -40, 40


class Refused(Exception):
    """The code, or one of the codes, of the error that the database must answer with."""

    def __init__(self, *codes: str) -> None:
        super().__init__(*codes)
        self.codes = codes


class Condition:
    """A filter, and which rows satisfy it."""

    def __init__(self, asked: dict[str, Any], holds: Callable[[Row], bool]) -> None:
        self.asked = asked
        self.holds = holds

    def __repr__(self) -> str:
        return repr(self.asked)


def compare(field: str, operator: str, wanted: Any) -> Condition:
    """A comparison within one type: null is only equal to null, and neither less nor greater than anything."""

    def holds(row: Row) -> bool:
        value = row[field]
        if operator in ("$eq", "$ne"):
            return (value == wanted) == (operator == "$eq")
        if operator in ("$in", "$nin"):
            return (value in wanted) == (operator == "$in")
        if value is None:
            return False
        return {
            "$gt": value > wanted,
            "$gte": value >= wanted,
            "$lt": value < wanted,
            "$lte": value <= wanted,
        }[operator]

    return Condition({field: {operator: wanted}}, holds)


def has_tag(tag: str) -> Condition:
    return Condition({"tags": tag}, lambda row: tag in row["tags"])


def has_tags(tags: list[str]) -> Condition:
    return Condition({"tags": {"$all": tags}}, lambda row: bool(tags) and set(tags) <= set(row["tags"]))


def tag_count(count: int) -> Condition:
    return Condition({"tags": {"$size": count}}, lambda row: len(row["tags"]) == count)


def begins(prefix: str) -> Condition:
    return Condition({"name": {"$regex": f"^{prefix}"}}, lambda row: row["name"].startswith(prefix))


def joined(operator: str, parts: list[Condition]) -> Condition:
    results = {"$and": all, "$or": any, "$nor": lambda found: not any(found)}
    return Condition(
        {operator: [part.asked for part in parts]}, lambda row: results[operator]([part.holds(row) for part in parts])
    )


def ordered(rows: list[Row], sort: list[str]) -> list[Row]:
    """Null comes first, text goes by code point; the key breaks ties in the direction of the last field."""
    last = sort[-1].startswith("-") if sort else False
    # The least important first: Python's sort keeps the order of equals, reversed too.
    rows = sorted(rows, key=lambda row: row["id"], reverse=last)
    for part in reversed(sort):
        field = part.removeprefix("-")
        rows.sort(key=lambda row: (row[field] is not None, row[field]), reverse=part.startswith("-"))
    return rows


def changed(row: Row, update: dict[str, Any]) -> Row:
    """The row after the operators of an update.

    Raises:
        Refused: if it would leave its bounds.
    """
    row = copy.deepcopy(row)
    for operator, fields in update.items():
        for field, operand in fields.items():
            row[field] = _operated(operator, row[field], operand)
    if not LOW <= row["size"] <= HIGH:
        raise Refused("invalid_value")
    row["version"] += 1
    return row


def _operated(operator: str, value: Any, operand: Any) -> Any:
    if operator == "$set":
        return operand
    if operator == "$unset":
        return None
    if operator in ("$inc", "$mul"):
        # What is null counts as nothing.
        number = 0 if value is None else value
        return number + operand if operator == "$inc" else number * operand
    if operator == "$min":
        return min(value, operand)
    if operator == "$max":
        return max(value, operand)
    if operator == "$push":
        return [*value, operand]
    if operator == "$addToSet":
        return value if operand in value else [*value, operand]
    assert operator == "$pull", operator
    return [one for one in value if one != operand]


class Table:
    """What the table holds, and what is made of it in a transaction and its savepoints."""

    def __init__(self) -> None:
        self.levels: list[Rows] = [{}]

    @property
    def rows(self) -> Rows:
        """As the innermost transaction sees it."""
        return self.levels[-1]

    @property
    def committed(self) -> Rows:
        return self.levels[0]

    def begin(self) -> None:
        self.levels.append(copy.deepcopy(self.rows))

    def commit(self) -> None:
        top = self.levels.pop()
        self.levels[-1] = top

    def rollback(self) -> None:
        self.levels.pop()

    def living(self, id: int) -> Row:
        row = self.rows.get(id)
        if row is None or row["deleted"]:
            raise Refused("not_found")
        return row

    def matching(self, condition: Condition | None, deleted: bool = False) -> list[Row]:
        rows = [row for row in self.rows.values() if deleted or not row["deleted"]]
        return [row for row in rows if condition is None or condition.holds(row)]

    def put(self, new: list[Row]) -> None:
        """All of the rows, or none: the codes of living rows are unique."""
        after = {**self.rows, **{row["id"]: row for row in new}}
        codes = [row["code"] for row in after.values() if not row["deleted"]]
        if len(set(codes)) < len(codes):
            raise Refused("unique_violation")
        self.levels[-1] = after

    def create(self, record: Row) -> Row:
        if record["id"] in self.rows:
            raise Refused("unique_violation")
        row = {**copy.deepcopy(record), "version": 1, "deleted": False}
        self.put([row])
        return row

    def upsert(self, record: Row) -> Row:
        """Found by its key, a deleted row lives again."""
        known = self.rows.get(record["id"])
        if known is None:
            return self.create(record)
        row = {**known, **copy.deepcopy(record), "version": known["version"] + 1, "deleted": False}
        self.put([row])
        return row

    def update(self, id: int, update: dict[str, Any], version: int | None) -> Row:
        row = self.living(id)
        if version is not None and version != row["version"]:
            # Which of two faults is told is nobody's promise.
            raise Refused("version_conflict", "invalid_value")
        row = changed(row, update)
        self.put([row])
        return row

    def update_these(self, rows: list[Row], update: dict[str, Any]) -> int:
        self.put([changed(row, update) for row in rows])
        return len(rows)

    def mark(self, row: Row, deleted: bool) -> Row:
        row = {**row, "deleted": deleted, "version": row["version"] + 1}
        self.put([row])
        return row

    def remove(self, id: int) -> None:
        if id not in self.rows:
            raise Refused("not_found")
        self.levels[-1] = {key: row for key, row in self.rows.items() if key != id}
