"""Independent jobs, on this machine's cores or on a Ray cluster.

A job is a function named by its place in the code and inputs that JSON can hold; the same inputs give the same
result. `run_jobs` keeps each result in a file, so that the same call resumes.
"""

from .job import Failure, Job, Place, code_fingerprint
from .store import results, run_jobs

__all__ = ["Failure", "Job", "Place", "code_fingerprint", "results", "run_jobs"]
