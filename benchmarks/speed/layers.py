"""The layers that the speed benchmark compares, each as programs that run it once.

All have the same width and heads, biases everywhere, and four projections.
"""

import contextlib
import math
import tempfile

FLOOR = "projections"
FULL = "MultiHeadAttention"
WINDOW = "MultiHeadAttention, window"
BIGBIRD = "BigBird (Model Garden)"
PERFORMER = "Performer (Model Garden)"
LONGFORMER = "Longformer (Transformers)"
TORCH_BIGBIRD = "BigBird (Transformers)"
DIRECT = "fixed, one block"  # the plan that is plain softmax attention, for short inputs
LONGEST_DIRECT = 512
PADDED = ", padded"  # the same layer with a mask, under which the last tenth does not count
PLANS = (
    "fixed",
    "logsparse",
    "axial_vertical",
    "axial_horizontal",
    "axial_rowmajor",
    "mixture",
    "routing",
    "hierarchical",
)
# Refinements of the plan "fixed", all with the default blocks of 64 and parts of 16, at any length.
REFINED = {
    "fixed, neighbors": {"neighbors": 1},
    "fixed, opened": {"opened": 8},
    "fixed, opened by 16 queries": {"opened": 8, "choice_size": 16},
    "fixed, opened by every query": {"opened": 8, "choice_size": 1},
    "fixed, gaussian": {"summary": "gaussian"},
}
OPENED = ("fixed, neighbors", "fixed, opened")  # as many logits a query as each other
# What Combiner is measured against in every mode that it runs in.
CORE = (FLOOR, FULL, "fixed")
NAMES = {
    "graph": (
        *(FLOOR, FULL, FULL + PADDED, WINDOW, BIGBIRD, PERFORMER),
        *("fixed", "fixed" + PADDED, DIRECT, DIRECT + PADDED),
        *PLANS[1:],
        *REFINED,
    ),
    "torch": (LONGFORMER, TORCH_BIGBIRD),
    "xla": CORE,
    "jax": CORE,
    "litert": (*CORE, *OPENED),
    "litert_int8": CORE,
}
# Modes that share a process, and what Keras runs on in it.
BACKENDS = {
    "graph": "tensorflow",
    "xla": "tensorflow",
    "litert": "tensorflow",
    "litert_int8": "tensorflow",
    "jax": "jax",
    "torch": "torch",
}
FORWARD, BOTH = "forward", "forward and backward"
DEFAULT_BLOCK_SIZE = 64  # the layer's
WINDOW_SIZE = 128  # of Keras's own sliding window


def block_size(length, plan="fixed"):
    """Returns the power of two at or above the square root of the length, at least the default, 64.

    "hierarchical" keeps the default: its parts grow with their distance, not its blocks.
    """
    if plan == "hierarchical":
        return DEFAULT_BLOCK_SIZE
    return max(DEFAULT_BLOCK_SIZE, 2 ** math.ceil(math.log2(length) / 2))


def programs(name, mode, length, settings):
    """Returns functions without arguments that run a layer once and wait for it, by pass.

    Args:
        name: str, one of `NAMES[mode]`.
        mode: str, one of `NAMES`.
        length: int, number of tokens.
        settings: dict with "width", "num_heads", "batch_size", "threads".
    """
    makers = {"jax": _jax_programs, "torch": _torch_programs}
    if mode.startswith("litert"):
        return _litert_programs(name, mode, length, settings)
    if mode in makers:
        return makers[mode](name, length, settings)
    return _tensorflow_programs(name, length, settings, jit_compile=mode == "xla")


def array(shape, seed=0):
    """Returns standard normal float32: a layer's input (seed 0), or the gradient of an output."""
    import numpy as np

    return np.random.default_rng(seed).normal(size=tuple(shape)).astype("float32")


def input_shape(length, settings):
    """Returns `[batch, length, width]`."""
    return settings["batch_size"], length, settings["width"]


