"""The tensors of a Hugging Face checkpoint, of which every one of the encoder has to be used."""

import json

import numpy as np

_FLOATS = ("F64", "F32", "F16", "BF16")


class CheckpointTensors:
    """The tensors of a checkpoint by name, whatever the model around the encoder is called.

    Args:
        folder: `pathlib.Path` of the directory.
        landmarks: str, ends of names of which the checkpoint has exactly one tensor; what stands
            before it, stands before all names of the encoder.

    Raises:
        ImportError: if safetensors is missing.
        FileNotFoundError: if a file is missing.
        ValueError: if there is no such tensor, or more than one.
    """

    def __init__(self, folder, *landmarks):
        safe_open = import_safe_open()
        index = folder / "model.safetensors.index.json"
        if index.exists():
            files = sorted(set(read_json(index)["weight_map"].values()))
        else:
            files = ["model.safetensors"]
        self._files = {}
        for file in files:
            check_exists(folder / file)
            opened = safe_open(folder / file, framework="numpy")
            self._files.update(dict.fromkeys(opened.keys(), opened))
        roots = [x.removesuffix(y) for y in landmarks for x in self._files if x.endswith(y)]
        if len(roots) != 1:
            raise ValueError(
                f"Expected one tensor whose name ends in {' or '.join(landmarks)} in {folder}. "
                f"Received {len(roots)}."
            )
        self._folder = folder
        self._root = roots[0]
        self._read = set()

    def has(self, name):
        """Says whether the encoder has a tensor of that name."""
        return self._root + name in self._files

    def __getitem__(self, name):
        name = self._root + name
        if name not in self._files:
            raise ValueError(
                f"Expected a tensor {name}, as config.json says. The checkpoint has none. Save the "
                "model again with save_pretrained."
            )
        self._read.add(name)
        dtype = self._files[name].get_slice(name).get_dtype()
        if dtype not in _FLOATS:
            raise ValueError(
                f"Expected the tensor {name} in {self._folder} to have a dtype of "
                f"{', '.join(_FLOATS)}. Received: {dtype}. If the checkpoint is quantized, convert "
                "the one that it was made from."
            )
        return np.asarray(self._files[name].get_tensor(name)).astype("float32")

    def of_shape(self, name, *shape):
        """Returns a tensor, float array of that shape.

        Raises:
            ValueError: if it is missing or of another shape.
        """
        tensor = self[name]
        if tensor.shape != shape:
            raise ValueError(
                f"Expected the tensor {self._root}{name} in {self._folder} to have the shape "
                f"{list(shape)}, as config.json says. Received: {list(tensor.shape)}."
            )
        return tensor

    def token_embeddings(self, name, config, features):
        """The table of token embeddings `[vocab_size, features]` of a config, a float array."""
        return self.of_shape(f"{name}.weight", config.integer("vocab_size"), features)

    def dense(self, name, outputs, inputs, has_bias):
        """Kernel `[inputs, outputs]` and, if there is one, bias `[outputs]` of a dense layer."""
        kernel = self.of_shape(f"{name}.weight", outputs, inputs).T
        return (kernel, self.of_shape(f"{name}.bias", outputs)) if has_bias else (kernel,)

    def scale(self, name, features, has_offset):
        """Scale and, if there is one, offset of a normalization, float arrays `[features]`."""
        names = ("weight", "bias") if has_offset else ("weight",)
        return tuple(self.of_shape(f"{name}.{x}", features) for x in names)

    def norm(self, name):
        """Scale and offset; old checkpoints call them gamma and beta."""
        if self.has(f"{name}.gamma"):
            return self[f"{name}.gamma"], self[f"{name}.beta"]
        return self[f"{name}.weight"], self[f"{name}.bias"]

    def refuse_unread(self, *beside_the_point):
        """Refuses a checkpoint whose encoder has tensors that were not read.

        Args:
            *beside_the_point: str, parts of names of tensors that hidden states do not hang on.

        Raises:
            ValueError: if there is one.
        """
        unread = [
            name
            for name in sorted(self._files)
            if name.startswith(self._root)
            and name not in self._read
            and not any(x in name[len(self._root) :] for x in beside_the_point)
        ]
        if unread:
            raise ValueError(
                f"The checkpoint in {self._folder} has {len(unread)} tensors that an encoder as in "
                f"its config.json does not have: {', '.join(unread[:3])}. Either config.json is "
                "not that of this model, or the model has parts that cannot be converted."
            )


def import_safe_open():
    """Imports what reads model.safetensors.

    Returns:
        The class `safetensors.safe_open`.

    Raises:
        ImportError: if safetensors is missing (extra "pretrained").
    """
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise ImportError(
            "Hugging Face checkpoints are read with safetensors: "
            "pip install 'keras_combiner[pretrained]'."
        ) from error
    return safe_open


def read_json(path):
    """Returns the object in a JSON file of a checkpoint, a dict.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if there is something else in it.
    """
    check_exists(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a JSON object.")
    return content


def check_exists(path):
    """Raises a FileNotFoundError if a file of a checkpoint is missing."""
    if not path.exists():
        raise FileNotFoundError(
            f"A Hugging Face checkpoint has config.json and model.safetensors. There is no {path}. "
            "A pytorch_model.bin becomes a model.safetensors when Transformers loads the model "
            "and saves it with save_pretrained."
        )
