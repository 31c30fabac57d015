"""Options whose default is somebody else's: a preset's."""

from __future__ import annotations

from dataclasses import Field, replace
from typing import Any, ClassVar, Protocol, TypeVar


class Dataclass(Protocol):
    """Any dataclass, as type checkers know them."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Config = TypeVar("Config", bound=Dataclass)


def with_given(config: Config, **options: Any) -> Config:
    """A frozen dataclass with those of the options that were given; None was not."""
    return replace(config, **{name: value for name, value in options.items() if value is not None})
