"""The gates: each asks one question about a file."""

from cartpole_phys.data.checks.actions import Actions
from cartpole_phys.data.checks.base import Gate
from cartpole_phys.data.checks.composition import Parts
from cartpole_phys.data.checks.continuity import Continuity
from cartpole_phys.data.checks.finite import Finite
from cartpole_phys.data.checks.flags import Flags
from cartpole_phys.data.checks.hashes import Hashes
from cartpole_phys.data.checks.log_probs import LogProbs
from cartpole_phys.data.checks.metadata import Metadata
from cartpole_phys.data.checks.replay import IndependentReplay, Replay
from cartpole_phys.data.checks.schema import Schema
from cartpole_phys.data.checks.stitching import Stitching
from cartpole_phys.data.checks.tier import Tier

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
