"""CombinerMaskedLM: which token stood where a mask stands now."""

import keras

from keras_combiner.models.combiner_backbone import check_backbone
from keras_combiner.models.language_model import LanguageModel


@keras.saving.register_keras_serializable(package="keras_combiner")
class CombinerMaskedLM(LanguageModel):
    """Masked language model: logits over the vocabulary at every position.

    A functional `keras.Model` from token ids `[batch, length]`, some of them replaced by a mask
    token, to logits `[batch, length, vocabulary]`. The matrix that makes the logits is the token
    embedding. `fit` takes the ids with masks as `x`, and as `y` the ids that the masks hide, with
    0 wherever nothing is to be predicted.

    Masking: token id 0 is padding. Targets of 0 count neither in the loss nor in its gradient.

    Args:
        backbone: `CombinerBackbone`, not causal.
        **kwargs: `name` and `trainable`.

    Raises:
        TypeError: if `backbone` is no `CombinerBackbone`, or for an argument that there is not.
        ValueError: if the backbone is causal.

    Example:

    >>> import numpy as np
    >>> from keras_combiner.models import CombinerBackbone
    >>> backbone = CombinerBackbone.from_size("tiny", vocabulary_size=50, sequence_length=64)
    >>> model = CombinerMaskedLM(backbone)
    >>> model.compile("adam")
    >>> token_ids = np.random.default_rng(0).integers(5, 50, size=(8, 40))
    >>> hidden = np.random.default_rng(1).random(token_ids.shape) < 0.15
    >>> masked = np.where(hidden, 4, token_ids)  # 4 is this vocabulary's mask
    >>> _ = model.fit(masked, np.where(hidden, token_ids, 0), verbose=0)
    >>> tuple(model(masked).shape)
    (8, 40, 50)

    Reference:
        Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
        Understanding", 2019, https://arxiv.org/abs/1810.04805, section 3.1. Tied weights: Press
        and Wolf, "Using the Output Embedding to Improve Language Models", 2017,
        https://arxiv.org/abs/1608.05859.
    """

    def __init__(self, backbone, **kwargs):
        check_backbone(backbone)
        if backbone.arguments["use_causal_mask"]:
            raise ValueError(
                "A masked language model sees both sides of a mask: build the backbone with "
                "use_causal_mask=False, or take CombinerCausalLM."
            )
        super().__init__(backbone, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """As `keras.Model.compute_loss`; there must be targets."""
        if y is None:
            raise ValueError(
                "A masked language model needs targets: `fit(masked_ids, targets)`, where targets "
                "hold the hidden tokens and 0 elsewhere."
            )
        return super().compute_loss(x, y, y_pred, sample_weight, training)
