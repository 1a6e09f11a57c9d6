"""Records: configurations, runs, studies, ladders and trials as plain values, and their files."""

from netlet.records.confidence import CONFIDENCE, Confidence, load_confidence
from netlet.records.config import (
    ExperimentConfig,
    RunConfig,
    describe_changed_recipe,
    find_difference,
)
from netlet.records.evaluation import CalibrationBin, Mistake, frequent_mistakes
from netlet.records.folder_search import find_runs, search_folder
from netlet.records.ladder import (
    LADDER,
    PAGE,
    REMARKS,
    Ladder,
    LadderResult,
    Rung,
    load_ladder,
    load_ladder_result,
    load_rungs,
)
from netlet.records.median_run import locate_weights, median_run, median_seed
from netlet.records.other_results import refuse_other_results
from netlet.records.run import (
    CHECKPOINT_FILE,
    EPOCHS,
    RECORD,
    WEIGHTS,
    Epoch,
    EpochScore,
    Run,
    Stretch,
    describe_unfinished,
    epoch_lines,
    epochs_from_json,
    load_run,
    save_run,
    stretches_from_json,
    to_json_value,
)
from netlet.records.seed_result import SeedResult
from netlet.records.shipped_studies import (
    find_study,
    holds_records,
    list_studies,
    load_runs,
    shipped_studies_folder,
)
from netlet.records.sound_seeds import load_sound_seeds
from netlet.records.study import (
    STUDY,
    Study,
    load_study,
    net_digest,
    save_study,
)
from netlet.records.trials import Trials, read_trials

__all__ = [
    "CHECKPOINT_FILE",
    "CONFIDENCE",
    "EPOCHS",
    "LADDER",
    "PAGE",
    "RECORD",
    "REMARKS",
    "STUDY",
    "WEIGHTS",
    "CalibrationBin",
    "Confidence",
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
    "Stretch",
    "Study",
    "Trials",
    "describe_changed_recipe",
    "describe_unfinished",
    "epoch_lines",
    "epochs_from_json",
    "find_difference",
    "find_runs",
    "find_study",
    "frequent_mistakes",
    "holds_records",
    "list_studies",
    "load_confidence",
    "load_ladder",
    "load_ladder_result",
    "load_run",
    "load_rungs",
    "load_runs",
    "load_sound_seeds",
    "load_study",
    "locate_weights",
    "median_run",
    "median_seed",
    "net_digest",
    "read_trials",
    "refuse_other_results",
    "save_run",
    "save_study",
    "search_folder",
    "shipped_studies_folder",
    "stretches_from_json",
    "to_json_value",
]
