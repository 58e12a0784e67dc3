"""`aerofn rehearse`: what a new version would have done with the events that were, without doing it."""
