"""What plans and summaries learn: declared, checked, and moved by training."""

import numpy as np
import pytest

from keras_combiner.factorizations import AxialRowmajor, Fixed, Mixture, Routing
from tests import reference


def test_missing_or_misshapen_weights_are_refused():
    heads = reference.heads((1, 2, 9, 4))
    message = "`weights` must hold tensors of these shapes: .*centroids.*"
    with pytest.raises(ValueError, match=message + "'centroids' missing"):
        Routing(4).attend(*heads)
    with pytest.raises(ValueError, match=message + r"'centroids' of shape \(2, 3, 5\)"):
        Routing(4).attend(*heads, weights={"centroids": np.zeros((2, 3, 5))})
    with pytest.raises(ValueError, match="'deepset_query_kernel' missing"):
        Fixed(4).attend(*heads, summary="deepset")
    with pytest.raises(ValueError, match="needs `inputs`, the tensor"):
        AxialRowmajor(4, "proj").attend(*heads)


def test_a_mixture_keeps_the_weights_of_its_members_apart():
    plan = Mixture([Routing(4, num_clusters=2), "fixed", Routing(4, num_clusters=3)])
    specs = plan.weight_specs(1, 4, 4, None)
    shapes = {name: spec.shape for name, spec in specs.items()}
    assert shapes == {"member_0_centroids": (1, 2, 4), "member_2_centroids": (1, 3, 4)}
    weights = {name: np.zeros(shape) for name, shape in shapes.items()}
    assert plan.member_weights(weights, 2)["centroids"].shape == (1, 3, 4)
    _, key, _ = reference.heads((1, 1, 9, 4))
    assert set(plan.updated_weights(weights, key)) == set(shapes)


def test_centroids_move_towards_the_unit_norm_keys_of_their_cluster():
    centroids = np.array([[[1, 0], [0, 1], [-1, 0]]], "float32")  # one head
    key = np.array([[[[3, 0], [0.6, 0.8], [0, 5], [0, 9]]]], "float32")
    mask = np.array([[True, True, True, False]])
    weights = {"centroids": centroids}
    moved = Routing(2, num_clusters=3, decay=0.5).updated_weights(weights, key, mask)["centroids"]
    expected = [[[1, 0], [0.15, 0.95], [-1, 0]]]  # the second: half of itself, half of the mean
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_a_token_of_another_cluster_is_not_direct():
    # Keys of two kinds in turns: each kind is a group, though its members are never neighbors.
    key = np.array([[[[1, 0], [0, 1]] * 4]], "float32")
    query, _, value = reference.heads((1, 1, 8, 2))
    query = np.zeros_like(query)
    weights = {"centroids": np.eye(2, dtype="float32")[np.newaxis]}
    plan = Routing(4, num_clusters=2)
    outputs = plan.attend(query, key, value, summary="none", weights=weights)
    for kind in (0, 1):
        mean = value[0, 0, kind::2].mean(0)
        np.testing.assert_allclose(np.array(outputs)[0, 0, kind::2], [mean] * 4, atol=1e-6)


def test_padding_anywhere_does_not_matter_to_routing():
    query, key, value = reference.heads((1, 2, 11, 4))
    weights = {"centroids": np.random.default_rng(1).normal(size=(2, 3, 4)).astype("float32")}
    plan = Routing(4, num_clusters=3)
    for causal in (False, True):
        expected = plan.attend(query, key, value, causal=causal, weights=weights)
        for before, after in ((3, 0), (0, 5), (7, 2)):
            wider = [(0, 0), (0, 0), (before, after), (0, 0)]
            padded = [np.pad(x, wider, constant_values=9) for x in (query, key, value)]
            mask = np.pad(np.ones((1, 11), bool), [(0, 0), (before, after)])
            outputs = plan.attend(*padded, mask, causal=causal, weights=weights)
            outputs = np.array(outputs)[:, :, before : before + 11]
            np.testing.assert_allclose(outputs, expected, atol=1e-5)
