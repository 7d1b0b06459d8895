"""Students in plain values, as settings and cards hold them."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from obd_jax.settings import choice, one_of
from obd_jax.students.kernel import KernelRecipe
from obd_jax.students.lazy_mlp import LazyMLPRecipe
from obd_jax.students.mlp import MLPRecipe
from obd_jax.students.random_features import RandomFeaturesRecipe
from obd_jax.types import Student


class Recipe(Protocol):
    """A frozen record of plain values that makes a student; it refuses values out of range."""

    def student(self, action_size: int) -> Student:
        """The student that follows this recipe."""

    def __hash__(self) -> int: ...


RECIPES: dict[str, type[Any]] = {
    "kernel": KernelRecipe,
    "mlp": MLPRecipe,
    "random_features": RandomFeaturesRecipe,
    "lazy_mlp": LazyMLPRecipe,
}


@dataclasses.dataclass(frozen=True)
class StudentSettings:
    """A student: its recipe, chosen by name."""

    recipe: Any = choice(RECIPES, "kernel", f"Student: one of {', '.join(RECIPES)}.", "student")


def to_card(recipe: Recipe) -> dict[str, Any]:
    """Name and fields, for a distilled set's card."""
    name = next(name for name, kind in RECIPES.items() if isinstance(recipe, kind))
    return {"name": name, **dataclasses.asdict(recipe)}  # type: ignore[call-overload]


def from_card(card: Mapping[str, Any]) -> Recipe:
    """The recipe of a card; fields that it lacks have their defaults.

    Raises:
        InvalidInputError: an unknown name, or a value that cannot be used.
    """
    one_of("student", card.get("name"), RECIPES)
    kind = RECIPES[card["name"]]
    values = {
        entry.name: card[entry.name] for entry in dataclasses.fields(kind) if entry.name in card
    }
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
