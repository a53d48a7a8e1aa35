"""Methods that learn what actions are worth, by TorchRL's loss modules, for continuous actions."""
