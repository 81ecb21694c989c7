"""Every balancer's configuration is made from a readable template, whole or not at all."""

import re

import pytest

from bench.balancers import BALANCERS, CONFIGS, Balancer, fill
from bench.failure import BenchError


def test_a_template_keeps_what_is_not_its_own() -> None:
    assert "listen 80; $host ${x} {y} }" == fill("listen {{port}}; $host ${x} {y} }", {"port": 80})


def test_an_unknown_name_in_a_template_is_an_error() -> None:
    with pytest.raises(BenchError, match="unknown value 'prot'"):
        fill("listen {{prot}};", {"port": 80})


@pytest.mark.parametrize("balancer", BALANCERS, ids=lambda balancer: balancer.name)
def test_every_balancer_listens_on_its_port_and_has_the_three_backends(balancer: Balancer) -> None:
    values = {"port": 20001, "directory": "/d"} | {f"backend{number}": 20001 + number for number in (1, 2, 3)}
    text = fill((CONFIGS / (balancer.template or "")).read_text(), values)
    assert {"127.0.0.1:20001", "127.0.0.1:20002", "127.0.0.1:20003", "127.0.0.1:20004"} == set(
        re.findall(r"127\.0\.0\.1:\d+", text)
    )
