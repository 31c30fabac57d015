"""Undo and redo over immutable values."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class History(Generic[T]):
    """A line of values, of which one is current; old ones are forgotten from the far end."""

    def __init__(self, value: T, *, depth: int = 20) -> None:
        """Start a history.

        Args:
            value: the first current value.
            depth: how many steps back are kept.
        """
        self._past: list[T] = []
        self._future: list[T] = []
        self._depth = depth
        self.value = value

    @property
    def can_undo(self) -> bool:
        """Whether there is a step back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step forward."""
        return bool(self._future)

    def push(self, value: T) -> None:
        """Make a new value the current one; what was undone before is forgotten."""
        self._past = [*self._past, self.value][-self._depth :]
        self._future = []
        self.value = value

    def undo(self) -> T:
        """Step back if possible; the value that is current then."""
        if self._past:
            self._future.append(self.value)
            self.value = self._past.pop()
        return self.value

    def redo(self) -> T:
        """Take back an undo if possible; the value that is current then."""
        if self._future:
            self._past.append(self.value)
            self.value = self._future.pop()
        return self.value

    def reset(self, value: T) -> None:
        """Start again from a value."""
        self._past, self._future, self.value = [], [], value
