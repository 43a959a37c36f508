"""Models in MLflow: log a run, register its bundle, move an alias, find a version, fetch it, and go back.

What a version was made from can be asked of MLflow alone: its tags hold the snapshot of each bank it has seen
(``corebank.snapshot.<site>``), the cores by expedition (``corebank.cores.<site>/<expedition>``), their licences, its
parent and its recipe, and every run lists its banks as inputs. A version is code, safetensors and JSON; nothing in it
is pickled. Each move of an alias stays on record.

=================  ====================================================================================
`runs`             runs of training programs
`registering`      bundles into the registry
`searching`        models, versions, and which of them have seen a core
`events`           the moves of aliases, as the registry keeps them
`aliases`          who may be used: move, history, rollback
`fetching`         bundles out of the registry, checked by their hashes
`served`           what MLflow runs when it loads a version, and what it is told of its tables
`store`            the way to MLflow, and the only importer of it
`tags`             what a version's tags say
=================  ====================================================================================
"""

from corebank.hub.aliases import history, point, rollback
from corebank.hub.events import Event
from corebank.hub.fetching import pin, pull, resolve
from corebank.hub.registering import describe, register
from corebank.hub.runs import log_run
from corebank.hub.searching import Model, find, models, trained_on, versions
from corebank.hub.served import CODE, serve
from corebank.hub.store import exists, tracking_uri
from corebank.hub.tags import Version

__all__ = [
    "CODE",
    "Event",
    "Model",
    "Version",
    "describe",
    "exists",
    "find",
    "history",
    "log_run",
    "models",
    "pin",
    "point",
    "pull",
    "register",
    "resolve",
    "rollback",
    "serve",
    "tracking_uri",
    "trained_on",
    "versions",
]
