"""The order of the rooms: what a file of the package may import."""

import ast
import graphlib
import sys
from pathlib import Path

import keras_combiner

PACKAGE = Path(keras_combiner.__file__).parent
# From the bottom up: a file imports from its own room and from lower floors. Rooms of one floor
# do not know each other. The first floor's are the files that stand in no room.
FLOORS = (
    ("",),
    ("factorizations", "text", "datasets"),
    ("layers", "batches"),
    ("backbones", "tasks", "fake_quantization"),
    ("convert", "export"),
    ("models",),
    ("optimization", "training", "serving", "scoring"),
    ("cli",),
)
# These answer without Keras, so that they start fast and stay small.
WITHOUT_KERAS = {"serving", "scoring", "datasets"}
# The command line imports what a subcommand uses when it runs, and `import keras_combiner` what is
# asked for: `keras-combiner --help` does not wait for TensorFlow.
IMPORT_LATE = {"cli", ""}
CORE = {"keras", "numpy", "tensorflow"}


def modules():
    """`{dotted name: path}` of every file of the package."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def room(module):
    """The folder a module stands in; "" for a file beside the folders.

    >>> room("keras_combiner.cli.main"), room("keras_combiner.version")
    ('cli', '')
    """
    first = module.split(".")[1:2]
    return first[0] if first and (PACKAGE / first[0]).is_dir() else ""


def imports(path, late):
    """Yields `(line, module)` of what a file imports at its top, or, if `late`, in functions."""
    waiting = [(node, False) for node in ast.parse(path.read_text()).body]
    while waiting:
        node, in_function = waiting.pop()
        if in_function == late and isinstance(node, ast.Import):
            yield from ((node.lineno, x.name) for x in node.names)
        elif in_function == late and isinstance(node, ast.ImportFrom):
            for x in node.names:
                whole = f"{node.module}.{x.name}"
                yield node.lineno, whole if whole in MODULES else node.module
        in_function |= isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        waiting += [(child, in_function) for child in ast.iter_child_nodes(node)]


def of_package(path, late):
    """As `imports`, of the package's own modules alone."""
    return [x for x in imports(path, late) if x[1].split(".")[0] == "keras_combiner"]


def packages(module):
    """Packages that a module imports at its top, itself or by way of modules of this package."""
    found, waiting = {module}, [module]
    while waiting:
        new = {x for _, x in imports(MODULES[waiting.pop()], late=False)} - found
        found |= new
        waiting += new & set(MODULES)
    return {x.split(".")[0] for x in found}


def floor(module):
    """How high a module stands."""
    (height,) = [i for i, rooms in enumerate(FLOORS) if room(module) in rooms]
    return height


def test_every_room_has_a_floor():
    rooms = {x.parent.name for x in PACKAGE.glob("*/__init__.py")}
    assert rooms | {""} == {x for rooms in FLOORS for x in rooms}


def test_a_file_imports_its_room_and_lower_ones():
    wrong = [
        f"{path}:{line} imports {other}: {room(other) or 'the package'} is not below "
        f"{room(module) or 'the package'}."
        for module, path in MODULES.items()
        for line, other in of_package(path, late=False)
        if room(other) != room(module) and floor(other) >= floor(module)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_file_imports_itself_by_way_of_others():
    graph = {
        name: {x for _, x in of_package(path, late=False)} - {name}
        for name, path in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # names the circle in its error


def test_only_what_needs_an_extra_is_imported_late():
    wrong = []
    for module, path in MODULES.items():
        for line, other in of_package(path, late=True) if room(module) not in IMPORT_LATE else ():
            if packages(other) <= CORE | set(sys.stdlib_module_names) | {"keras_combiner"}:
                wrong.append(f"{path}:{line} imports {other} in a function: it needs no extra.")
    assert not wrong, "\n".join(wrong)


def test_rooms_that_answer_without_keras():
    for module in (x for x in MODULES if room(x) in WITHOUT_KERAS):
        imported = {x.split(".")[0] for _, x in imports(MODULES[module], late=False)}
        assert "keras" not in imported, module
