"""Records: configurations, runs, studies, ladders and trials as plain values, and their files."""

from netlet.records.config import ExperimentConfig, RunConfig, find_difference
from netlet.records.evaluation import CalibrationBin, Mistake
from netlet.records.ladder import (
    LADDER,
    PAGE,
    REMARKS,
    Ladder,
    LadderResult,
    Rung,
    load_ladder,
    load_ladder_result,
)
from netlet.records.run import (
    EPOCHS,
    RECORD,
    WEIGHTS,
    Epoch,
    EpochScore,
    Run,
    epoch_lines,
    epochs_from_json,
    find_runs,
    load_run,
    save_run,
    to_json_value,
)
from netlet.records.shipped_studies import (
    find_study,
    holds_records,
    list_studies,
    shipped_studies_folder,
)
from netlet.records.study import (
    STUDY,
    SeedResult,
    Study,
    load_study,
    net_digest,
    save_study,
)
from netlet.records.trials import Trials, read_trials

__all__ = [
    "EPOCHS",
    "LADDER",
    "PAGE",
    "RECORD",
    "REMARKS",
    "STUDY",
    "WEIGHTS",
    "CalibrationBin",
    "Epoch",
    "EpochScore",
    "ExperimentConfig",
    "Ladder",
    "LadderResult",
    "Mistake",
    "Run",
    "RunConfig",
    "Rung",
    "SeedResult",
    "Study",
    "Trials",
    "epoch_lines",
    "epochs_from_json",
    "find_difference",
    "find_runs",
    "find_study",
    "holds_records",
    "list_studies",
    "load_ladder",
    "load_ladder_result",
    "load_run",
    "load_study",
    "net_digest",
    "read_trials",
    "save_run",
    "save_study",
    "shipped_studies_folder",
    "to_json_value",
]
