-- Events: asking for one from SQL, and deciding over those that did not succeed.
SET LOCAL ROLE aerofn_owner;

-- Whether the session's own database role (not a function's definer) is a member of aerofn_admin.
CREATE OR REPLACE FUNCTION aerofn_internal.by_admin() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_has_role(coalesce(nullif(current_setting('role', true), 'none'), session_user)::name, 'aerofn_admin', 'USAGE')
$$;
REVOKE ALL ON FUNCTION aerofn_internal.by_admin() FROM PUBLIC;

-- Asks for a run of a function once this transaction commits. It acts as whoever asks (see causer());
-- members of aerofn_admin may say run_as. A second event with the same dedup_key, while the first is
-- still there, is the first. Returns the event's id.
CREATE OR REPLACE FUNCTION aerofn.invoke(
  function text, payload jsonb DEFAULT 'null', run_at timestamptz DEFAULT now(), dedup_key text DEFAULT NULL,
  priority int DEFAULT 0, run_as text DEFAULT NULL, max_attempts int DEFAULT 5
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  target int := aerofn_internal.function_id(function);
  caller record;
  allowed text[];
  made bigint;
BEGIN
  IF priority NOT BETWEEN -1000 AND 1000 OR max_attempts NOT BETWEEN 1 AND 100 THEN
    RAISE EXCEPTION 'priority % or max_attempts % is out of range', priority, max_attempts
      USING ERRCODE = 'invalid_parameter_value', HINT = 'priority: -1000 to 1000; max_attempts: 1 to 100.';
  END IF;
  SELECT * INTO caller FROM aerofn_internal.causer();
  IF run_as IS NOT NULL THEN
    IF NOT aerofn_internal.by_admin() THEN
      RAISE EXCEPTION 'only members of aerofn_admin may say run_as' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM aerofn_internal.check_roles(ARRAY[run_as]);
    caller.role := run_as;
  END IF;
  -- While none is active yet, those of the version that will be.
  SELECT v.roles INTO allowed FROM aerofn_internal.functions f
  JOIN aerofn_internal.versions v ON v.function_id = f.id
  WHERE f.id = target ORDER BY v.id = f.active_version DESC NULLS LAST, v.number DESC LIMIT 1;
  IF caller.role <> ALL (allowed) AND NOT aerofn_internal.by_admin() THEN
    RAISE EXCEPTION 'role % may not invoke function %', quote_literal(caller.role), quote_literal(function)
      USING ERRCODE = 'insufficient_privilege', HINT = 'Its roles were set when it was registered.';
  END IF;
  LOOP
    INSERT INTO aerofn_internal.events AS e
      (function_id, source, payload, run_at, dedup_key, priority, role, claims, max_attempts, depth)
    VALUES (target, 'invoke', coalesce(payload, 'null')::json, coalesce(run_at, now()), dedup_key, priority,
            caller.role, caller.claims, max_attempts, aerofn_internal.next_depth())
    ON CONFLICT DO NOTHING RETURNING e.id INTO made;
    IF made IS NOT NULL THEN
      PERFORM aerofn_internal.wake();
      RETURN made;
    END IF;
    SELECT e.id INTO made FROM aerofn_internal.events e WHERE e.function_id = target AND e.dedup_key = invoke.dedup_key;
    IF made IS NOT NULL THEN
      RETURN made;
    END IF;  -- the first was completed in between
  END LOOP;
END $$;
REVOKE ALL ON FUNCTION aerofn.invoke FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.invoke TO aerofn_admin;

-- Gives a dead or cancelled event its attempts back.
CREATE OR REPLACE FUNCTION aerofn.replay(event bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Of a row's events in order it becomes the last: those after it have run.
  UPDATE aerofn_internal.events
  SET state = 'pending', attempt = 0, run_at = now(),
      "position" = CASE WHEN order_key IS NOT NULL THEN nextval('aerofn_internal.event_positions') END
  WHERE id = event AND state IN ('dead', 'cancelled');
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no dead or cancelled event %', event USING ERRCODE = 'no_data_found',
      HINT = 'SELECT id, state FROM aerofn.events lists them; completed events are gone, pending ones run anyway.';
  END IF;
  PERFORM aerofn_internal.wake();
END $$;
REVOKE ALL ON FUNCTION aerofn.replay FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.replay TO aerofn_admin;

-- Gives all dead events of a trigger their attempts back; answers how many there were.
CREATE OR REPLACE FUNCTION aerofn.replay_all("trigger" text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  t aerofn_internal.triggers := aerofn_internal.the_trigger("trigger");
  replayed bigint;
BEGIN
  UPDATE aerofn_internal.events e
  SET state = 'pending', attempt = 0, run_at = now(),
      "position" = CASE WHEN e.order_key IS NOT NULL THEN nextval('aerofn_internal.event_positions') END
  WHERE e.function_id = t.function_id AND e.trigger_id = t.id AND e.state = 'dead';
  GET DIAGNOSTICS replayed = ROW_COUNT;
  PERFORM aerofn_internal.wake();
  RETURN replayed;
END $$;
REVOKE ALL ON FUNCTION aerofn.replay_all FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.replay_all TO aerofn_admin;

-- Gives up an event that is pending or dead: it stays visible as cancelled.
CREATE OR REPLACE FUNCTION aerofn.discard(event bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE aerofn_internal.events SET state = 'cancelled', run_at = now() WHERE id = event AND state IN ('pending', 'dead');
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no pending or dead event %', event USING ERRCODE = 'no_data_found',
      HINT = 'SELECT id, state FROM aerofn.events lists them; a running event ends by itself.';
  END IF;
  PERFORM aerofn_internal.wake();  -- later ones of its row may have waited for it
END $$;
REVOKE ALL ON FUNCTION aerofn.discard FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.discard TO aerofn_admin;

-- Gives up all dead events of a trigger; answers how many there were.
CREATE OR REPLACE FUNCTION aerofn.discard_all("trigger" text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  t aerofn_internal.triggers := aerofn_internal.the_trigger("trigger");
  discarded bigint;
BEGIN
  UPDATE aerofn_internal.events e SET state = 'cancelled', run_at = now()
  WHERE e.function_id = t.function_id AND e.trigger_id = t.id AND e.state = 'dead';
  GET DIAGNOSTICS discarded = ROW_COUNT;
  RETURN discarded;
END $$;
REVOKE ALL ON FUNCTION aerofn.discard_all FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.discard_all TO aerofn_admin;

-- A lease's fencing token, never drawn twice, or what the tokens of one look are made of. Not from a sequence: its
-- numbers would come again after a crash that lost the leases they were given to.
CREATE OR REPLACE FUNCTION aerofn_internal.new_token() RETURNS bigint
LANGUAGE sql VOLATILE AS $$ SELECT hashtextextended(gen_random_uuid()::text, 0) $$;
REVOKE ALL ON FUNCTION aerofn_internal.new_token() FROM PUBLIC;

-- Called by a function's own transaction just before it commits: its effects and its event's end are one. Several
-- where they shared the transaction. Raises AF001 when a lease has passed to another node, which rolls all back.
CREATE OR REPLACE FUNCTION aerofn_internal.complete_events(events bigint[], leases bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  ended int;
BEGIN
  -- A token is drawn for one event only. Not a join: a plan made while the table was small would read it once per event.
  -- Nor by state: only what runs has a token, and the index of what runs is long while an old transaction is open.
  DELETE FROM aerofn_internal.events e WHERE e.id = ANY (complete_events.events) AND e.token = ANY (leases);
  GET DIAGNOSTICS ended = ROW_COUNT;
  IF ended <> cardinality(complete_events.events) THEN
    RAISE EXCEPTION 'an event of this transaction is leased by another node now' USING ERRCODE = 'AF001';
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.complete_events FROM PUBLIC;

-- The same for one event, for nodes of the version before.
CREATE OR REPLACE FUNCTION aerofn_internal.complete_event(event bigint, lease bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM aerofn_internal.events WHERE id = event AND token = lease AND state = 'running';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'event % is leased by another node now', event USING ERRCODE = 'AF001';
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.complete_event FROM PUBLIC;

-- The first key of the advisory locks that nodes hold ('AFN'); the second is the node's id, and 0 is for keeping
-- partitions, one node at a time.
CREATE OR REPLACE FUNCTION aerofn_internal.node_lock_class() RETURNS int
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT 4279886 $$;

CREATE OR REPLACE FUNCTION aerofn_internal.live_nodes() RETURNS SETOF int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT l.objid::int FROM pg_locks l
  WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.classid = aerofn_internal.node_lock_class() AND l.objid <> 0
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
$$;

-- How many events are in a state: exactly up to `most`, beyond it what the planner takes for so many and no fewer than
-- `most`. Counting a million would cost each node a seventh of a second each time. The state stands in the text, for the
-- indexes of dead and of running events are for these alone.
CREATE OR REPLACE FUNCTION aerofn_internal.count_events(wanted aerofn_internal.event_state, most int) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  counted bigint;
  plan json;
BEGIN
  EXECUTE format('SELECT count(*) FROM (SELECT FROM aerofn_internal.events e WHERE e.state = %L LIMIT %s) e', wanted, most)
  INTO counted;
  IF counted < most THEN
    RETURN counted;
  END IF;
  EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM aerofn_internal.events e WHERE e.state = %L', wanted) INTO plan;
  RETURN greatest(counted, (plan -> 0 -> 'Plan' ->> 'Plan Rows')::numeric::bigint);
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.count_events FROM PUBLIC;

-- Makes the partition of a day and the next one, drops those past retention, and forgets minutes that no figure needs.
CREATE OR REPLACE FUNCTION aerofn_internal.keep_partitions(retention interval) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  day date;
  old record;
BEGIN
  PERFORM pg_advisory_xact_lock(aerofn_internal.node_lock_class(), 0);
  FOR day IN SELECT d::date FROM generate_series(current_date, current_date + 1, interval '1 day') d LOOP
    IF to_regclass(format('aerofn_internal.invocations_%s', to_char(day, 'YYYYMMDD'))) IS NULL
       AND NOT EXISTS (SELECT FROM aerofn_internal.invocations_default i
                       WHERE i."timestamp" >= day AND i."timestamp" < day + 1) THEN
      EXECUTE format('CREATE TABLE aerofn_internal.invocations_%s PARTITION OF aerofn_internal.invocations '
                     'FOR VALUES FROM (%L) TO (%L)', to_char(day, 'YYYYMMDD'), day, day + 1);
    END IF;
  END LOOP;
  FOR old IN
    SELECT c.relname FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
    WHERE h.inhparent = 'aerofn_internal.invocations'::regclass AND c.relname ~ '^invocations_[0-9]{8}$'
      AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 < now() - retention
  LOOP
    EXECUTE format('DROP TABLE aerofn_internal.%I', old.relname);
  END LOOP;
  DELETE FROM aerofn_internal.invocations_default WHERE "timestamp" < now() - retention;
  DELETE FROM aerofn_internal.invocation_minutes WHERE minute < now() - interval '2 hours';
  PERFORM aerofn_internal.forget_events(retention, 100000);
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.keep_partitions FROM PUBLIC;

RESET ROLE;