def padding_mask(length, settings):
    """Returns bool `[batch, length]`, false in the last tenth."""
    import numpy as np

    return np.repeat(np.arange(length)[None] < length * 9 // 10, settings["batch_size"], axis=0)


def keras_layer(name, length, settings):
    """Returns `(layer, call)`: a built Keras layer, and a function of `[batch, length, width]`."""
    import keras

    from keras_combiner.factorizations import Fixed, Mixture
    from keras_combiner.layers import CombinerAttention

    heads = settings["num_heads"], settings["width"] // settings["num_heads"]
    shape = input_shape(length, settings)
    kind = name.removesuffix(PADDED)
    size = block_size(length, kind)
    if kind == DIRECT:
        if length > LONGEST_DIRECT:
            raise ValueError(
                f"`{DIRECT}` is for lengths up to {LONGEST_DIRECT}. Received: {length}."
            )
        layer = CombinerAttention(*heads, factorization="fixed", block_size=length)
    elif kind in REFINED:
        options = dict(REFINED[kind])
        summary = options.pop("summary", "variational")
        plan = Fixed(DEFAULT_BLOCK_SIZE, 16, **options)
        layer = CombinerAttention(*heads, factorization=plan, summary=summary)
    elif kind in PLANS:
        plan = Mixture(["fixed", "axial_rowmajor"], size) if kind == "mixture" else kind
        layer = CombinerAttention(*heads, factorization=plan, block_size=size)
    else:
        window = WINDOW_SIZE if kind == WINDOW else None
        layer = keras.layers.MultiHeadAttention(*heads, sliding_window=window)
    layer.build(shape, shape)
    if name.endswith(PADDED):
        mask = padding_mask(length, settings)
        return layer, lambda x: layer(x, x, query_mask=mask, value_mask=mask)
    if kind != FLOOR:
        return layer, lambda x: layer(x, x)
    # Each projection gives an output of its own: nothing is added, and no gradient is shared.
    return layer, lambda x: (
        layer.query_dense(x),
        layer.key_dense(x),
        layer.output_dense(layer.value_dense(x)),
    )


def model_garden_layer(name, length, settings):
    """Like `keras_layer`, for the layers of Model Garden, with the sizes that it gives them."""
    with naming_extra("tf-models-official", "peers"):
        from official.nlp.modeling.layers import bigbird_attention, kernel_attention
    import tensorflow as tf

    mask = tf.ones((settings["batch_size"], length))
    heads = {
        "num_heads": settings["num_heads"],
        "key_dim": settings["width"] // settings["num_heads"],
    }
    if name == PERFORMER:
        layer = kernel_attention.KernelAttention(**heads)
        masks = mask
    else:
        layer = bigbird_attention.BigBirdAttention(max_rand_mask_length=length, seed=0, **heads)
        masks = bigbird_attention.BigBirdMasks(block_size=64)(mask, mask)
    x = array(input_shape(length, settings))
    layer(x, x, attention_mask=masks)  # builds it
    return layer, lambda x: layer(x, x, attention_mask=masks)


def _tensorflow_programs(name, length, settings, jit_compile):
    import tensorflow as tf

    make = model_garden_layer if name in (BIGBIRD, PERFORMER) else keras_layer
    layer, call = make(name, length, settings)
    x = tf.constant(array(input_shape(length, settings)))
    options = {"jit_compile": jit_compile, "autograph": False}

    @tf.function(**options)
    def forward(x):
        return call(x)

    @tf.function(**options)
    def both(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = call(x)
        return tape.gradient(outputs, [x, *layer.trainable_weights], upstream)

    upstream = _upstream(forward(x))
    return {FORWARD: lambda: forward(x), BOTH: lambda: both(x, upstream)}


def _upstream(outputs):
    """Returns a gradient for every output, all of them different."""
    import keras

    if not isinstance(outputs, tuple):
        return keras.ops.convert_to_tensor(array(outputs.shape, seed=1))
    arrays = (array(x.shape, seed) for seed, x in enumerate(outputs, 1))
    return tuple(keras.ops.convert_to_tensor(x) for x in arrays)


def _jax_programs(name, length, settings):
    import jax

    layer, call = keras_layer(name, length, settings)
    x = jax.numpy.asarray(array(input_shape(length, settings)))

    @jax.jit
    def forward(weights, x):
        return _stateless(layer, call, weights, x)

    @jax.jit
    def both(weights, x, upstream):
        _, pull_back = jax.vjp(forward, weights, x)
        return pull_back(upstream)

    weights = [weight.value for weight in layer.trainable_variables]
    upstream = _upstream(forward(weights, x))
    return {
        FORWARD: lambda: jax.block_until_ready(forward(weights, x)),
        BOTH: lambda: jax.block_until_ready(both(weights, x, upstream)),
    }


def _stateless(layer, call, weights, x):
    """`call(x)` with `weights` in place of the layer's own."""
    import keras

    mapping = list(zip(layer.trainable_variables, weights, strict=True))
    with keras.StatelessScope(state_mapping=mapping):
        return call(x)


def _torch_programs(name, length, settings):
    import torch

    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    module, call = _transformers_module(name, length, settings)
    shape = input_shape(length, settings)
    x, upstream = (torch.from_numpy(array(shape, seed)) for seed in range(2))
    inputs = x.clone().requires_grad_()

    def forward():
        module.eval()
        with torch.inference_mode():
            return call(x)

    def both():
        module.train()
        module.zero_grad()
        inputs.grad = None
        call(inputs).backward(upstream)

    return {FORWARD: forward, BOTH: both}


def _transformers_module(name, length, settings):
    """Returns `(module, call)` of a self-attention of Transformers and the projection after it."""
    with naming_extra("transformers", "peers"):
        import transformers
        from transformers.models.big_bird import modeling_big_bird
        from transformers.models.longformer import modeling_longformer
    import torch

    width, batch_size = settings["width"], settings["batch_size"]
    sizes = {
        "hidden_size": width,
        "num_attention_heads": settings["num_heads"],
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": max(length, 4096),
    }
    if name == LONGFORMER:
        config = transformers.LongformerConfig(attention_window=[512], **sizes)
        attention = modeling_longformer.LongformerSelfAttention(config, layer_id=0)
        arguments = {
            "attention_mask": torch.zeros(batch_size, length),  # zero: attended locally
            "is_index_masked": torch.zeros(batch_size, length, dtype=torch.bool),
            "is_index_global_attn": torch.zeros(batch_size, length, dtype=torch.bool),
            "is_global_attn": False,
        }
    else:
        config = transformers.BigBirdConfig(use_bias=True, **sizes)
        attention = modeling_big_bird.BigBirdBlockSparseAttention(config, seed=0)
        masks = modeling_big_bird.BigBirdModel.create_masks_for_block_sparse_attn(
            torch.ones(batch_size, length), config.block_size
        )
        blocked, band, from_mask, to_mask = masks
        arguments = {
            "band_mask": band,
            "from_mask": from_mask,
            "to_mask": to_mask,
            "from_blocked_mask": blocked,
            "to_blocked_mask": blocked,
        }
    module = torch.nn.ModuleDict({"attention": attention, "output": torch.nn.Linear(width, width)})
    return module, lambda x: module["output"](module["attention"](x, **arguments)[0])


def _litert_programs(name, mode, length, settings):
    import tensorflow as tf

    from keras_combiner.export.runners import quiet

    with naming_extra("ai-edge-litert", "litert"):
        from ai_edge_litert.interpreter import Interpreter

    layer, call = keras_layer(name, length, settings)
    x = array(input_shape(length, settings))
    module = tf.Module()
    module.weights = [weight.value for weight in layer.variables]  # a SavedModel asks for them
    function = tf.function(call, input_signature=[tf.TensorSpec(x.shape, tf.float32)])
    with tempfile.TemporaryDirectory() as directory, quiet():
        tf.saved_model.save(module, directory, function.get_concrete_function())
        converter = tf.lite.TFLiteConverter.from_saved_model(directory)
        if mode == "litert_int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        content = converter.convert()
        interpreter = Interpreter(model_content=content, num_threads=settings["threads"])
        interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    return {FORWARD: interpreter.invoke}


@contextlib.contextmanager
def naming_extra(package, extra):
    """Turns a missing package into an ImportError that says what to install."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"This layer comes from {package}. Install it with: pip install keras_combiner[{extra}]"
        ) from error
