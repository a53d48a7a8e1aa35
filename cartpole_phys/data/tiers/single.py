"""Tiers of a single policy, defined by the band of its score."""

from __future__ import annotations

import math

from cartpole_phys.data.tiers.base import Tier
from cartpole_phys.policies import behavior as kinds
from cartpole_phys.policies.training.hyperparameters import Selection

TRAINED = kinds.PPO, kinds.SAC
ALL = kinds.HEURISTIC, *TRAINED, kinds.USER_SUPPLIED

UNRATED = Tier(name="unrated", policies=(kinds.USER_SUPPLIED,), default_for=(kinds.USER_SUPPLIED,))
RANDOM = Tier(
    name="random",
    policies=(kinds.RANDOM, kinds.USER_SUPPLIED),
    band=(-5.0, 5.0),
    default_for=(kinds.RANDOM,),
)
WEAK = Tier(name="weak", policies=(kinds.HEURISTIC, kinds.USER_SUPPLIED), band=(10.0, 30.0), target=20.0)
MEDIUM = Tier(
    name="medium",
    policies=ALL,
    band=(40.0, 60.0),
    target=50.0,
    selection=Selection(50.0, close_enough=2.0, low=44.0, high=56.0),
    default_for=(kinds.HEURISTIC, *TRAINED),
)
EXPERT = Tier(
    name="expert",
    policies=ALL,
    band=(95.0, math.inf),
    target=99.0,
    selection=Selection(100.0, close_enough=2.5, low=95.5, high=200.0),
)
