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
        plugin_entries = self._offers(name)
        if name in self.own and not plugin_entries:
            return None
        if name in self.own:
            name_clash = f"the {self.noun} {name!r} is dmforge's own, and {_packages(plugin_entries)} has another of that name"
            raise PluginError(name_clash, where=where, hint=f"uninstall {_packages(plugin_entries)}, or have it renamed there")
        if not plugin_entries:
            name_clash = f"there is no {self.noun} {name!r}, neither in dmforge nor in an installed package (group {self.name})"
            error = PluginError(
                name_clash, where=where, hint=f"{nearest(name, self.names())} (or install the package that has it)"
            )
            error.missing = f"{self.name}:{name}"
            raise error
        if len(plugin_entries) > 1:
            name_clash = f"there are {len(plugin_entries)} packages with a {self.noun} {name!r}: {_packages(plugin_entries)}"
            raise PluginError(name_clash, where=where, hint="uninstall all but one of them")
        return self._loaded(plugin_entries[0], where)

    def load_all(self, where: str) -> Iterator[T | PluginError]:
        """Every plug-in of the group, or the reason why one can't be used: for lists."""
        for plugin_name in sorted({entry_point.name for entry_point in self._all_offers()}):
            try:
                plugin = self.load(plugin_name, where)
            except PluginError as error:
                yield error
            else:
                assert plugin is not None  # an own name is refused, since a package has it
                yield plugin

    def names(self) -> list[str]:
        """All names that would do, dmforge's own and those of packages. Nothing is imported."""
        return [*self.own, *(entry_point.name for entry_point in self._all_offers())]

    def _offers(self, name: str) -> list[EntryPoint]:
        return [entry_point for entry_point in self._all_offers() if entry_point.name == name]

    def _all_offers(self) -> Sequence[EntryPoint]:
        return _entry_points_of(self.name, tuple(sys.path))

    def _loaded(self, entry_point: EntryPoint, where: str) -> T:
        package_text = _packages([entry_point])
        try:
            loaded_object: object = entry_point.load()
        except Exception as error:  # importing is running foreign code, which raises anything
            reason = f"{type(error).__name__}: {error}"
            message = (
                f"the {self.noun} {entry_point.name!r} of {package_text} can't be imported from {entry_point.value}: {reason}"
            )
            raise PluginError(
                message, where=where, hint=f"install {package_text} with all that it needs, or mend it"
            ) from error
        try:
            plugin = self.checked(entry_point.name, loaded_object)
        except TypeError as error:
            message = f"the {self.noun} {entry_point.name!r} of {package_text} can't be used: {entry_point.value} {error}"
            raise PluginError(message, where=where, hint=f"mend {package_text}: docs/extending.md shows one of each") from None
        _loaded_plugins[f"{self.name}:{entry_point.name}"] = package_text
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


def _packages(plugin_entries: Sequence[EntryPoint]) -> str:
    distributions = [entry_point.dist for entry_point in plugin_entries]
    return " and ".join(
        sorted(
            f"{package_distribution.name} {package_distribution.version}" if package_distribution else "an unnamed package"
            for package_distribution in distributions
        )
    )
