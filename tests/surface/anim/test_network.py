"""The network: every row builds and learns, the weights matter, and a tiny one learns two shapes by heart."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from anim_shapes import CAPSULE, SPHERE, inputs, targets
from likeness.core.errors import LikenessError
from likeness.surface.anim.config import FULL, PRESETS, SMALL, TINY, AnimConfig, faithful, variants
from likeness.surface.anim.inputs import stacked
from likeness.surface.anim.losses import AnimTargets, LossWeights, anim_losses, field_gradient, sdf_loss
from likeness.surface.anim.network import AnimNet


def net_of(config, seed=0):
    torch.manual_seed(seed)
    return AnimNet(config)


@cache
def pair():
    return stacked([inputs(SPHERE, TINY), inputs(CAPSULE, TINY)])


@cache
def both(count=600):
    made = [targets(SPHERE, 0, count), targets(CAPSULE, 1, count)]
    return AnimTargets(**{k: torch.cat([getattr(m, k) for m in made]) for k in vars(made[0])})


@pytest.mark.parametrize("row", list(variants(TINY)))
def test_every_row_builds_and_steps(row):
    net = net_of(variants(TINY)[row])
    before = {name: value.clone() for name, value in net.named_parameters()}
    terms = anim_losses(net, pair(), both(), LossWeights())
    terms["loss"].backward()
    without = [name for name, value in net.named_parameters() if value.grad is None]
    assert not without, "a part of the network that nothing asks for"
    torch.optim.SGD(net.parameters(), 0.1).step()
    assert torch.isfinite(terms["loss"]) and any(not torch.equal(before[n], v) for n, v in net.named_parameters())


def test_every_loss_reaches_the_weights():
    net = net_of(replace(TINY, color=True))
    weights = LossWeights(sdf=0, depth=0, sign=0, eikonal=1, normal=1, free=1, color=1, slopes=64)
    terms = anim_losses(net, pair(), both(), weights)
    assert set(terms) == {"loss", "sdf", "free", "eikonal", "normal", "color"}
    terms["loss"].backward()
    assert net.head.color.last.weight.grad.abs().sum() > 0
    assert net.head.mlp.last.weight.grad.abs().sum() > 0
    alone = anim_losses(net, pair(), both(), LossWeights(depth=0))
    assert set(alone) == {"loss", "sdf", "sign", "color"}


def test_losses_of_the_truth_are_none():
    truth = torch.linspace(-0.2, 0.2, 101)[None]
    assert sdf_loss(truth.clamp(-0.97 * 0.05, 0.97 * 0.05), truth, 0.05, 4.0) == 0
    off = sdf_loss(truth.clamp(-0.0485, 0.0485) + 0.01, truth, 0.05, 4.0)
    assert off.item() == pytest.approx(1.0, abs=1e-4)
    points = torch.rand(1, 20, 3)
    steps = torch.cat([torch.zeros(1, 3), 0.005 * torch.eye(3)])
    values = (points[:, :, None] + steps).reshape(1, -1, 3) @ torch.tensor([0.5, -2.0, 1.0])
    assert torch.allclose(field_gradient(values), torch.tensor([0.5, -2.0, 1.0]).expand(1, 20, 3), atol=1e-3)


def test_a_state_answers_the_same_alone_in_a_batch_and_again():
    net = net_of(TINY).eval()
    points = both().points
    with torch.no_grad():
        together = net.encode(pair()).distances(points)
    for item, shape in enumerate((SPHERE, CAPSULE)):
        alone = net.encode(inputs(shape, TINY)).sdf(points[item])
        assert (alone - together[item]).abs().max() < 1e-5
        assert torch.equal(alone, net.encode(inputs(shape, TINY)).sdf(points[item]))
    assert together.abs().max() <= TINY.truncation_m


def test_pictures_of_another_size_are_refused():
    with pytest.raises(LikenessError, match="64 pixels"):
        net_of(TINY).encode(inputs(SPHERE, SMALL))


def test_no_body_is_the_same_as_an_empty_one():
    net = net_of(TINY).eval()
    x = inputs(SPHERE, TINY)
    empty = replace(x, body=torch.zeros(1, 2, TINY.image, TINY.image))
    points = both().points[0]
    assert torch.equal(net.encode(x).sdf(points), net.encode(empty).sdf(points))
    full = replace(x, body=torch.where(x.depth > 0, torch.tensor([[[[2.0]], [[2.3]]]]), 0))
    assert not torch.allclose(net.encode(x).sdf(points), net.encode(full).sdf(points))


def test_moving_the_cube_with_the_grid_changes_little_and_geometry_nothing():
    """The capture stays where it is; only the grid's phase moves: distances must not move with it."""
    net = net_of(replace(TINY, vfe=False, hr=True, hull=False)).eval()
    x = inputs(SPHERE, TINY)
    points = both().points[0]
    here = net.encode(x).query(points[None])[0][..., 1:]
    there = net.encode(replace(x, centre=x.centre + 0.01)).query(points[None])[0][..., 1:]
    assert torch.allclose(here, there)


def test_configurations_travel_as_json():
    for config in (*PRESETS.values(), *variants(SMALL).values()):
        assert AnimConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(LikenessError, match="unheard"):
        AnimConfig.from_dict({"unheard": 1})
    with pytest.raises(LikenessError, match="nodes"):
        replace(TINY, nodes=100)
    assert not any(
        getattr(faithful(FULL), name) for name in ("hull", "psdf", "visibility", "cloud", "body", "residual")
    )


def test_the_full_network_keeps_its_budget():
    net = AnimNet(FULL)
    assert sum(p.numel() for p in net.parameters()) < 3.0e6, "6 MB in bfloat16 beside the two-layer network's 4"
    assert net.head.mlp.macs() < 0.5e6
    assert FULL.side_m == pytest.approx(2.4)


def test_a_tiny_network_learns_two_shapes_by_heart():
    """On points it has not seen, on all sides: far below what a network says that knows only the measured side."""
    net = net_of(TINY)
    optimizer = torch.optim.AdamW(net.parameters(), 5e-3)
    x = pair()
    for step in range(45):
        drawn = torch.from_numpy(np.random.default_rng(step).integers(0, 600, 300))
        now = AnimTargets(**{k: v[:, drawn] if v.shape[1] == 600 else v for k, v in vars(both()).items()})
        optimizer.zero_grad()
        anim_losses(net, x, now, LossWeights())["loss"].backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] = 5e-3 * (1 - step / 45)
    net.eval()
    for shape, one in ((SPHERE, inputs(SPHERE, TINY)), (CAPSULE, inputs(CAPSULE, TINY))):
        fresh = targets(shape, 99)
        found, truth = net.encode(one).sdf(fresh.points[0]), fresh.sdf[0]
        near = truth.abs() < 0.03
        assert (found - truth)[near].abs().mean() < 0.015
        assert ((found > 0) == (truth > 0))[~near].float().mean() > 0.96
        shuffled = net_of(TINY)
        generator = torch.Generator().manual_seed(1)
        for name, value in net.named_parameters():
            order = torch.randperm(value.numel(), generator=generator)
            dict(shuffled.named_parameters())[name].data = value.data.flatten()[order].view(value.shape)
        wrong = shuffled.eval().encode(one).sdf(fresh.points[0])
        assert (wrong - truth)[near].abs().mean() > 2 * (found - truth)[near].abs().mean()
