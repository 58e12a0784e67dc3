-- HTTP requests that functions want sent after their effects have committed: events of their own source.
ALTER TABLE aerofn_internal.events DROP CONSTRAINT events_source_check;
ALTER TABLE aerofn_internal.events ADD CONSTRAINT events_source_check
  CHECK (source IN ('row', 'invoke', 'schedule', 'webhook', 'http', 'fetch'));
