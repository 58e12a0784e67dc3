"""What the dashboard reads, and what it decides with."""

from dataclasses import dataclass, field

from aerofn.db.event_list import EventList
from aerofn.db.figures import Figures
from aerofn.db.functions import Functions
from aerofn.db.glances import Glances
from aerofn.db.records import Records
from aerofn.db.triggers import Triggers

PAGE = 50
"""Rows of a list's page."""


@dataclass(frozen=True)
class Desk:
    """Everything on connections of the dashboard's own: who looks never holds up what runs."""

    functions: Functions
    triggers: Triggers
    events: EventList
    invocations: Records
    figures: Figures
    glances: Glances = field(default_factory=Glances)
