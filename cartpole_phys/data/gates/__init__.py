"""The gates: each asks one question about a file."""

from cartpole_phys.data.gates.actions import Actions
from cartpole_phys.data.gates.continuity import Continuity
from cartpole_phys.data.gates.finite import Finite
from cartpole_phys.data.gates.flags import Flags
from cartpole_phys.data.gates.hashes import Hashes
from cartpole_phys.data.gates.log_probs import LogProbs
from cartpole_phys.data.gates.metadata import Metadata
from cartpole_phys.data.gates.parts import Parts
from cartpole_phys.data.gates.replay import IndependentReplay, Replay
from cartpole_phys.data.gates.schema import Schema
from cartpole_phys.data.gates.stitching import Stitching
from cartpole_phys.data.gates.tier import Tier
from cartpole_phys.data.gates.verdict import Gate

GATES: tuple[type[Gate], ...] = (
    Schema,
    Flags,
    Continuity,
    Replay,
    Actions,
    Finite,
    LogProbs,
    Hashes,
    Parts,
    Tier,
    Stitching,
    Metadata,
)
INDEPENDENT_GATES = tuple(IndependentReplay if gate is Replay else gate for gate in GATES)
