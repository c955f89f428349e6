"""Concepts: the words below all label spaces, from which the relation of any two of them follows.

A concept is something a pixel can show and that at least one label space tells apart, such as `curb` or
`tree_trunk`. A label space says for each class which concepts it covers; two classes can share a pixel when
they share a concept. The idea and most of the words are those of universal taxonomies (Bevandić et al.,
"Weakly supervised training of universal visual concepts", arXiv 2212.10340); the off-road words are ours.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from .errors import InputError, near_names
from .files import read_toml, table_of, texts_of
from .label_space import LabelSpace
from .lookup import CATALOGUE


@dataclass(frozen=True)
class Vocabulary:
    """The concepts and the groups that name several of them at once.

    Attributes:
        concepts: in the order of the file.
        groups: a group's name -> its members, concepts or other groups.
    """

    concepts: tuple[str, ...]
    groups: MappingProxyType[str, tuple[str, ...]]

    @classmethod
    @cache
    def load(cls) -> "Vocabulary":
        """The vocabulary of the catalogue.

        Raises:
            InputError: its file is damaged.
        """
        path = CATALOGUE / "concepts.toml"
        table = read_toml(path)
        groups = {
            name: texts_of(members, f"{path}: group {name!r}")
            for name, members in table_of(table["groups"], f"{path}: groups").items()
        }
        vocabulary = cls(texts_of(table["concepts"], f"{path}: concepts"), MappingProxyType(groups))
        for name in groups:
            vocabulary.leaves([name])
        return vocabulary

    def leaves(self, names: Iterable[str]) -> frozenset[str]:
        """The concepts that names of concepts and groups stand for.

        Raises:
            InputError: an unknown name; the near ones are listed.
        """
        found: set[str] = set()
        for name in names:
            if name in self.groups:
                found |= self.leaves(self.groups[name])
            elif name in self.concepts:
                found.add(name)
            else:
                known = [*self.concepts, *self.groups]
                raise InputError(f"no concept {name!r}; {near_names(name, known)}")
        return frozenset(found)

    def of_classes(self, space: LabelSpace) -> tuple[frozenset[str], ...]:
        """What each class of a label space covers, in dense order.

        Raises:
            InputError: a class without concepts or with an unknown one.
        """
        try:
            covered = tuple(self.leaves(c.concepts) for c in space.classes)
        except InputError as error:
            raise InputError(f"label space {space.name!r}: {error}") from error
        bare = [c.name for c, leaves in zip(space.classes, covered, strict=True) if not leaves]
        if bare:
            raise InputError(
                f"label space {space.name!r} says no concepts for {bare[0]!r}"
                + (f" and {len(bare) - 1} more classes" if len(bare) > 1 else "")
                + ': add concepts = ["road"] or the like to each class'
            )
        return covered
