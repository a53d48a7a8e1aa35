"""Policy networks in rollout kernels: one compiled function, called by its address.

A kernel that calls another by name inlines a copy of its code, which is optimized again: some seconds for
each integrator, even for rollouts without a network. Therefore rollout kernels take the address of this
function's machine code as an argument.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import typeof, types
from numba.extending import intrinsic

from cartpole_phys.kernels import layout as m
from cartpole_phys.kernels.action_distributions import act_in_blocks
from cartpole_phys.kernels.mlp import CATEGORICAL, NO_NETWORK, Network
from cartpole_phys.numeric.compiled import DISABLED, kernel
from cartpole_phys.numeric.philox import ACTION, normal, uniforms
from cartpole_phys.utils.typing import FloatArray, Matrix, Observations

ROWS, NUMBERS = types.float32[:, ::1], types.float32[::1]
SIGNATURE = types.void(  # of ``act_columns``
    types.float64[:, ::1], typeof(NO_NETWORK), ROWS, NUMBERS, NUMBERS, NUMBERS
)


@kernel
def act_columns(
    memory: FloatArray,
    network: Network,
    observations: Observations,
    actions: Matrix,
    raw_actions: Matrix,
    log_probs: Matrix,
) -> None:
    """Write actions, raw actions and log-probabilities, each (n,), for the memory's n columns.

    The noise is keyed by key, episode and step. An action is one number.
    """
    keys, counters = memory.view(np.uint64)[m.KEY], memory.view(np.int64)
    episodes, elapsed = counters[m.EPISODE], counters[m.ELAPSED]
    noise = np.zeros((len(observations), 1))
    if not network.deterministic:
        for i in range(len(observations)):
            first, second, _, _ = uniforms(keys[i], episodes[i], elapsed[i], ACTION)
            noise[i, 0] = first if network.distribution == CATEGORICAL else normal(first, second)
    shape = len(observations), 1
    act_in_blocks(
        network, observations, noise, actions.reshape(shape), raw_actions.reshape(shape), log_probs
    )  # (n,) -> (n, 1)


def network_address() -> int:
    """The address of the machine code of ``act_columns`` in this process, compiled on first use."""
    if DISABLED:
        return 0
    function: Any = act_columns
    compiled = function.get_compile_result(SIGNATURE)
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name))


def _call(
    typing_context: Any,
    address: Any,
    memory: Any,
    network: Any,
    observations: Any,
    actions: Any,
    raw_actions: Any,
    log_probs: Any,
) -> Any:
    """Type signature and code generator of the call; other argument types are a compile error."""
    if (memory, network, observations, actions, raw_actions, log_probs) != SIGNATURE.args:
        return None

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = context.get_value_type(types.FunctionType(SIGNATURE).ftype)
        builder.call(builder.inttoptr(values[0], pointer), values[1:])
        return context.get_dummy_value()

    return types.void(address, *SIGNATURE.args), generate


def _call_python(_: int, *arguments: Any) -> None:
    act_columns(*arguments)


# With ``network_address()`` and the arguments of ``act_columns``.
call_network: Any = _call_python if DISABLED else intrinsic(_call)
