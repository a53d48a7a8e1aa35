"""Multi-step prediction errors equal those of autoregressive rollouts."""

import pytest
import torch

from benchmarks.studies.horizons import action_errors, observation_errors
from dt.data.token_windows import step_numbers
from dt.data.windows import Windows
from dt.models.decision import DecisionTransformer
from dt.models.trajectory import TrajectoryTransformer
from dt.training.loop import train
from tests.support.small_models import make_episodes, small_recipe

KNOWN, STARTS = 2, torch.tensor([0, 30, 200])
STEPS = 5  # of a window, the models' context


def test_observations_are_predicted_autoregressively() -> None:
    episodes = make_episodes()
    checkpoint = train(episodes, small_recipe("trajectory"))
    model = checkpoint.model.eval()
    assert isinstance(model, TrajectoryTransformer)
    numbers = torch.as_tensor(step_numbers(episodes, checkpoint.normalization, 0.99, None)).float()
    windows = numbers[STARTS[:, None] + torch.arange(STEPS)]  # (3, K, P)
    found, still = observation_errors(model, windows, KNOWN)
    assert found.shape == still.shape == (3, STEPS - KNOWN - 1)
    apart = windows[:, KNOWN + 1 :, :4] - windows[:, KNOWN, None, :4]
    torch.testing.assert_close(still, apart.square().mean(dim=2).sqrt())
    # reference computation, one window at a time
    for window, errors in zip(windows, found, strict=True):
        tokens = model.discretizer.encode(window)
        tokens[KNOWN, 5:] = 0
        tokens[KNOWN + 1 :] = 0
        for step in range(KNOWN, STEPS - 1):
            tokens[step, 4] = model.discretizer.encode(window)[step, 4]
            for place in range(step * 7 + 5, step * 7 + 11):
                flat = tokens.flatten()
                flat[place] = model.logits(flat[None, :place])[0, -1, :-1].argmax()
                tokens = flat.view(-1, 7)
            error = model.discretizer.decode(tokens[step + 1, :4]) - window[step + 1, :4]
            assert errors[step - KNOWN] == pytest.approx(error.square().mean().sqrt().item(), abs=1e-6)


def test_errors_given_recorded_actions_match_the_full_window() -> None:
    episodes = make_episodes()
    checkpoint = train(episodes, small_recipe())
    model = checkpoint.model.eval()
    assert isinstance(model, DecisionTransformer)
    windows = Windows(episodes, checkpoint.normalization, STEPS, torch.device("cpu")).at(STARTS)
    own, recorded = action_errors(model, windows, KNOWN)
    with torch.no_grad():
        missed = (model.head(model.features(windows)) - windows.actions)[:, KNOWN:]
    at_once = missed.square().mean(dim=2).sqrt()
    torch.testing.assert_close(recorded, at_once, atol=1e-6, rtol=1e-5)
    assert torch.equal(own[:, 0], recorded[:, 0])
    assert not torch.equal(own[:, 1:], recorded[:, 1:])
