"""`evaluate.py white-box`: attacks that know classifier and detector (Schut & Gal, 2020, Table 3; PROTOCOL C14-C17)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from experiments.results.bootstrap import Resampling
from experiments.results.result import Result
from experiments.study.budgets import is_linf
from experiments.study.metrics import WORKING_RATE
from experiments.study.study import Study
from experiments.study.user_modules import name_of
from experiments.white_box.attacker import Attacker, Outcome, Sample
from experiments.white_box.contrasts import contrasts
from experiments.white_box.curves import curve_rows, price_rows, strongest
from experiments.white_box.flags import flags
from experiments.white_box.picture import story
from experiments.white_box.rows import FALLEN, FIELDS, WORST, mean_of, of, row, worst_row
from experiments.white_box.subjects import AFTER, BEFORE, Subject, own_subject, start_of, subjects, twin
from experiments.white_box.suite import Entry, noise, suite, transferred
from experiments.white_box.tables import white_box_tables

KNOWLEDGE: Final = "attacks know classifier and detector with all their weights; untargeted, labels are the true ones"


def white_box(study: Study) -> Result:
    """Return what a suite of attacks that know the detectors makes of them, before and after retraining.

    Args:
        study: Of a run whose detectors are trained. Options: `images`, `steps`, `restarts`, `epsilon`, `trained_on`,
            `detectors`, `seeds`, `suite_seeds`, `curve_images`, `resamples`, and for a user's own `detector` and
            `classifier`.

    Raises:
        FileNotFoundError: If a stage is missing; says which command makes it.
        ValueError: If an option is out of its range, or there are too few calibration images for a threshold.
    """
    plan = _Plan(study)
    attacker = Attacker(study, plan.sample())
    count = min(study.options["curve_images"], len(attacker.sample))
    resampling = Resampling(len(attacker.sample), study.options["resamples"])
    rows: list[dict[str, Any]] = []
    outcomes: list[Outcome] = []
    about: dict[str, str] = {}
    strong: list[tuple[Subject, Entry]] = []
    for subject in study.progress.track(plan.subjects(), description="detectors under attack"):
        found: list[tuple[Entry, Outcome]] = []
        for entry in plan.entries(subject, attacker):
            about[entry.name] = entry.about
            aim = subject.aimed(None if entry.kind == "paper" and subject.learnt else WORKING_RATE)
            found.append((entry, attacker.outcome(subject, entry.name, entry.attack, aim)))
            rows.append(row(found[-1][1], resampling, attacker.sample))
        outcomes += [outcome for _, outcome in found]
        if plan.whole(subject):
            rows.append(worst_row([outcome for entry, outcome in found if entry.kind != "control"], resampling))
        if count and plan.drawn(subject):
            strong.append((subject, strongest(found)))
    curves = list(curve_rows(attacker, strong, plan.epsilon, plan.steps, count))
    prices = list(price_rows(attacker, [each for each, _ in strong], plan.steps, count))
    meta = study.meta() | {
        "knowledge": KNOWLEDGE,
        "fields": FIELDS,
        "epsilon": plan.epsilon,
        "steps": plan.steps,
        "restarts": study.options["restarts"],
        "trained_on": plan.trained_on,
        "attacked_seeds": plan.seeds,
        "suite_seeds": plan.seeds[: study.options["suite_seeds"]],
        "attacked_images": len(attacker.sample),
        "curve_images": count,
        "suite": about,
        "contrasts": contrasts(outcomes, resampling),
        "curves": curves,
        "prices": prices,
    }
    title = f"White-box attacks, {meta['data']}, L-inf {plan.epsilon:g}, {len(attacker.sample)} images"
    return Result(
        protocol=plan.protocol,
        title="White-box attacks on the detectors",
        question="Does a detector still find attacks that know it, and does retraining against them help?",
        finding=_finding(rows, meta),
        meta=meta,
        rows=rows,
        tables=white_box_tables(rows, prices, curves, meta),
        figures={"": story(title, rows, curves)},
        flags=flags(attacker, outcomes, rows, curves, plan.epsilon, plan.training_steps),
    )


class _Plan:
    """Whom to attack with what, from the options and the run."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.settings = study.run.settings
        self.steps: int = _at_least(1, "steps", study.options["steps"])
        self.own: str | None = study.options["detector"]
        self.trained_on = self._trained_on()
        self.epsilon = self._epsilon()
        wanted = study.options["seeds"]
        self.seeds: list[int] = [] if self.own else (self.settings.seeds if wanted is None else wanted)
        twice = len(set(self.seeds)) < len(self.seeds)
        if twice or not set(self.seeds) <= set(self.settings.seeds) or (not self.seeds and not self.own):
            msg = f"seeds must be different ones of the run's {self.settings.seeds}, got {wanted}"
            raise ValueError(msg)
        _at_least(1, "resamples", study.options["resamples"])
        _at_least(0, "curve_images", study.options["curve_images"])
        given = [name for name in ("seeds", "suite_seeds", "detectors") if study.options[name] is not None]
        if self.own and given:
            msg = f"--detector attacks that one only: leave out {', '.join(given)}"
            raise ValueError(msg)
        if study.options["classifier"] is not None and self.own is None:
            msg = "--classifier goes with --detector: a run's own detectors hold their classifier"
            raise ValueError(msg)

    @property
    def protocol(self) -> str:
        """Name of the report's files: a user's own detector gets its own."""
        if self.own is None:
            return "white-box"
        return f"white-box-{name_of(self.own)}"

    @property
    def training_steps(self) -> int | None:
        """Steps of the attack that detectors were retrained against, if the run says."""
        retrain = self.settings.retrain
        return None if retrain is None else getattr(retrain.attack, "steps", 1)

    def whole(self, subject: Subject) -> bool:
        """Return whether a detector meets the whole suite, or the attacks of the paper only."""
        count, seed = self.study.options["suite_seeds"], subject.contender.seed
        return count is None or seed is None or seed in self.seeds[: _at_least(1, "suite_seeds", count)]

    def sample(self) -> Sample:
        """Return the first test images."""
        count = _at_least(1, "images", self.study.options["images"])
        split = self.study.data.split("test")
        part = split.__getitems__(list(range(min(count, len(split)))))
        return Sample(part.images, part.labels)

    def subjects(self) -> list[Subject]:
        """Return the detectors."""
        if self.own is not None:
            return [own_subject(self.study, self.own, self.study.options["classifier"])]
        return subjects(self.study, self.trained_on, self.seeds, self.study.options["detectors"])

    def drawn(self, subject: Subject) -> bool:
        """Return whether a detector has curves and a price: those of the first seed."""
        return subject.contender.seed in {None, *self.seeds[:1]}

    def entries(self, subject: Subject, attacker: Attacker) -> Iterator[Entry]:
        """Yield the attacks on a detector."""
        parts = bool(subject.parts(attacker.sample.images[:1].to(self.study.device)))
        restarts = _at_least(1, "restarts", self.study.options["restarts"])
        every = suite(self.epsilon, self.steps, parts=parts, ours=subject.ours, restarts=restarts)
        if not self.whole(subject):
            yield from (entry for entry in every if entry.kind == "paper")
            return
        yield from every
        other = None if self.own else twin(self.study, subject)
        if other is not None:
            yield transferred(self.epsilon, self.steps, other.model, other.aimed(), parts=parts)
        yield noise(self.epsilon)

    def _trained_on(self) -> str:
        given = self.study.options["trained_on"]
        known = self.settings.train_on
        if given is not None and given not in known:
            msg = f"trained_on must be one of the run's {', '.join(known)}, got {given!r}"
            raise ValueError(msg)
        return given or start_of(self.study.run)

    def _epsilon(self) -> float:
        given = self.study.options["epsilon"]
        attack = self.study.run.attacks().get(self.trained_on)
        if given is None and attack is not None and is_linf(attack):
            return float(attack.epsilon)  # type: ignore[attr-defined]
        if given is None or not 0 < given <= 1:
            msg = f"epsilon must be an L-inf budget above 0 and at most 1, got {given}"
            if given is None:
                msg = f"{self.trained_on} has no L-inf budget to take over: give --epsilon, for example --epsilon 0.1"
            raise ValueError(msg)
        return float(given)


def _at_least(minimum: int, name: str, value: int) -> int:
    if value < minimum:
        msg = f"{name} must be at least {minimum}, got {value}"
        raise ValueError(msg)
    return value


def _finding(rows: Sequence[Mapping[str, Any]], meta: Mapping[str, Any]) -> str:
    """Return who falls, who does not, and what retraining changed."""
    parts = []
    for phase, told in ((BEFORE, "Before retraining"), (AFTER, "After it")):
        names = dict.fromkeys(row["detector"] for row in rows if row["phase"] == phase)
        worst = {name: mean_of(of(rows, name, phase, WORST), "sr_at_5") for name in names}
        known = {name: value for name, value in worst.items() if value is not None}
        if known:
            values = ", ".join(f"{name} {value:.3f}" for name, value in known.items())
            fallen = [name for name, value in known.items() if value >= FALLEN] or ["none"]
            parts.append(f"{told}, worst case of SR@5: {values}; at {FALLEN:g} or above: {', '.join(fallen)}.")
    if not parts:
        return "The classifier gets no image right, so there is nothing to win."
    return f"L-inf budget {meta['epsilon']:g}, {meta['attacked_images']} images. {' '.join(parts)}"
