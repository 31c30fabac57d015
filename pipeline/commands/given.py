"""Options whose default is somebody else's: a preset's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")


def with_given(config: Config, **options: Any) -> Config:
    """A frozen dataclass with those of the options that were given; None was not."""
    return replace(config, **{name: value for name, value in options.items() if value is not None})
