"""A search for the best options: what may be tried, what Optuna wants tried next, and how it went.

The study lies in the directory of its sweep, as Optuna's own SQLite file: whoever opens it again goes on with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from sedsep.errors import UserError, printable

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution

FILE = "optuna.db"
BEGUN_WITH = "sedsep.begun_with"
"""The study's attribute that says what it searches; another search is another study."""


def space(overrides: Sequence[str], loader: ConfigLoader) -> tuple[dict[str, BaseDistribution], list[str]]:
    """What a search may try of each option, and the overrides that all trials share.

    `choice(a,b)`, `a,b` and `glob(...)` are choices without an order; `range(...)` and `interval(low,high)` are
    numbers, `int(interval(...))` whole ones, and `tag(log,interval(...))` is searched by its logarithm.

    Args:
        overrides: of the command.
        loader: which finds the options that `glob(...)` stands for.

    Raises:
        UserError: nothing to search, or values that cannot be searched as they are given.
    """
    distributions, shared = {}, []
    for override in OverridesParser.create(loader).parse_overrides(list(overrides)):
        key = override.get_key_element()
        if override.is_sweep_override():
            distributions[key] = _distribution(override)
        else:
            shared.append(f"{key}={override.get_value_element_as_str()}")
    if not distributions:
        raise UserError(
            "Nothing is searched: give some option several values, as model=separator,separator_dprnn, or "
            "'scale.separator.training.epochs=range(2,8)'."
        )
    return distributions, shared


def _distribution(override: Override) -> BaseDistribution:
    """What Optuna draws an option's value from."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    tags = value.tags - ({"log"} if isinstance(value, IntervalSweep) else set())
    if tags:
        raise UserError(f"{override.input_line} has the tag {min(tags)}, which means nothing here: leave it out.")
    try:
        if isinstance(value, IntervalSweep):
            ends = [value.start, value.end]
            kind: Any = IntDistribution if all(isinstance(end, int) for end in ends) else FloatDistribution
            return kind(*ends, log="log" in value.tags)
        if isinstance(value, RangeSweep):
            numbers: list[Any] = list(override.sweep_iterator())
            kind = IntDistribution if all(isinstance(number, int) for number in numbers) else FloatDistribution
            return kind(min(numbers), max(numbers), step=abs(value.step) if len(numbers) > 1 else 1)
        return CategoricalDistribution(list(dict.fromkeys(override.sweep_string_iterator())))
    except ValueError as error:
        reason = printable(str(error)).rstrip(".")
        raise UserError(f"{override.input_line} cannot be searched ({reason}): give the lower end first.") from error


class Search:
    """A study of Optuna's, whose trials are the jobs of a sweep, by number.

    A trial is drawn with randomness of its own: it depends on its number and the scores known by then, and not on how
    often the search was stopped.

    Args:
        root: directory of the sweep.
        name: of the study.
        distributions: by option.
        direction: `maximize` or `minimize`.
        seed: of all draws.
        about: what else the search is, in words; with the options it must be the same whenever it goes on.

    Raises:
        UserError: Optuna is not installed, the study is damaged, or it searches something else.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        distributions: Mapping[str, BaseDistribution],
        direction: str,
        seed: int,
        about: Sequence[str],
    ) -> None:
        optuna = library()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._distributions, self._seed = dict(distributions), seed
        begun_with = [*about, direction, *(f"{key}={values}" for key, values in distributions.items())]
        file = root / FILE
        try:
            storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
            self._study = optuna.create_study(
                storage=storage, study_name=name, direction=direction, load_if_exists=True
            )
            before = self._study.user_attrs.get(BEGUN_WITH)
            if before is None:
                self._study.set_user_attr(BEGUN_WITH, begun_with)
        except Exception as error:  # SQLAlchemy's are of many kinds
            why = printable(str(error).splitlines()[0])
            raise UserError(
                f"{file} is no study of Optuna's ({why}): give another hydra.sweeper.study_name."
            ) from error
        if before not in (None, begun_with):
            raise UserError(
                f"The study {name} in {file} searches something else: give the command that it was begun with, or "
                "another study_name."
            )

    def __len__(self) -> int:
        return len(self._study.get_trials(deepcopy=False))

    @property
    def told(self) -> list[int]:
        """Numbers of the trials that are over."""
        return [trial.number for trial in self._study.get_trials(deepcopy=False) if trial.state.is_finished()]

    def open(self) -> dict[int, list[str]]:
        """The trials that are not over: numbers and overrides; one that was stopped while it was drawn is completed."""
        optuna, trials = library(), self._study.get_trials(deepcopy=False)
        left = [trial for trial in trials if not trial.state.is_finished()]
        return {trial.number: self._overrides(optuna.Trial(self._study, trial._trial_id)) for trial in left}

    def ask(self) -> None:
        """One more trial, which is `open` then."""
        draws = np.random.SeedSequence([self._seed, len(self)]).generate_state(1)
        # Of trials that run at once each keeps away from the others.
        self._study.sampler = library().samplers.TPESampler(seed=int(draws[0]), constant_liar=True)
        self._overrides(self._study.ask())

    def tell(self, number: int, value: float | None) -> None:
        """How a trial ended; without a finite number it failed."""
        if value is None or not math.isfinite(value):
            self._study.tell(number, state=library().trial.TrialState.FAIL)
        else:
            self._study.tell(number, value)

    def best(self) -> tuple[int, float] | None:
        """The number of the best trial, and its value; `None` where none has one."""
        if not any(trial.value is not None for trial in self._study.get_trials(deepcopy=False)):
            return None
        return self._study.best_trial.number, self._study.best_value

    def _overrides(self, trial: Trial) -> list[str]:
        """A trial's choice of every option; of one that was chosen before, the same again."""
        return [f"{key}={self._suggested(trial, key)}" for key in self._distributions]

    def _suggested(self, trial: Trial, key: str) -> object:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        match self._distributions[key]:
            case CategoricalDistribution() as values:
                return trial.suggest_categorical(key, values.choices)
            case IntDistribution() as values:
                return trial.suggest_int(key, values.low, values.high, step=values.step, log=values.log)
            case FloatDistribution() as values:
                return trial.suggest_float(key, values.low, values.high, step=values.step, log=values.log)
            case other:
                raise TypeError(f"{other} is no distribution of ours")


def library() -> Any:
    """Optuna.

    Raises:
        UserError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError("hydra/sweeper=optuna needs Optuna: install it with pip install 'sedsep[search]'.") from error
    return optuna
