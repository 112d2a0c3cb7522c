"""Joins the parts that settings describe: models, stores, stages, the log.

Everything is made on first use and kept; collections made with the same encoders share them.
"""

from winnow.app.wiring.rerankers import ready_chain
from winnow.app.wiring.wiring import Wiring

__all__ = ["Wiring", "ready_chain"]
