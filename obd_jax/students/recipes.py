"""Students in plain values, as configurations and cards hold them."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from obd_jax.students.kernel import KernelRecipe
from obd_jax.students.lazy_mlp import LazyMLPRecipe
from obd_jax.students.mlp import MLPRecipe
from obd_jax.students.random_features import RandomFeaturesRecipe
from obd_jax.types import InvalidInputError, Student


class Recipe(Protocol):
    """A frozen record of plain values that makes a student."""

    def student(self, action_size: int) -> Student:
        """The student that follows this recipe; refuses values out of range."""

    def __hash__(self) -> int: ...


RECIPES: dict[str, type[Any]] = {
    "kernel": KernelRecipe,
    "mlp": MLPRecipe,
    "random_features": RandomFeaturesRecipe,
    "lazy_mlp": LazyMLPRecipe,
}


def fields_of(name: str) -> tuple[str, ...]:
    """What a recipe is made of; an unknown name raises InvalidInputError with the known ones."""
    if name not in RECIPES:
        raise InvalidInputError(f"unknown student {name!r}; known: {', '.join(RECIPES)}")
    return tuple(entry.name for entry in dataclasses.fields(RECIPES[name]))


def make_recipe(name: str, values: Mapping[str, Any]) -> Recipe:
    """Recipe by name from its fields; lists, which JSON has instead of tuples, are accepted.

    Raises:
        InvalidInputError: unknown name, or a field is missing.
    """
    names = fields_of(name)
    missing = [entry for entry in names if entry not in values]
    if missing:
        raise InvalidInputError(f"the {name} student lacks {', '.join(missing)}")
    plain = {entry: values[entry] for entry in names}
    return RECIPES[name](**{k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()})


def to_card(recipe: Recipe) -> dict[str, Any]:
    """Name and fields, for a distilled set's card."""
    name = next(name for name, kind in RECIPES.items() if isinstance(recipe, kind))
    return {"name": name, **dataclasses.asdict(recipe)}  # type: ignore[call-overload]
