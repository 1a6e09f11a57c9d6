"""Statistics of studies: intervals, significance tests, comparisons and explanations."""

from netlet.records import median_seed
from netlet.stats.collect import (
    LocatedStudy,
    SeedRecord,
    collect_seed_records,
    group_into_studies,
    load_frontier,
    split_places,
)
from netlet.stats.comparison import (
    Comparison,
    SignificanceTest,
    compare,
    refuse_other_images,
)
from netlet.stats.diagnosis import (
    GeneralizationGap,
    analyze_study,
    describe_changes,
    diagnose,
    generalization_gap,
)
from netlet.stats.formatting import (
    explain_missing_interval,
    format_interval,
    format_p_value,
    format_seed_count,
)
from netlet.stats.frontier import (
    PUBLISHED_POINTS,
    Frontier,
    FrontierPoint,
    explain_left_out,
    frontier_text,
    measured_points,
    name_fronts,
    pareto_front,
    select_plotted,
    sort_by_size,
)
from netlet.stats.images import error_rates, interval_over_images
from netlet.stats.labels import distinguish_names, label_by_recipes
from netlet.stats.seed_environments import format_threads, summarize_environments
from netlet.stats.seeds import (
    interval_over_seeds,
    mean_percent,
    p_value_mean_above,
    sd_points,
    seed_percents,
)
from netlet.stats.shift_average import (
    SHIFT_MARK,
    SHIFTS,
    averages_shifts,
    describe_shifts,
    explain_shift_mark,
    mark_shifts,
)
from netlet.stats.text import (
    comparison_tables,
    comparison_text,
    comparison_to_json,
    seed_table,
    study_text,
    study_to_json,
    summarize_study,
)
from netlet.stats.training_differences import (
    TrainingDifference,
    find_training_differences,
    training_differences_text,
)
from netlet.stats.verdict import (
    count_passing_seeds,
    pooled_scores,
    reaches_target,
    study_verdict,
    target_percent,
)

__all__ = [
    "PUBLISHED_POINTS",
    "SHIFTS",
    "SHIFT_MARK",
    "Comparison",
    "Frontier",
    "FrontierPoint",
    "GeneralizationGap",
    "LocatedStudy",
    "SeedRecord",
    "SignificanceTest",
    "TrainingDifference",
    "analyze_study",
    "averages_shifts",
    "collect_seed_records",
    "compare",
    "comparison_tables",
    "comparison_text",
    "comparison_to_json",
    "count_passing_seeds",
    "describe_changes",
    "describe_shifts",
    "diagnose",
    "distinguish_names",
    "error_rates",
    "explain_left_out",
    "explain_missing_interval",
    "explain_shift_mark",
    "find_training_differences",
    "format_interval",
    "format_p_value",
    "format_seed_count",
    "format_threads",
    "frontier_text",
    "generalization_gap",
    "group_into_studies",
    "interval_over_images",
    "interval_over_seeds",
    "label_by_recipes",
    "load_frontier",
    "mark_shifts",
    "mean_percent",
    "measured_points",
    "median_seed",
    "name_fronts",
    "p_value_mean_above",
    "pareto_front",
    "pooled_scores",
    "reaches_target",
    "refuse_other_images",
    "sd_points",
    "seed_percents",
    "seed_table",
    "select_plotted",
    "sort_by_size",
    "split_places",
    "study_text",
    "study_to_json",
    "study_verdict",
    "summarize_environments",
    "summarize_study",
    "target_percent",
    "training_differences_text",
]
