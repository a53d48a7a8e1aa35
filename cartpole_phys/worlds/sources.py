"""Where the policy of a world comes from, so that each of several processes can have its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from cartpole_phys.rollouts.policy import CompiledPolicy, Policy


class HasPolicy(Protocol):
    """Something that makes its policy anew each time it is asked, such as a behaviour.

    It may have a ``batch_policy`` too: the same policy in Python, for worlds that no kernel knows.
    """

    @property
    def policy(self) -> Policy | CompiledPolicy:
        """The policy."""
        ...


PolicySource = Policy | CompiledPolicy | HasPolicy | Callable[[], Policy | CompiledPolicy]


def policy_of(source: PolicySource, in_python: bool = False) -> Policy | CompiledPolicy:
    """The policy of a source: itself, what it makes, or what it returns when called.

    Args:
        source: a policy, a behaviour, or a function of no arguments.
        in_python: whether a ``batch_policy`` is wanted where there is one.
    """
    given: Any = source
    policy: Policy | CompiledPolicy
    if isinstance(given, type):
        policy = given()
    elif isinstance(given, CompiledPolicy) or hasattr(given, "act"):
        policy = given
    elif in_python and hasattr(type(given), "batch_policy"):
        policy = given.batch_policy
    elif hasattr(type(given), "policy"):
        policy = given.policy
    else:
        policy = given()
    return policy
