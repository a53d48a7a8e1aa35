from collections.abc import Callable

import pytest
import torch
from test_dt_support import CONTEXT, make_spaces, random_batch
from torch import Tensor

import dt.decision
from cartpole_phys.errors import InputError
from dt.baselines import BehaviorCloning, CloningConfig
from dt.decision import LAST_STATE_TOKEN, STATE_TOKENS, DecisionConfig, DecisionTransformer
from dt.gpt import TransformerConfig, causal_mask
from dt.heads import ActionHead
from dt.windows import Batch

CONFIGS = [
    TransformerConfig(layers=3, heads=1, width=16),
    TransformerConfig(layers=2, heads=4, width=16, norm="post", activation="gelu"),
]


def make_model(continuous: bool, config: TransformerConfig = CONFIGS[0]) -> DecisionTransformer:
    torch.manual_seed(0)
    return DecisionTransformer(DecisionConfig(CONTEXT, config), make_spaces(continuous)).eval()


def predictions(model: DecisionTransformer, batch: Batch) -> Tensor:
    out: Tensor = model.head(model.features(batch))
    return out.detach()


def replaced(original: Tensor, other: Tensor, steps: slice) -> Tensor:
    changed = original.clone()
    changed[:, steps] = other[:, steps]
    return changed


def sees_the_future(model: DecisionTransformer, continuous: bool, padding: int) -> bool:
    """Whether a prediction depends on its own action, or on anything after it."""
    batch, other = random_batch(continuous, padding=padding), random_batch(continuous, seed=1)
    before = predictions(model, batch)
    for step in range(padding, CONTEXT):
        later, action = slice(step + 1, None), slice(step, None)
        changed = Batch(
            replaced(batch.observations, other.observations, later),
            replaced(batch.actions, 1 - batch.actions, action),
            replaced(batch.returns_to_go, other.returns_to_go, later),
            replaced(batch.timesteps, other.timesteps, later),
            batch.valid,
        )
        past = slice(padding, step + 1)
        if not torch.equal(predictions(model, changed)[:, past], before[:, past]):
            return True
    return False


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("continuous", [True, False])
@pytest.mark.parametrize("config", CONFIGS)
def test_predictions_are_causal_to_the_last_bit(
    config: TransformerConfig, continuous: bool, padding: int
) -> None:
    assert not sees_the_future(make_model(continuous, config), continuous, padding)


def shifted_mask(valid: Tensor) -> Tensor:
    """The mistake of one token: each query also sees the key after it."""
    mask = causal_mask(valid)
    return mask | torch.roll(mask, -1, dims=2)


@pytest.mark.parametrize(
    "mask", [shifted_mask, lambda valid: torch.ones_like(causal_mask(valid))], ids=["one ahead", "all"]
)
def test_the_causality_check_finds_a_planted_leak(
    mask: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dt.decision, "causal_mask", mask)
    assert sees_the_future(make_model(True), True, padding=0)


@pytest.mark.parametrize("continuous", [True, False])
@pytest.mark.parametrize("config", CONFIGS)
def test_each_prediction_depends_on_everything_before_it(config: TransformerConfig, continuous: bool) -> None:
    model, batch, other = (
        make_model(continuous, config),
        random_batch(continuous),
        random_batch(continuous, seed=1),
    )
    before, first = predictions(model, batch), slice(0, 1)
    for name in ("observations", "returns_to_go", "timesteps", "actions"):
        new = 1 - batch.actions if name == "actions" else getattr(other, name)
        changed = batch._replace(**{name: replaced(getattr(batch, name), new, first)})
        assert (predictions(model, changed)[:, -1] != before[:, -1]).any(), name


@pytest.mark.parametrize("config", CONFIGS)
def test_padding_has_no_influence(config: TransformerConfig) -> None:
    model, padding = make_model(True, config), 2
    batch, other = random_batch(True, padding=padding), random_batch(True, seed=1)
    values = (replaced(a, b, slice(0, padding)) for a, b in zip(batch[:4], other[:4], strict=True))
    changed = Batch._make((*values, batch.valid))
    assert torch.equal(predictions(model, batch)[:, padding:], predictions(model, changed)[:, padding:])
    assert torch.equal(model.loss(batch), model.loss(changed))
    cropped = Batch(*(field[:, padding:] for field in batch))
    torch.testing.assert_close(
        predictions(model, batch)[:, padding:], predictions(model, cropped), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("config", CONFIGS)
def test_reading_some_tokens_equals_reading_all(config: TransformerConfig) -> None:
    model, batch = make_model(True, config), random_batch(True)
    every = model.features(batch, slice(None))
    assert every.shape[1] == 3 * CONTEXT - 1
    for read in (STATE_TOKENS, LAST_STATE_TOKEN):
        torch.testing.assert_close(model.features(batch, read), every[:, read], atol=1e-6, rtol=0)
    torch.testing.assert_close(model.act(batch), torch.tanh(model.head.linear(every[:, -1])))


def test_the_head_counts_only_valid_steps() -> None:
    features, valid = torch.randn(2, 3, 8), torch.tensor([[0, 1, 1], [0, 0, 1]], dtype=torch.bool)
    head = ActionHead(8, make_spaces(True))
    actions = torch.rand(2, 3, 1)
    expected = ((head(features) - actions) ** 2)[valid].mean()
    torch.testing.assert_close(head.loss(features, actions, valid), expected)
    head = ActionHead(8, make_spaces(False))
    choices = torch.randint(2, (2, 3))
    likelihoods = head(features).softmax(dim=2).gather(2, choices[:, :, None])[:, :, 0]
    torch.testing.assert_close(head.loss(features, choices, valid), -likelihoods[valid].log().mean())
    assert torch.equal(head.decide(features[:, 0]), head(features[:, 0]).argmax(dim=1))


def test_cloning_sees_only_the_current_observation() -> None:
    model = BehaviorCloning(CloningConfig((8, 8)), make_spaces(True))
    batch, other = random_batch(True), random_batch(True, seed=1)
    history = other._replace(observations=replaced(other.observations, batch.observations, slice(-1, None)))
    assert torch.equal(model.act(batch), model.act(history))
    assert model.act(batch).shape == (3, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": 0},
        {"width": 10, "heads": 4},
        {"activation": "tanh"},
        {"norm": "none"},
        {"dropout": 1.0},
    ],
)
def test_impossible_transformers_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        TransformerConfig(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        DecisionConfig(context=0)
    with pytest.raises(InputError):
        CloningConfig(hidden=())
