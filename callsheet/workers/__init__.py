"""Worker processes: where the bodies of `@task(isolate="process")` run, and die when they are told to end."""

from callsheet.workers.pool import Pool
from callsheet.workers.wire import Job
from callsheet.workers.worker import BodyFailed, NotFound, Worker, WorkerDied, home_of

__all__ = ["BodyFailed", "Job", "NotFound", "Pool", "Worker", "WorkerDied", "home_of"]
