"""Does feedback to hidden layers help, and does learning it? With a start that is meta-learned, and without."""

from dataclasses import dataclass

from metaplax.experiments.lindsey2020.base import Arm
from metaplax.experiments.lindsey2020.image_streams import AbstractImages
from metaplax.experiments.presets import load_presets, load_settings, load_tables


@dataclass(frozen=True)
class HiddenFeedback(AbstractImages):
    """Feedback to the hidden layer that is learned, random and frozen, or absent, in the same network.

    Every arm meta-learns the start and the plasticity; the plasticity of the hidden layer has a factor of 0.001, 1 or
    100. In one more arm the output layer alone is plastic.
    """

    name = "lindsey2020/hidden-feedback"
    title = "Does learned feedback to a hidden layer help where the start is meta-learned?"
    order = "iid"
    settings = load_settings(__file__, "arms.toml", Arm, "hidden")
    labels = load_tables(__file__, "labels.toml", "hidden")
    compared = tuple(
        (f"{one}_{factor}", f"{other}_{factor}" if other != "output_only" else other)
        for one, other in (("learned", "frozen"), ("learned", "none"), ("frozen", "none"), ("learned", "output_only"))
        for factor in ("low", "one", "high")
    )
    presets = load_presets(__file__, "hidden-feedback")

    tuned_for: str = "quick"


@dataclass(frozen=True)
class FreshStart(AbstractImages):
    """All weights are drawn anew in every stream, so that two hidden layers must learn within it.

    Only feedback and plasticity are meta-learned, or a learning rate per layer for backprop, (direct) feedback
    alignment, and gradient descent in the output layer alone.
    """

    name = "lindsey2020/fresh-start"
    title = "Learned feedback where hidden layers must learn within the stream"
    order = "iid"
    settings = load_settings(__file__, "arms.toml", Arm, "fresh")
    labels = load_tables(__file__, "labels.toml", "fresh")
    compared = (
        ("flp", "frozen"), ("flp", "none"), ("flp_error", "frozen"), ("flp_error", "none"), ("flp_error", "dfa"),
        ("flp_error", "output_only_error"), ("none", "output_only"), ("bp", "flp_error"),
    )  # fmt: skip
    presets = load_presets(__file__, "fresh-start")

    tuned_for: str = "quick"
