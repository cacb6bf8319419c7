"""Actions written as pyautogui code, as AgentNet and the agents after it write them. Read with `ast`, never run."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from sources.gui_episodes_actions import Action, Click, Drag, Hotkey, Move, Place, Press, Scroll, Write
from sources.values import number, text

LONGEST = 1 << 16
"""Characters of code that one step may have."""
_MOST_REPEATS = 100
_NOTHING_DONE = frozenset({"sleep", "wait", "terminate", "answer", "screenshot", "failsafe"})


class Arguments:
    """The arguments of a call as plain values, by place or by name.

    Raises:
        ValueError: one of them is no literal.
    """

    def __init__(self, call: ast.Call) -> None:
        self._placed = [_literal(argument) for argument in call.args]
        self._named = {keyword.arg: _literal(keyword.value) for keyword in call.keywords if keyword.arg}

    def get(self, name: str, place: int) -> Any:
        """The argument of this name, else the one at this place; None when there is neither."""
        if name in self._named:
            return self._named[name]
        return self._placed[place] if place < len(self._placed) else None

    def place(self) -> Place | None:
        """x and y, also given as a pair; None when the call names no place.

        Raises:
            ValueError: what stands there is no place.
        """
        x, y = self.get("x", 0), self.get("y", 1)
        if isinstance(x, list | tuple) and len(x) == 2:
            x, y = x
        if x is None and y is None:
            return None
        across, down = number(x), number(y)
        if across is None or down is None:
            raise ValueError("its place is not two numbers")
        return across, down

    def words(self, *names: str) -> tuple[str, ...]:
        """The texts of a call that takes them as a list or one by one.

        Raises:
            ValueError: there are none.
        """
        given = next((self._named[name] for name in names if name in self._named), self._placed)
        flat = [given] if isinstance(given, str) else list(given) if isinstance(given, list | tuple) else []
        if len(flat) == 1 and isinstance(flat[0], list | tuple):
            flat = list(flat[0])
        found = tuple(text(item) for item in flat if isinstance(item, str) and item)
        if not found:
            raise ValueError("it names no text or key")
        return found

    def repeats(self, name: str, place: int) -> int:
        """How often the call repeats itself; 1 when it does not say."""
        count = number(self.get(name, place))
        return 1 if count is None else min(max(int(count), 0), _MOST_REPEATS)

    def button(self, place: int) -> str:
        given = self.get("button", place)
        return given.lower() if isinstance(given, str) and given else "left"


def parse(code: str) -> tuple[list[Action], list[str]]:
    """The actions of a piece of code, and what of it was left out: one entry for each call or line.

    Only calls with literal arguments are understood. Nothing is evaluated or run.
    """
    if len(code) > LONGEST:
        return [], [f"code of more than {LONGEST} characters"]
    try:
        tree = ast.parse(code.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [], ["code that is not Python"]
    actions: list[Action] = []
    left_out: list[str] = []
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        call = statement.value if isinstance(statement, ast.Expr) else None
        if not isinstance(call, ast.Call):
            left_out.append("a line that is no call")
            continue
        name = _name(call.func)
        try:
            actions += _actions(name.rpartition(".")[2], Arguments(call))
        except KeyError:
            left_out.append(f"the call {name}")
        except ValueError as error:
            left_out.append(f"the call {name}: {error}")
    return actions, left_out


def _actions(name: str, given: Arguments) -> list[Action]:
    """The actions of one call.

    Raises:
        KeyError: the call is not known.
        ValueError: it lacks what it needs.
    """
    name = name.lower().replace("_", "")
    if name in _NOTHING_DONE:
        return []
    return _CALLS[name](given)


def _click(button: str | None = None, count: int | None = None) -> Callable[[Arguments], list[Action]]:
    def read(given: Arguments) -> list[Action]:
        presses = given.repeats("clicks", 2) if count is None else count
        return [Click(given.place(), button or given.button(4), presses)]

    return read


def _move(given: Arguments) -> list[Action]:
    return [Move(_needed(given.place()))]


def _drag(given: Arguments) -> list[Action]:
    button = given.get("button", 99)
    return [Drag(_needed(given.place()), None, button.lower() if isinstance(button, str) else "left")]


def _scroll(across: bool) -> Callable[[Arguments], list[Action]]:
    def read(given: Arguments) -> list[Action]:
        amount = number(given.get("clicks", 0) if given.get("amount", 99) is None else given.get("amount", 99))
        if not amount:
            raise ValueError("it does not say how far")
        x, y = number(given.get("x", 1)), number(given.get("y", 2))
        at = None if x is None or y is None else (x, y)
        return [Scroll(amount, 0.0, at) if across else Scroll(0.0, amount, at)]

    return read


def _write(given: Arguments) -> list[Action]:
    return [Write("".join(given.words("message", "text")))]


def _press(given: Arguments) -> list[Action]:
    keys = given.words("keys", "key")
    return [Press(keys * given.repeats("presses", 1))]


def _hotkey(given: Arguments) -> list[Action]:
    return [Hotkey(given.words("args", "keys"))]


_CALLS: dict[str, Callable[[Arguments], list[Action]]] = {
    "click": _click(),
    "leftclick": _click("left", 1),
    "doubleclick": _click("left", 2),
    "tripleclick": _click("left", 3),
    "rightclick": _click("right", 1),
    "middleclick": _click("middle", 1),
    "moveto": _move,
    "dragto": _drag,
    "scroll": _scroll(across=False),
    "vscroll": _scroll(across=False),
    "hscroll": _scroll(across=True),
    "write": _write,
    "typewrite": _write,
    "press": _press,
    "hotkey": _hotkey,
}


def _needed(place: Place | None) -> Place:
    if place is None:
        raise ValueError("it names no place")
    return place


def _name(function: ast.expr) -> str:
    try:
        return ast.unparse(function) if isinstance(function, ast.Attribute | ast.Name) else "of an expression"
    except RecursionError:
        return "of a name without an end"


def _literal(node: ast.expr) -> Any:
    """The value of a literal.

    Raises:
        ValueError: it would have to be computed.
    """
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError("an argument is no literal") from error
