"""Fit the body to one capture: landmarks first, then the outline and, where there is depth, the measured surface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from likeness.body.corrector import Guess, correct
from likeness.body.depth_pose import DepthPose, read_depth
from likeness.body.fit_cloth import SHARE_SIGMA, Cloth
from likeness.body.fit_floor import add_balance, add_camera_prior, add_floor, floored, upright
from likeness.body.fit_focal import LOG_RATIOS, STEPS, likely, moved_away, refocused
from likeness.body.fit_guess import add_guess, add_joints, state_of, state_of_depth
from likeness.body.fit_hands import with_hands
from likeness.body.fit_loose import retold, without_loose
from likeness.body.fit_observe import Evidence, observe
from likeness.body.fit_overlay import draw_overlay
from likeness.body.fit_pairs import Matcher, fit_points
from likeness.body.fit_points import BETAS, CLOTH, PLACE, POSE, TURN, Posed, State, unknowns
from likeness.body.fit_rounds import DEPTH_LOOK, DEPTH_ROUNDS, PHOTO_LOOK, PHOTO_ROUNDS, Round
from likeness.body.fit_start import limb_pose, place, readings, root_orientation, usual_limbs
from likeness.body.fit_sure import confidence, seen_evidence
from likeness.body.fit_system import System, minimise
from likeness.body.fit_terms import (
    LandmarkTerm,
    add_edge,
    add_front,
    add_near,
    add_overflow,
    add_prior,
    add_surface,
    outside,
)
from likeness.body.landmarks import Landmarks
from likeness.body.model import BodyModel, load_default
from likeness.body.pose_prior import load_prior
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.fit import Fit
from likeness.core.frames import rodrigues
from likeness.core.progress import Report, quiet

__all__ = ["draw_overlay", "fit_body"]

SURFACE_WEIGHT, FRONT_WEIGHT, OVERFLOW_WEIGHT, EDGE_WEIGHT, BALANCE_WEIGHT = 250.0, 60.0, 200.0, 60.0, 6.0
FLOOR_WEIGHT, CAMERA_WEIGHT = 2.0, 1.0
# Left and right are exchanged in a photo only where that lowers the energy by this much: without depth a pose is nearly
# as good seen from behind, and BlazePose is right far more often than not.
SWAP_GAIN, SWAP_GAIN_PHOTO = 8.0, 20.0
# Assumed of a person in a photo, whose size no picture shows.
USUAL_STATURE_M, STATURE_SIGMA_M = 1.72, 0.01
# Below this measured stature the children's shape directions are tried.
CHILD_STATURE_M = 1.5
# Radians by which a joint of a pose that the artist made may turn.
START_SIGMA = 0.25
DAMPING = 0.3
# Landmarks place a body within this of its readings unless its size is quite another.
FAR_OFF_M = 0.3
# Weight of the corrector's guess; and what directions in space and the usual poses still weigh beside it, since it has
# read the former and learnt the latter.
GUESS_WEIGHT, GUESS_SPACE, GUESS_PRIOR = 1.0, 0.3, 0.5
# Weights of the joints and turns that the network reads off depth. Neighbouring joints err together.
JOINTS_WEIGHT, TURNS_WEIGHT = 0.25, 0.25
# Of the usual poses of a limb so many are tried; another one must lower the energy by so much.
LIMB_TRIES, LIMB_GAIN = 2, 3.0


def fit_body(
    capture: Capture,
    model: BodyModel,
    landmarks: Landmarks,
    *,
    report: Report = quiet,
    seed: int = 0,
    start: Fit | None = None,
    hold_pose: bool = False,
    height_m: float | None = None,
) -> Fit:
    """Pose, shape and place of the body in camera space.

    Uses landmarks, the outline and depth where the capture has it; without depth the scale comes from the body's mean
    stature. Limbs that nobody saw keep a usual pose and a low confidence. residuals: landmark_px (median miss of
    BlazePose's points), surface_m (median distance of depth readings from the body and what clothes usually add to it;
    RGB-D only), outline_m (mean overflow out of the mask), stature_m, swapped (1 where BlazePose's left and right were
    exchanged). confidence: see fit_sure.
    Depth may show that the default body's adult is a child: then the fit's betas are of its children (Fit.people).
    model: in SMPL's layout (24 joints) or SMPL-H's (52, the fingers relaxed); the fit's pose has as many joints.
    The focal length of a photo that does not say it is estimated (fit_focal): the fit's camera has it, residuals then
    hold focal_spread, the standard deviation of its logarithm.
    start: a pose to begin with and to stay near, as an artist made it; then nothing is guessed from the landmarks,
    and they may be none. hold_pose: the start's limbs stay as they are, the body's shape, place and turn are fitted.
    height_m: how tall the person is; a photo shows no size, and USUAL_STATURE_M is taken where nobody says.
    Raises LikenessError("body.no_landmarks") where fewer than four body points are seen.
    """
    if start is None:
        fitter, evidence = fitter_for(capture, model, landmarks, report=report, seed=seed, height_m=height_m)
        trial = fitter.best_guess(evidence)
    else:
        fitter = Fitter(capture, model, report, height_m=height_m)
        trial = fitter.given(observe(capture, landmarks, np.random.default_rng(seed)), start)
    held = np.zeros(unknowns(model.betas_count), bool)
    held[POSE] = hold_pose and start is not None
    trial = fitter.refined(trial, fitter.rounds, held)
    if start is None:
        fitter, trial = with_focal(fitter, trial, landmarks)
    fitter, trial = _as_child(fitter, trial, held)
    report(1.0, "Body fitted")
    return fitter.result(trial)


def fitter_for(
    capture: Capture, model: BodyModel, landmarks: Landmarks, *, report: Report, seed: int, height_m: float | None
) -> tuple[Fitter, Evidence]:
    """What fit_body works with where nothing is given. Raises LikenessError("body.no_landmarks")."""
    evidence = observe(capture, landmarks, np.random.default_rng(seed))
    if (evidence.trust[11:] > 0.4).sum() < 4:
        raise LikenessError(
            "body.no_landmarks",
            f"Too little of the person in {capture.name} is visible to fit a body.",
            "Use a picture that shows the person from head to knees or more.",
        )
    # Where there is depth, it knows better than what is usual.
    if evidence.depth is not None:
        seen = read_depth(evidence.depth, capture.mask, capture.camera)
        return Fitter(capture, model, report, seen=seen, height_m=height_m), evidence
    return Fitter(capture, model, report, guess=correct(landmarks, capture.camera), height_m=height_m), evidence


def with_focal(fitter: Fitter, trial: Trial, landmarks: Landmarks) -> tuple[Fitter, Trial]:
    """Fitter and trial with the likeliest focal length, where the photo does not say its own."""
    if fitter.capture.camera_known or trial.evidence.has_depth:
        return fitter, trial
    few = (replace(fitter.rounds[-1], steps=STEPS),)
    tries = []
    for log_ratio in LOG_RATIOS:
        other, moved = fitter.refocused(trial, landmarks, log_ratio)
        tries.append(other.refined(moved, few))
    distances = np.array([fitter.points.posed(each.state).places[0, 2] for each in tries])
    energies = np.array([each.energy for each in tries])
    log_ratio, spread = likely(fitter.capture.camera, energies, distances)
    nearest = int(np.abs(LOG_RATIOS - log_ratio).argmin())
    other, moved = fitter.refocused(trial, landmarks, LOG_RATIOS[nearest])
    there = replace(moved, state=tries[nearest].state)
    other, moved = other.refocused(there, landmarks, log_ratio - LOG_RATIOS[nearest])
    other.focal_spread = spread
    return other, other.refined(moved, other.rounds)


def _as_child(fitter: Fitter, trial: Trial, held: np.ndarray) -> tuple[Fitter, Trial]:
    """The child's body where the measured person is small, the body is ours, and the child's fits better."""
    model = fitter.model
    young = fitter.seen is not None and fitter.seen.child > 0.5
    small = trial.evidence.has_depth and (young or fitter.stature(trial.state.betas) < CHILD_STATURE_M)
    layout = {24: "smpl", 52: "smplh"}.get(len(model.parents))
    if not small or layout is None or model.name != load_default(layout).name:
        return fitter, trial
    smaller_body = load_default(layout, "children", model.betas_count)
    child = Fitter(fitter.capture, smaller_body, fitter.report, "children", seen=fitter.seen)
    if child.model.betas_count != model.betas_count:
        return fitter, trial
    smaller = replace(trial, state=replace(trial.state, betas=np.zeros(model.betas_count)))
    fitted = child.refined(smaller, (*child.look, *child.rounds), held)
    return (child, fitted) if fitted.energy < trial.energy else (fitter, trial)


@dataclass(frozen=True)
class Trial:
    """One reading of the landmarks with its unknowns and energy. near (22, 3): a pose to stay near, or None."""

    name: str
    evidence: Evidence
    state: State
    energy: float = 0.0
    near: np.ndarray | None = None


class Fitter:
    """The stages of one fit."""

    def __init__(
        self,
        capture: Capture,
        model: BodyModel,
        report: Report,
        people: str = "adults",
        *,
        guess: Guess | None = None,
        seen: DepthPose | None = None,
        height_m: float | None = None,
    ) -> None:
        """guess: what the corrector makes of a photo's landmarks. seen: what a network reads off depth. height_m: how
        tall the person is, where known."""
        self.capture = capture
        self.model = model
        self.people = people
        self.guess = guess
        self.seen = seen
        self.sized = capture.depth is None or height_m is not None
        self.height_m = USUAL_STATURE_M if height_m is None else height_m
        self.prior = load_prior()
        self.points = fit_points(model)
        self.cloth = Cloth.over(model, self.points.vertices)
        crown, heel = model.landmark_vertices["crown"], model.landmark_vertices["left_heel"]
        self._template_m = float(model.v_template[crown, 1] - model.v_template[:, 1].min())
        self._stature_m = (model.shapedirs[crown, 1] - model.shapedirs[heel, 1]).astype(np.float64)
        self.report = report
        self.focal_spread: float | None = None
        self._steps = 0
        has_depth = capture.depth is not None
        self.look = DEPTH_LOOK if has_depth else PHOTO_LOOK
        self.rounds = DEPTH_ROUNDS if has_depth else PHOTO_ROUNDS

    def refocused(self, trial: Trial, landmarks: Landmarks, log_ratio: float) -> tuple[Fitter, Trial]:
        """The same picture seen with another focal length, its logarithm changed by so much, and the trial there."""
        camera = refocused(self.capture.camera, log_ratio)
        guess = None if self.guess is None else correct(landmarks, camera)
        other = Fitter(
            replace(self.capture, camera=camera), self.model, self.report, self.people, guess=guess,
            height_m=self.height_m,
        )  # fmt: skip
        state = moved_away(trial.state, self.points.posed(trial.state).places[0], log_ratio)
        state = floored(trial.evidence, self.points.posed(state))
        return other, replace(trial, evidence=replace(trial.evidence, camera=camera), state=state)

    def best_guess(self, evidence: Evidence) -> Trial:
        """The reading of the landmarks that everything together likes best after a short look."""
        if self.guess is not None:
            name, reading = readings(evidence)[self.guess.swapped > 0.5]
            return self.refined(self.learnt(name, reading), self.look)
        trials, whole = [], evidence
        sight = None if self.seen is None else self.first_sight()
        evidence = whole if sight is None or self.seen is None else without_loose(whole, sight, self.seen)
        # Without depth a pose with the limbs of one side exchanged looks as good as the right one.
        meanings = readings(evidence)
        for name, reading in meanings if evidence.has_depth else meanings[:2]:
            rough = self.rough(name, reading)
            trials.append(self.refined(rough, self.look))
        gain = SWAP_GAIN if evidence.has_depth else SWAP_GAIN_PHOTO
        likely = trials[:1]
        if sight is not None:
            likely.append(self.refined(self.shown(meanings, sight), self.look))
        best = min(likely, key=lambda trial: trial.energy)
        best = min([best, *trials[1:]], key=lambda trial: trial.energy + (gain if trial is not best else 0.0))
        best = self.other_limbs(best) if evidence.has_depth else best
        if self.seen is None:
            return best
        # The first body knew nothing of the person's build.
        return replace(best, evidence=retold(best.evidence, whole, self.points.posed(best.state), self.seen))

    def learnt(self, name: str, evidence: Evidence) -> Trial:
        """What the corrector takes the person for, brought to where the landmarks are in the picture."""
        assert self.guess is not None
        term = LandmarkTerm.of(evidence)

        def build(state: State, energy_only: bool) -> System:
            posed = self.points.posed(state)
            system = System(self.model.betas_count, energy_only=energy_only)
            term.image(system, posed, 1.0, 100.0)
            self._standing(system, evidence, posed)
            self._priors(system, posed, 1.0, 2.0)
            return system

        start = floored(evidence, self.points.posed(state_of(self.guess, evidence, self.points)))
        fixed = np.zeros(unknowns(self.model.betas_count), bool)
        return Trial(name, evidence, *minimise(build, start, 8, self._tick("Posing the body"), fixed))

    def shown(self, meanings: list[tuple[str, Evidence]], posed: Posed) -> Trial:
        """What the network reads off depth, with the reading of the landmarks that agrees best."""
        energies = []
        for _, evidence in meanings:
            system = System(self.model.betas_count, energy_only=True)
            LandmarkTerm.of(evidence).image(system, posed)
            energies.append(system.energy)
        return Trial(*meanings[int(np.argmin(energies))], posed.state)

    def first_sight(self) -> Posed:
        """The body that the network reads off depth."""
        assert self.seen is not None

        def build(state: State, energy_only: bool) -> System:
            system = System(self.model.betas_count, energy_only=energy_only)
            self._priors(system, self.points.posed(state), 1.0, 2.0)
            return system

        fixed = np.zeros(unknowns(self.model.betas_count), bool)
        start = state_of_depth(self.seen, self.points)
        return self.points.posed(minimise(build, start, 8, self._tick("Posing the body"), fixed)[0])

    def rough(self, name: str, evidence: Evidence) -> Trial:
        """Root, then pose, by landmarks alone."""
        term = LandmarkTerm.of(evidence)
        root = root_orientation(evidence)
        pose = limb_pose(evidence, root, self.prior.start().numpy()[:22])
        state = State(root, pose, np.zeros(3), np.zeros(self.model.betas_count))
        state = replace(state, translation=place(evidence, self.points.posed(state).marks))
        everywhere = np.zeros(unknowns(self.model.betas_count), bool)
        elsewhere = ~everywhere
        elsewhere[TURN] = elsewhere[PLACE] = False
        stages = ((1.0, 1.0, 400.0, 0.15, elsewhere, 6), (0.5, 3.0, 100.0, 0.1, everywhere, 12),
                  (1.0, 1.0, 16.0, 0.06, everywhere, 10))  # fmt: skip
        energy = 0.0
        for prior, shape, limit, sigma, fixed, steps in stages:

            def build(
                state: State,
                energy_only: bool,
                prior: float = prior,
                shape: float = shape,
                limit: float = limit,
                sigma: float = sigma,
            ) -> System:
                posed = self.points.posed(state)
                system = System(self.model.betas_count, energy_only=energy_only)
                term.image(system, posed, 1.0, limit)
                term.space(system, posed, 1.0, limit)
                term.reading(system, posed, sigma)
                self._standing(system, evidence, posed)
                self._priors(system, posed, prior, shape)
                return system

            state, energy = minimise(build, state, steps, self._tick("Posing the body"), fixed)
        return Trial(name, evidence, self._at_readings(evidence, state), energy)

    def _at_readings(self, evidence: Evidence, state: State) -> State:
        """The state along its line of sight where the readings are: landmarks alone take a child for an adult far off,
        and from there no reading is near enough to pull."""
        seen = (evidence.landmark_depth > 0) & (evidence.trust > 0.5)
        if not evidence.has_depth or seen.sum() < 4:
            return state
        ratio = float(np.median(evidence.landmark_depth[seen] / self.points.posed(state).marks[seen, 2]))
        near = abs(ratio - 1) * float(state.translation[2]) < FAR_OFF_M
        return state if near else replace(state, translation=state.translation * ratio)

    def given(self, evidence: Evidence, start: Fit) -> Trial:
        """A pose that somebody made, of a body with these or other betas."""
        pose = start.pose[:22].astype(np.float64)
        betas = np.zeros(self.model.betas_count)
        shared = min(len(betas), len(start.betas))
        betas[:shared] = start.betas[:shared]
        state = State(rodrigues(pose[0]), pose, start.translation.astype(np.float64), betas)
        return Trial("given", evidence, floored(evidence, self.points.posed(state)), near=pose)

    def refined(self, trial: Trial, rounds: tuple[Round, ...], fixed: np.ndarray | None = None) -> Trial:
        """Everything against outline, depth and landmarks; unknowns in `fixed` (P,) bool stay."""
        matcher = Matcher(self.model, self.points, trial.evidence)
        term = LandmarkTerm.of(trial.evidence)
        state, tick = trial.state, self._tick("Fitting the body to the capture")
        for settings in rounds:
            for _ in range(settings.steps):
                tick()
                system = self._system(trial, term, matcher, self.points.posed(state), settings)
                state = state.moved(system.step(DAMPING, fixed))
        last = self._system(trial, term, matcher, self.points.posed(state), rounds[-1], energy_only=True)
        return replace(trial, state=state, energy=last.energy)

    def other_limbs(self, trial: Trial) -> Trial:
        """Arms and legs may do something else than the landmarks say: try what people usually do with them."""
        matcher, term = Matcher(self.model, self.points, trial.evidence), LandmarkTerm.of(trial.evidence)
        settings = self.look[-1]
        for joints, poses in usual_limbs(self.prior):
            columns = (3 * np.array(joints)[:, None] + np.arange(3)).reshape(-1)
            fixed = np.ones(unknowns(self.model.betas_count), bool)
            fixed[columns] = False
            tries = []
            for limb in poses:
                pose = trial.state.pose.copy()
                pose[list(joints)] = limb
                state = replace(trial.state, pose=pose)
                look = self._system(trial, term, matcher, self.points.posed(state), settings, energy_only=True)
                tries.append(replace(trial, state=state, energy=look.energy))
            best = sorted(tries, key=lambda t: t.energy)[:LIMB_TRIES]
            turned = [self.refined(t, (settings, settings), fixed) for t in best]
            better = min(turned, key=lambda t: t.energy)
            if better.energy < trial.energy - LIMB_GAIN:
                trial = better
        return trial

    def _system(
        self,
        trial: Trial,
        term: LandmarkTerm,
        matcher: Matcher,
        posed: Posed,
        settings: Round,
        *,
        energy_only: bool = False,
    ) -> System:
        system, evidence = System(self.model.betas_count, energy_only=energy_only), trial.evidence
        pairs = matcher.pair(posed, settings.reach)
        term.image(system, posed, settings.landmark)
        term.space(system, posed, settings.landmark * (1.0 if self.guess is None else GUESS_SPACE))
        add_overflow(system, evidence, posed, matcher.spread_rows, OVERFLOW_WEIGHT)
        add_edge(system, evidence, posed, pairs, self.cloth, EDGE_WEIGHT)
        if evidence.has_depth:
            add_surface(system, evidence, posed, pairs, self.cloth, SURFACE_WEIGHT, settings.blur)
            add_front(system, posed, pairs, FRONT_WEIGHT)
        self._standing(system, evidence, posed)
        self._priors(system, posed, settings.prior, settings.shape)
        if trial.near is not None:
            add_near(system, posed, trial.near, START_SIGMA)
        return system

    def _standing(self, system: System, evidence: Evidence, posed: Posed) -> None:
        """A photo does not show whether somebody leans towards it; people whose feet are seen stand on them, level."""
        if not evidence.has_depth:
            seen = float(evidence.trust[[27, 28, 31, 32]].max())
            rows = np.arange(0, len(posed.vertices), 10)
            add_balance(system, evidence, posed, rows, BALANCE_WEIGHT * seen)
            add_floor(system, evidence, posed, FLOOR_WEIGHT)
            add_camera_prior(system, posed.state, CAMERA_WEIGHT)

    def _priors(self, system: System, posed: Posed, prior: float, shape: float) -> None:
        if self.guess is not None:
            add_guess(system, posed, self.guess.pose, self.guess.sigma, GUESS_WEIGHT)
            prior = prior * GUESS_PRIOR
        if self.seen is not None:
            add_joints(system, posed, self.seen, JOINTS_WEIGHT)
            add_guess(system, posed, self.seen.pose, self.seen.sigma_rad, TURNS_WEIGHT)
        add_prior(system, self.prior, posed, prior)
        betas = posed.state.betas
        system.add_some(BETAS, np.eye(len(betas)), betas, shape)
        system.add_some(CLOTH, np.eye(2) / SHARE_SIGMA, (posed.state.cloth - 1) / SHARE_SIGMA, 1.0)
        if self.sized:
            # A picture has no scale: the usual stature decides it, or every limb would haggle over it.
            away = self.stature(betas) - self.height_m
            system.add_some(BETAS, self._stature_m[None] / STATURE_SIGMA_M, np.array([away / STATURE_SIGMA_M]), 1.0)

    def stature(self, betas: np.ndarray) -> float:
        """Metres from heel to crown."""
        return self._template_m + float(self._stature_m @ betas)

    def shape_prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Normal equations (K, K), (K,) of what the last round holds of the betas before anything is seen."""
        matrix = self.rounds[-1].shape * np.eye(len(self._stature_m))
        if not self.sized:
            return matrix, np.zeros(len(matrix))
        row = self._stature_m / STATURE_SIGMA_M
        return matrix + np.outer(row, row), row * (self.height_m - self._template_m) / STATURE_SIGMA_M

    def system(self, trial: Trial) -> System:
        """The normal equations of everything at a trial's state."""
        matcher, term = Matcher(self.model, self.points, trial.evidence), LandmarkTerm.of(trial.evidence)
        return self._system(trial, term, matcher, self.points.posed(trial.state), self.rounds[-1])

    def _tick(self, message: str) -> Callable[[], None]:
        def tick() -> None:
            self._steps += 1
            if self._steps % 4 == 0:
                self.report(min(0.98, self._steps / 150), message)

        return tick

    def _confidence(self, trial: Trial, posed: Posed, matcher: Matcher) -> dict[str, float]:
        seen = seen_evidence(trial.evidence, posed)
        system = self._system(trial, LandmarkTerm.of(seen), matcher, posed, self.rounds[-1])
        return confidence(posed, system, "rgbd" if seen.has_depth else "photo")

    def result(self, trial: Trial) -> Fit:
        """The fit with its figures."""
        if not trial.state.finite():
            raise LikenessError(
                "body.fit_failed",
                f"The body could not be fitted to {self.capture.name}.",
                "Try a picture in which the person is seen whole and apart from others.",
            )
        evidence, posed = trial.evidence, self.points.posed(trial.state)
        matcher = Matcher(self.model, self.points, evidence)
        pairs = matcher.pair(posed, 0.15)
        term = LandmarkTerm.of(evidence)
        miss = term.miss_px(posed)
        overflow, _ = outside(evidence, posed, matcher.spread_rows)
        residuals = {
            "outline_m": float(np.sqrt(np.square(overflow).mean())),
            "stature_m": float(np.ptp(self.model.rest(trial.state.betas)[0][:, 1])),
            "swapped": float(trial.name == "swapped"),
            "energy": trial.energy,
        }
        if self.focal_spread is not None:
            residuals["focal_spread"] = self.focal_spread
        if (evidence.trust > 0).any():
            residuals["landmark_px"] = float(np.median(miss[evidence.trust > 0]))
        if evidence.has_depth:
            apart = (evidence.cloud[pairs.reading] - posed.vertices[pairs.surface]) * posed.normals[pairs.surface]
            miss_sigma, sigma, _ = self.cloth.residual(apart.sum(axis=1), pairs.surface, trial.state.cloth, 0.0)
            residuals["surface_m"] = float(np.median(np.abs(miss_sigma * sigma))) if len(apart) else float("inf")
            residuals["surface_paired"] = len(apart) / len(evidence.cloud)
        fit = Fit(
            pose=trial.state.full_pose(len(self.model.parents)),
            betas=trial.state.betas.astype(np.float32),
            translation=trial.state.translation.astype(np.float32),
            camera=self.capture.camera,
            confidence=self._confidence(trial, posed, matcher),
            residuals=residuals,
            people=self.people,
            # Depth has shown it to whoever read the capture.
            up=None if evidence.has_depth else upright(evidence, trial.state).astype(np.float32),
        )
        # Hands that somebody posed stay as they are.
        return with_hands(fit, self.model, self.capture, evidence, posed=trial.near is not None)
