"""Fit the body to one capture: landmarks first, then the outline and, where there is depth, the measured surface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from likeness.body.fit_observe import Evidence, depth_at, depth_cloud, observe
from likeness.body.fit_overlay import draw_overlay
from likeness.body.fit_solver import Matcher, Pairs, Unknowns, minimise, spread_vertices
from likeness.body.fit_start import limb_pose, place, root_orientation
from likeness.body.fit_terms import LandmarkTerm, OutlineTerm, balance, robust, surface_term
from likeness.body.landmarks import Landmarks
from likeness.body.lbs import BodyTensors, with_landmarks
from likeness.body.model import BodyModel
from likeness.body.pose_prior import PosePrior, load_prior
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.fit import Fit
from likeness.core.frames import rodrigues
from likeness.core.hands import BODY_JOINTS
from likeness.core.progress import Report, quiet

__all__ = ["draw_overlay", "fit_body"]

# BlazePose's points of every limb, for its confidence.
LIMB_POINTS = {
    "head": list(range(11)),
    "torso": [11, 12, 23, 24],
    "left_arm": [11, 13, 15, 19],
    "right_arm": [12, 14, 16, 20],
    "left_leg": [23, 25, 27, 31],
    "right_leg": [24, 26, 28, 32],
}
# The rounds of the second half: how far readings may lie from the body (m), weight of landmarks, prior and shape.
DEPTH_ROUNDS = (
    (0.20, 1.0, 1.0, 1.0),
    (0.15, 0.8, 0.8, 1.0),
    (0.12, 0.6, 0.6, 1.0),
    (0.10, 0.5, 0.5, 1.0),
    (0.08, 0.4, 0.4, 1.0),
    (0.08, 0.4, 0.4, 1.0),
)
PHOTO_ROUNDS = ((0.2, 1.0, 1.0, 2.0), (0.15, 1.0, 0.8, 1.5), (0.12, 1.0, 0.7, 1.5), (0.1, 1.0, 0.7, 1.5))
STEPS_A_ROUND = 14
SURFACE_WEIGHT, FRONT_WEIGHT, OUTLINE_WEIGHT, EDGE_WEIGHT = 250.0, 60.0, 200.0, 60.0
BALANCE_WEIGHT = 6.0
# Left and right are exchanged only where that lowers the energy by this much: BlazePose is right far more often than
# not (on 12 training people from all sides it always was), and without depth a pose is nearly as good seen from behind.
SWAP_GAIN, SWAP_GAIN_PHOTO = 8.0, 20.0
# Assumed of a person in a photo, whose size no picture shows.
USUAL_STATURE_M = 1.72
# A joint deeper than this behind the measured surface is hidden by another limb.
HIDDEN_M = 0.16


# Radians by which a joint of a pose that the artist made may turn.
START_SIGMA = 0.25


def fit_body(
    capture: Capture,
    model: BodyModel,
    landmarks: Landmarks,
    *,
    report: Report = quiet,
    seed: int = 0,
    start: Fit | None = None,
    hold_pose: bool = False,
) -> Fit:
    """Pose, shape and place of the body in camera space.

    Uses landmarks, the outline and depth where the capture has it; without depth the scale comes from the body's mean
    stature. Limbs that nobody saw keep a usual pose and a low confidence. residuals: landmark_px (median miss of
    BlazePose's points), surface_m (median distance of depth readings to the body; RGB-D only), outline_m (mean overflow
    out of the mask), stature_m, swapped (1 where BlazePose's left and right were exchanged).
    model: in SMPL's layout (24 joints) or SMPL-H's (52, the fingers relaxed); the fit's pose has as many joints.
    start: a pose to begin with and to stay near, as an artist made it; then nothing is guessed from the landmarks,
    and they may be none. hold_pose: the start's limbs stay as they are, the body's shape, place and turn are fitted.
    Raises LikenessError("body.no_landmarks") where fewer than four body points are seen.
    """
    evidence = observe(capture, landmarks, np.random.default_rng(seed))
    if start is None and (evidence.trust[11:] > 0.4).sum() < 4:
        raise LikenessError(
            "body.no_landmarks",
            f"Too little of the person in {capture.name} is visible to fit a body.",
            "Use a picture that shows the person from head to knees or more.",
        )
    fitter = _Fitter(capture, model, report)
    if start is not None:
        chosen = fitter.given(evidence, start)
        fitter.refine(chosen, hold_pose)
        report(1.0, "Body fitted")
        return fitter.result(chosen, False)
    first = fitter.rough(evidence)
    other = fitter.rough(evidence.swapped())
    swapped = other.energy < first.energy - (SWAP_GAIN if evidence.has_depth else SWAP_GAIN_PHOTO)
    chosen = other if swapped else first
    fitter.refine(chosen)
    report(1.0, "Body fitted")
    return fitter.result(chosen, swapped)


@dataclass
class _Trial:
    """One reading of the landmarks with its unknowns and energy."""

    evidence: Evidence
    unknowns: Unknowns
    term: LandmarkTerm
    energy: float
    near: torch.Tensor | None = None


class _Fitter:
    """The stages of one fit."""

    def __init__(self, capture: Capture, model: BodyModel, report: Report) -> None:
        self.capture = capture
        self.model = model
        self.prior: PosePrior = load_prior()
        self.depth = depth_cloud(capture)[2] if capture.depth is not None else None
        spread = spread_vertices(model, 500)
        self.light = BodyTensors.from_model(model, with_landmarks(model, spread))
        self._spread_rows = torch.from_numpy(np.searchsorted(self.light.vertices, spread))
        crown, heel = model.landmark_vertices["crown"], model.landmark_vertices["left_heel"]
        self._template_m = float(model.v_template[crown, 1] - model.v_template[:, 1].min())
        self._stature_m = torch.from_numpy(np.ascontiguousarray(model.shapedirs[crown, 1] - model.shapedirs[heel, 1]))
        self._report = report
        self._evaluations = 0

    def rough(self, evidence: Evidence) -> _Trial:
        """Root, then pose, by landmarks alone."""
        term = LandmarkTerm.of(evidence)
        betas = torch.zeros(self.model.betas_count)
        root = root_orientation(evidence)
        pose = torch.from_numpy(limb_pose(evidence, root, self.prior.start().numpy()))
        unknowns = Unknowns.at(root, pose, betas)
        with torch.no_grad():
            vertices, joints = unknowns.body(self.light)
            points = self.light.blazepose_points(vertices[None], joints[None])[0].double().numpy()
        unknowns.move_to(place(evidence, points))

        def energy(prior: float, shape: float, limit: float, sigma: float) -> Callable[[], torch.Tensor]:
            def value() -> torch.Tensor:
                vertices, joints = unknowns.body(self.light)
                points = self.light.blazepose_points(vertices[None], joints[None])[0]
                total = (
                    term.image(points, limit) + term.space(points, unknowns.pitch, limit) + term.reading(points, sigma)
                )
                if not evidence.has_depth:
                    total = total + self._standing(evidence, vertices[spread], joints)
                return total + self._priors(unknowns, prior, shape)

            return value

        spread = self._spread_rows
        where = [unknowns.turn_steps, unknowns.place_steps]
        everything = unknowns.leaves
        minimise(energy(1.0, 1.0, 400.0, 0.15), where, 15, self._tick("Placing the body"))
        minimise(energy(0.5, 3.0, 100.0, 0.1), everything, 40, self._tick("Posing the body"))
        last = minimise(energy(1.0, 1.0, 16.0, 0.06), everything, 25, self._tick("Posing the body"))
        return _Trial(evidence, unknowns, term, last)

    def given(self, evidence: Evidence, start: Fit) -> _Trial:
        """A pose that somebody made, of a body with these or other betas."""
        pose = torch.zeros(24, 3)
        pose[1:BODY_JOINTS] = torch.from_numpy(start.pose[1:BODY_JOINTS])
        betas = torch.zeros(self.model.betas_count)
        shared = min(len(betas), len(start.betas))
        betas[:shared] = torch.from_numpy(start.betas[:shared])
        unknowns = Unknowns.at(rodrigues(start.pose[0].astype(np.float64)), pose, betas)
        unknowns.move_to(start.translation)
        return _Trial(evidence, unknowns, LandmarkTerm.of(evidence), 0.0, near=pose)

    def refine(self, trial: _Trial, hold_pose: bool = False) -> None:
        """Everything (or everything but the limbs' pose) against outline, depth and landmarks."""
        matcher = Matcher(self.model, trial.evidence, self.depth)
        outline = OutlineTerm.of(trial.evidence)
        unknowns = trial.unknowns
        leaves = [leaf for leaf in unknowns.leaves if not (hold_pose and leaf is unknowns.pose_steps)]
        rounds = DEPTH_ROUNDS if trial.evidence.has_depth else PHOTO_ROUNDS
        for reach, landmark, prior, shape in rounds:
            pairs = matcher.pair(trial.unknowns, reach)

            def energy(
                pairs: Pairs = pairs, landmark: float = landmark, prior: float = prior, shape: float = shape
            ) -> torch.Tensor:
                total = self._full_energy(trial, pairs, outline, landmark)
                if trial.near is not None:
                    total = total + 0.5 * ((trial.unknowns.pose - trial.near) / START_SIGMA).square().sum()
                return total + self._priors(trial.unknowns, prior, shape)

            minimise(energy, leaves, STEPS_A_ROUND, self._tick("Fitting the body to the capture"))

    def _full_energy(self, trial: _Trial, pairs: Pairs, outline: OutlineTerm, landmark: float) -> torch.Tensor:
        vertices, joints = trial.unknowns.body(pairs.tensors)
        points = pairs.tensors.blazepose_points(vertices[None], joints[None])[0]
        total = landmark * (trial.term.image(points) + trial.term.space(points, trial.unknowns.pitch))
        spread = vertices[pairs.all_rows]
        total = total + OUTLINE_WEIGHT * outline.overflow(trial.term.project(spread), spread[:, 2], 0.02, 25.0)
        if not trial.evidence.has_depth:
            total = total + self._standing(trial.evidence, spread, joints)
        if len(pairs.edge_rows):
            edge = vertices[pairs.edge_rows]
            metres = (trial.term.project(edge) - pairs.edge_px) * (edge[:, 2:].detach() / outline.focal)
            total = total + EDGE_WEIGHT * 0.5 * robust((metres / 0.03).square().sum(dim=1), 5.0).mean()
        if len(pairs.surface_rows):
            offset = ((pairs.cloud - vertices[pairs.surface_rows]) * pairs.normals).sum(dim=1)
            share = len(pairs.surface_rows) / max(1, len(trial.evidence.cloud))
            term = surface_term(offset, pairs.outward_sigma, 0.01, 12.0, pairs.weight)
            total = total + SURFACE_WEIGHT * share * term
        if len(pairs.front_rows):
            ahead = torch.relu(pairs.front_depth - vertices[pairs.front_rows][:, 2] - 0.01)
            total = total + FRONT_WEIGHT * 0.5 * robust((ahead / 0.02).square(), 25.0).mean()
        return total

    def _standing(self, evidence: Evidence, spread: torch.Tensor, joints: torch.Tensor) -> torch.Tensor:
        """A photo does not show whether somebody leans towards it; people whose feet are seen stand over them."""
        seen = float(evidence.trust[[27, 28, 31, 32]].max())
        return BALANCE_WEIGHT * seen * balance(spread, joints, torch.from_numpy(evidence.up))

    def _priors(self, unknowns: Unknowns, prior: float, shape: float) -> torch.Tensor:
        pose = unknowns.pose
        held = 0.5 * (pose[[13, 14, 20, 21, 15, 12]] / 0.35).square().sum()
        total = prior * (self.prior.energy(pose) + 0.5 * held) + self.prior.limit_energy(pose)
        total = total + shape * 0.5 * unknowns.betas.square().sum()
        if self.depth is None:
            # A picture has no scale: the usual stature decides it, or every limb would haggle over it.
            stature = self._template_m + self._stature_m @ unknowns.betas
            total = total + 0.5 * ((stature - USUAL_STATURE_M) / 0.01).square()
        return total

    def _tick(self, message: str) -> Callable[[], None]:
        def tick() -> None:
            self._evaluations += 1
            if self._evaluations % 10 == 0:
                self._report(min(0.98, self._evaluations / 420), message)

        return tick

    def result(self, trial: _Trial, swapped: bool) -> Fit:
        """The fit with its figures."""
        if not trial.unknowns.finite():
            raise LikenessError(
                "body.fit_failed",
                f"The body could not be fitted to {self.capture.name}.",
                "Try a picture in which the person is seen whole and apart from others.",
            )
        pairs = Matcher(self.model, trial.evidence, self.depth).pair(trial.unknowns, 0.15)
        outline = OutlineTerm.of(trial.evidence)
        with torch.no_grad():
            vertices, joints = trial.unknowns.body(pairs.tensors)
            points = pairs.tensors.blazepose_points(vertices[None], joints[None])[0]
            miss = (trial.term.project(points) - trial.term.uv).norm(dim=1).numpy()
            spread = vertices[pairs.all_rows]
            overflow = outline.overflow(trial.term.project(spread), spread[:, 2], 1.0, 1e9) * 2
            offset = ((pairs.cloud - vertices[pairs.surface_rows]) * pairs.normals).sum(dim=1).abs().numpy()
            rest = trial.unknowns.betas.numpy()
        height = float(np.ptp(self.model.rest(rest)[0][:, 1]))
        residuals = {
            "outline_m": float(overflow.sqrt()),
            "stature_m": height,
            "swapped": float(swapped),
            "energy": trial.energy,
        }
        if (trial.evidence.trust > 0).any():
            residuals["landmark_px"] = float(np.median(miss[trial.evidence.trust > 0]))
        if trial.evidence.has_depth:
            residuals["surface_m"] = float(np.median(offset)) if len(offset) else float("inf")
            residuals["surface_paired"] = len(offset) / len(trial.evidence.cloud)
        sigma_px = 1.0 + 0.04 * outline.focal / float(trial.unknowns.translation.detach()[2])
        trust = trial.evidence.trust * np.where(self._hidden(points.numpy()), 0.4, 1.0)
        confidence = {
            limb: float(np.mean(trust[ids] * np.exp(-0.5 * np.square(miss[ids] / sigma_px))))
            for limb, ids in LIMB_POINTS.items()
        }
        return Fit(
            pose=trial.unknowns.full_pose(len(self.model.parents)),
            betas=trial.unknowns.betas.detach().numpy().copy(),
            translation=trial.unknowns.translation.detach().numpy().copy(),
            camera=self.capture.camera,
            confidence=confidence,
            residuals=residuals,
        )

    def _hidden(self, points: np.ndarray) -> np.ndarray:
        """Which points (N, 3) lie well behind a depth reading, behind another part of the person: (N,) bool."""
        if self.depth is None:
            return np.zeros(len(points), bool)
        reading = depth_at(self.depth, self.capture.camera.project(points))
        return (reading > 0) & (points[:, 2] > reading + HIDDEN_M)
