"""A small study, and a real MLflow store for runs that nobody trained."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import mlflow
import pytest
from small_study import CHOICES

from sedsep.studies import Row, Study, dots
from sedsep.studies.study import Cell, settings_name

PUBLISHED = """# from nowhere
experiment,column,mean,deviation
plain,tagger,13.00,0.10
plain,oracle,15.00,
other,tagger,12.50,0.05
"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Two rows with two columns."""
    folder = tmp_path / "project" / "experiments" / "small"
    folder.mkdir(parents=True)
    (folder / "published.csv").write_text(PUBLISHED)
    columns = {source: f"ca_sdri/{source}" for source in ("tagger", "oracle")}
    rows = (Row("plain", "Plain", columns), Row("other", "Other", columns, also=("label_accuracy/tagger",)))
    return Study(folder, "Small", "CA-SDRi, dB", "source of labels", rows, "plain", dots)


@pytest.fixture
def cells_of(study: Study) -> Callable[..., list[Cell]]:
    """The cells of seeds 0 and 1 with overrides."""

    def make(*overrides: str) -> list[Cell]:
        return [Cell(row, seed, overrides, settings_name(CHOICES, overrides)) for row in study.rows for seed in (0, 1)]

    return make


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes a second to make one."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{file}").create_experiment("sedsep")
    return file


@pytest.fixture
def uri(empty_store: Path, tmp_path: Path) -> str:
    """A store with an experiment and no run."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def track(uri: str) -> Callable[..., str]:
    """Puts a run into the store, each newer than the one before."""
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("sedsep")
    assert experiment is not None
    clock = iter(range(1_700_000_000_000, 1_800_000_000_000, 1000))

    def put(row: str, seed: int, metrics: Mapping[str, float], status: str = "FINISHED", **tags: str) -> str:
        code = {"mlflow.source.git.commit": "c0ffee", "sedsep.uncommitted_changes": "true"}
        tags = {"row": row, "seed": str(seed), "settings": "mini-synthetic", **code, **tags}
        now = next(clock)
        run = client.create_run(experiment.experiment_id, now, tags).info.run_id
        for name, value in metrics.items():
            client.log_metric(run, name, value)
        client.set_terminated(run, status, now + 500)
        return run

    return put
