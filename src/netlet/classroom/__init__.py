"""Grade a class: submissions of students, run in a sandbox and judged by one budget."""

from netlet.classroom.copies import Copies, find_copies
from netlet.classroom.grades import Grade, GradingSettings
from netlet.classroom.grading import grade_submissions, limit_workers
from netlet.classroom.roster import read_roster
from netlet.classroom.submissions import Submission, list_submissions

__all__ = [
    "Copies",
    "Grade",
    "GradingSettings",
    "Submission",
    "find_copies",
    "grade_submissions",
    "limit_workers",
    "list_submissions",
    "read_roster",
]
