"""Plug-ins: what installed packages add by entry points. One is imported when something names it, and not before."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError

T = TypeVar("T")


class PluginError(InputError):
    """A plug-in that is named can't be used: it is not installed, not importable, or not what its group needs."""

    missing: str = ""
    """What no installed package has, as `dmforge.stages:length`; empty where something else is wrong."""


@dataclass(frozen=True, slots=True)
class PluginGroup(Generic[T]):
    """One kind of thing that packages may add to dmforge's own."""

    name: str
    """The group of its entry points: `dmforge.formats`."""
    noun: str
    """What messages call one of them."""
    own: Collection[str]
    """The names that are dmforge's own: no package may give them another meaning."""
    checked: Callable[[str, object], T]
    """Returns the loaded object, of the type that the group needs; else its TypeError says what is wrong with it."""

    def load(self, name: str, where: str) -> T | None:
        """The plug-in of this name; None where the name is dmforge's own."""
        offers = self._offers(name)
        if name in self.own and not offers:
            return None
        if name in self.own:
            message = f"the {self.noun} {name!r} is dmforge's own, and {_packages(offers)} has another of that name"
            raise PluginError(message, where=where, hint=f"uninstall {_packages(offers)}, or have it renamed there")
        if not offers:
            message = f"there is no {self.noun} {name!r}, neither in dmforge nor in an installed package (group {self.name})"
            error = PluginError(
                message, where=where, hint=f"{nearest(name, self.names())} (or install the package that has it)"
            )
            error.missing = f"{self.name}:{name}"
            raise error
        if len(offers) > 1:
            message = f"there are {len(offers)} packages with a {self.noun} {name!r}: {_packages(offers)}"
            raise PluginError(message, where=where, hint="uninstall all but one of them")
        return self._loaded(offers[0], where)

    def load_all(self, where: str) -> Iterator[T | PluginError]:
        """Every plug-in of the group, or the reason why one can't be used: for lists."""
        for name in sorted({offer.name for offer in self._all_offers()}):
            try:
                plugin = self.load(name, where)
            except PluginError as error:
                yield error
            else:
                assert plugin is not None  # an own name is refused, since a package has it
                yield plugin

    def names(self) -> list[str]:
        """All names that would do, dmforge's own and those of packages. Nothing is imported."""
        return [*self.own, *(offer.name for offer in self._all_offers())]

    def _offers(self, name: str) -> list[EntryPoint]:
        return [offer for offer in self._all_offers() if offer.name == name]

    def _all_offers(self) -> Sequence[EntryPoint]:
        return _entry_points_of(self.name, tuple(sys.path))

    def _loaded(self, offer: EntryPoint, where: str) -> T:
        package = _packages([offer])
        try:
            loaded: object = offer.load()
        except Exception as error:  # importing is running foreign code, which raises anything
            reason = f"{type(error).__name__}: {error}"
            message = f"the {self.noun} {offer.name!r} of {package} can't be imported from {offer.value}: {reason}"
            raise PluginError(message, where=where, hint=f"install {package} with all that it needs, or mend it") from error
        try:
            plugin = self.checked(offer.name, loaded)
        except TypeError as error:
            message = f"the {self.noun} {offer.name!r} of {package} can't be used: {offer.value} {error}"
            raise PluginError(message, where=where, hint=f"mend {package}: docs/extending.md shows one of each") from None
        _loaded_plugins[f"{self.name}:{offer.name}"] = package
        return plugin


_loaded_plugins: dict[str, str] = {}


def loaded_plugins() -> Mapping[str, str]:
    """The plug-ins that this process has loaded, as `dmforge.stages:length`, with their packages and versions."""
    return dict(sorted(_loaded_plugins.items()))


@lru_cache
def _entry_points_of(group: str, path: tuple[str, ...]) -> Sequence[EntryPoint]:
    """The entry points of a group on `sys.path`, read once: 20 ms among a hundred packages."""
    del path
    return tuple(entry_points(group=group))


def _packages(offers: Sequence[EntryPoint]) -> str:
    distributions = [offer.dist for offer in offers]
    return " and ".join(sorted(f"{dist.name} {dist.version}" if dist else "an unnamed package" for dist in distributions))
