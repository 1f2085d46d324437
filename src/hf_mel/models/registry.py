"""Registries: choices by name, to which users add their own."""

import copy
import difflib
import inspect
from functools import partial
from typing import Any


class Registry(dict):
    """
    Choices of one argument by name. A choice of one's own is registered under a new name, or passed as an object.

    Args:
        argument (`str`):
            The argument which takes a choice, for error messages.
        choices (`dict[str, Any]`):
            The choices of the package.

    Example:

    ```python
    >>> from hf_mel.models.registry import Registry

    >>> REWARDS = Registry("reward", {"zero": lambda negatives, gold: negatives * 0})
    >>> REWARDS.register("one", lambda negatives, gold: negatives * 0 + 1)
    >>> sorted(REWARDS)
    ['one', 'zero']
    ```
    """

    def __init__(self, argument: str, choices: dict[str, Any]):
        super().__init__(choices)
        self.argument = argument

    def register(self, name: str, choice: Any) -> None:
        """
        Add a choice. To register the same object under the same name again changes nothing.

        Raises:
            `ValueError`: the name is taken by another choice.
        """
        if self.get(name, choice) is not choice:
            raise ValueError(f"`{self.argument}={name!r}` is registered already: choose another name.")
        self[name] = choice

    def find(self, choice: Any) -> Any:
        """The choice of this name; anything but a string is a choice itself."""
        if not isinstance(choice, str):
            return choice
        self.check(choice)
        return self[choice]

    def build(self, choice: Any, options: dict[str, Any] | None = None) -> Any:
        """
        An object for one training. A class is built with the options, a function is called with them, and an instance is
        copied, so that two trainings share no state.

        Raises:
            `ValueError`: an unknown name, or options for an instance.
            `TypeError`: options that the class or the function does not take.
        """
        found, options = self.find(choice), options or {}
        if not isinstance(found, (type, partial)) and not inspect.isroutine(found):
            if options:
                raise ValueError(
                    f"`{self.argument}_kwargs` has no effect on an instance, here of {type(found).__name__}: pass the class, or "
                    "leave it out."
                )
            return copy.deepcopy(found)
        try:
            if options:
                inspect.signature(found).bind_partial(**options)
            return found(**options) if isinstance(found, type) else partial(found, **options) if options else found
        except TypeError as error:
            raise TypeError(f"`{self.argument}_kwargs` of {choice!r}: {error}") from error

    def check(self, name: str) -> None:
        """
        Raises:
            `ValueError`: nothing is registered under this name; the message names the nearest that is.
        """
        if name not in self:
            near = difflib.get_close_matches(name, self, n=1, cutoff=0)[0]
            raise ValueError(
                f"`{self.argument}` must be one of {', '.join(self)}, got {name!r} (did you mean {near!r}?). One of your own "
                "has to be registered before: import the module that registers it."
            )
