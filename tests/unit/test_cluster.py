"""The machines of a training, as TF_CONFIG names them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgewise.spec import InputError
from edgewise.train.cluster import Cluster, read_cluster


def config(cluster: Any, kind: Any = "worker", index: Any = 0) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_none_without_the_variable_or_other_machines() -> None:
    assert read_cluster({}) is None
    assert read_cluster({"TF_CONFIG": " "}) is None
    assert read_cluster(config({"worker": ["a:1"]})) is None


def test_workers_in_order_and_a_chief_before_them() -> None:
    assert read_cluster(config({"worker": ["a:1", "b:2"]}, index=1)) == Cluster(("a:1", "b:2"), 1)
    with_chief = {"chief": ["c:3"], "worker": ["a:1", "b:2"]}
    assert read_cluster(config(with_chief, "chief")) == Cluster(("c:3", "a:1", "b:2"), 0)
    last = read_cluster(config(with_chief, index=1))
    assert last == Cluster(("c:3", "a:1", "b:2"), 2)
    assert last.others == ("c:3", "a:1")


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"TF_CONFIG": "{"}, "Expecting property name"),
        ({"TF_CONFIG": "[" * 100_000}, ""),
        ({"TF_CONFIG": "[]"}, ""),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:2"]}}'}, "'task' is missing"),
        (config({"worker": ["a:1", "b"]}), "is an address as host:port"),
        (config({"worker": ["a:1", 7]}), "is an address as host:port"),
        (config({"worker": ["a:1", "b:2"]}, index=2), "it has no worker 2"),
        (config({"worker": ["a:1", "b:2"]}, index="0"), "it has no worker 0"),
        (config({"worker": ["a:1", "b:2"]}, "ps"), "it has no ps 0"),
        (config({"worker": ["a:1"], "ps": ["b:2"]}), "other machines than 'chief' and 'worker'"),
    ],
)
def test_what_cannot_be_used_is_said(environment: dict[str, str], reason: str) -> None:
    with pytest.raises(InputError) as caught:
        read_cluster(environment)
    assert caught.value.got.startswith("the environment variable TF_CONFIG cannot be used: ")
    assert reason in caught.value.got
    assert '"task": {"type": "worker", "index": 0}' in caught.value.expected
