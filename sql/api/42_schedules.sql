-- Schedules: cron expressions with a time zone that start a function. Nodes compute when (aerofn/dispatch/schedule.py);
-- whether a tick gets its event is decided here, once, whichever node asks first.
SET LOCAL ROLE aerofn_owner;

CREATE OR REPLACE FUNCTION aerofn_internal.check_missed(missed text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF missed IS NULL OR missed NOT IN ('skip', 'once') THEN
    RAISE EXCEPTION 'missed is %, not skip or once', coalesce(quote_literal(missed), 'NULL')
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'skip: what was due while no node ran is passed over; once: it is made up for by one event.';
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.check_missed FROM PUBLIC;

-- Runs a function whenever the clock of a time zone says so. Returns the trigger's name.
CREATE OR REPLACE FUNCTION aerofn.create_schedule(
  function text, cron text, timezone text DEFAULT 'UTC', name text DEFAULT NULL, missed text DEFAULT 'skip',
  payload jsonb DEFAULT NULL, run_as text DEFAULT NULL, max_attempts int DEFAULT 5
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  parsed record := aerofn_internal.cron(cron);
  zone text := aerofn_internal.timezone(timezone);
BEGIN
  PERFORM aerofn_internal.check_missed(missed);
  PERFORM aerofn_internal.check_nodes(10, 'schedules');
  name := coalesce(name, function || '_schedule');
  INSERT INTO aerofn_internal.schedules (trigger_id, cron, timezone, missed, payload, fields, either_day, decided_until)
  VALUES (aerofn_internal.add_trigger(function, 'schedule', name, run_as, max_attempts), cron, zone, missed, payload,
          parsed.fields, parsed.either_day, aerofn_internal.clock());
  RETURN name;
END $$;
REVOKE ALL ON FUNCTION aerofn.create_schedule FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.create_schedule TO aerofn_admin;

-- Changes what is given of a schedule; it then counts from now.
CREATE OR REPLACE FUNCTION aerofn.alter_schedule(
  name text, cron text DEFAULT NULL, timezone text DEFAULT NULL, missed text DEFAULT NULL, payload jsonb DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  id int := aerofn_internal.the_trigger(name, 'schedule');
  parsed record := aerofn_internal.cron(coalesce(cron, (SELECT s.cron FROM aerofn_internal.schedules s WHERE s.trigger_id = id)));
BEGIN
  IF missed IS NOT NULL THEN
    PERFORM aerofn_internal.check_missed(missed);
  END IF;
  UPDATE aerofn_internal.schedules s
  SET cron = coalesce(cron, s.cron), fields = parsed.fields, either_day = parsed.either_day,
      timezone = CASE WHEN timezone IS NULL THEN s.timezone ELSE aerofn_internal.timezone(timezone) END,
      missed = coalesce(missed, s.missed), payload = coalesce(payload, s.payload),
      decided_until = aerofn_internal.clock(), next_at = NULL, error = NULL, revision = s.revision + 1
  WHERE s.trigger_id = id;
  PERFORM aerofn_internal.registry_changed();
END $$;
REVOKE ALL ON FUNCTION aerofn.alter_schedule FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.alter_schedule TO aerofn_admin;

-- What a node decided about schedules: [{"id", "revision", "decided_until", "next_at", "ticks", "error"}], by id. Each
-- tick becomes an event, unless the schedule has changed since the node looked: then another node was first, or
-- somebody altered or disabled it. Returns how many were decided.
CREATE OR REPLACE FUNCTION aerofn_internal.decide_ticks(decisions jsonb) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  d record;
  decided int := 0;
  made boolean := false;
BEGIN
  FOR d IN SELECT * FROM jsonb_to_recordset(decisions)
    AS x (id int, revision bigint, decided_until timestamptz, next_at timestamptz, ticks timestamptz[], error jsonb) LOOP
    UPDATE aerofn_internal.schedules s
    SET decided_until = d.decided_until, next_at = d.next_at, error = nullif(d.error, 'null'), revision = s.revision + 1
    WHERE s.trigger_id = d.id AND s.revision = d.revision;
    CONTINUE WHEN NOT FOUND;
    decided := decided + 1;
    INSERT INTO aerofn_internal.events (function_id, trigger_id, source, payload, role, max_attempts)
    SELECT t.function_id, t.id, 'schedule', json_build_object('scheduled_at', tick, 'payload', s.payload), t.run_as, t.max_attempts
    FROM aerofn_internal.triggers t JOIN aerofn_internal.schedules s ON s.trigger_id = t.id, unnest(d.ticks) tick
    WHERE t.id = d.id;
    made := made OR FOUND;
  END LOOP;
  IF made THEN
    PERFORM aerofn_internal.wake();
  END IF;
  RETURN decided;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.decide_ticks FROM PUBLIC;

RESET ROLE;
