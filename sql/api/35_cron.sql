-- The time, and cron expressions: checked whole here, where they are written, and kept as lists of numbers, so that nodes need
-- not read them again. The grammar is that of crontab(5), with a field for seconds in front if there are six.
SET LOCAL ROLE aerofn_owner;

-- What time it is, for schedules: the same for every node. Tests replace it.
CREATE OR REPLACE FUNCTION aerofn_internal.clock() RETURNS timestamptz
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$ SELECT clock_timestamp() $$;

CREATE OR REPLACE FUNCTION aerofn_internal.refuse_cron(problem text, advice text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the cron expression does not work: %', problem
    USING ERRCODE = 'invalid_parameter_value', HINT = advice;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.refuse_cron FROM PUBLIC;

-- One number or name of a field. names[1] is the name of the lowest value.
CREATE OR REPLACE FUNCTION aerofn_internal.cron_number(written text, noun text, low int, high int, names text[])
RETURNS int
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  number int := array_position(names, written) - 1 + low;
BEGIN
  IF written ~ '^[0-9]{1,4}$' THEN
    number := written::int;
  END IF;
  IF number IS NULL OR number NOT BETWEEN low AND high THEN
    PERFORM aerofn_internal.refuse_cron(format('%L is no %s', written, noun),
      format('A %s is %s to %s%s.', noun, low, high, ', or one of ' || array_to_string(names, ' ')));
  END IF;
  RETURN number;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.cron_number FROM PUBLIC;

-- The values of one part of a field: *, 5, 5-10, and with a step */2, 5-10/2.
CREATE OR REPLACE FUNCTION aerofn_internal.cron_part(part text, noun text, low int, high int, names text[])
RETURNS SETOF int
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found text[] := regexp_match(part, '^(?:(\*)|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:/([0-9]{1,4}))?$');
  first int := low;
  last int := high;
  step int := coalesce(found[4], '1')::int;
BEGIN
  IF found IS NULL THEN
    PERFORM aerofn_internal.refuse_cron(format('%L is no %s', part, noun),
      'Write *, a number, a range (1-5), a step (*/15, 0-30/10), or a list of these (1,3,5-7).');
  ELSIF found[1] IS NULL THEN
    first := aerofn_internal.cron_number(found[2], noun, low, high, names);
    last := aerofn_internal.cron_number(coalesce(found[3], found[2]), noun, low, high, names);
  END IF;
  IF found[1] IS NULL AND found[3] IS NULL AND found[4] IS NOT NULL THEN
    PERFORM aerofn_internal.refuse_cron(format('%L has a step, but no range', part),
      format('Write %s-%s/%s, or */%s.', found[2], high, found[4], found[4]));
  ELSIF first > last THEN
    PERFORM aerofn_internal.refuse_cron(format('the range %L goes backwards', part),
      format('Write %s-%s,%s-%s.', first, high, low, last));
  ELSIF step NOT BETWEEN 1 AND high - low THEN
    PERFORM aerofn_internal.refuse_cron(format('the step of %L is not one of a %s', part, noun),
      format('Its steps are 1 to %s; a longer one never comes twice.', high - low));
  END IF;
  RETURN QUERY SELECT generate_series(first, last, step);
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.cron_part FROM PUBLIC;

CREATE OR REPLACE FUNCTION aerofn_internal.cron_field(field text, noun text, low int, high int, names text[] DEFAULT NULL)
RETURNS int[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT array_agg(DISTINCT CASE WHEN noun = 'day of the week' THEN value % 7 ELSE value END)
  FROM regexp_split_to_table(field, ',') part, aerofn_internal.cron_part(part, noun, low, high, names) value
$$;
REVOKE ALL ON FUNCTION aerofn_internal.cron_field FROM PUBLIC;

-- An expression as lists of numbers, always with seconds, and how its two kinds of days go together. As in every
-- cron since Vixie's, a day need only be right by one of them, unless one begins with a star.
CREATE OR REPLACE FUNCTION aerofn_internal.cron(expression text, OUT fields text, OUT either_day boolean)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  written text := lower(btrim(expression, E' \t\r\n'));
  f text[] := regexp_split_to_array(coalesce(CASE written
    WHEN '@hourly' THEN '0 * * * *' WHEN '@daily' THEN '0 0 * * *' WHEN '@midnight' THEN '0 0 * * *'
    WHEN '@weekly' THEN '0 0 * * 0' WHEN '@monthly' THEN '0 0 1 * *' WHEN '@yearly' THEN '0 0 1 1 *'
    WHEN '@annually' THEN '0 0 1 1 *' END, written, ''), '\s+');
  days int[];
  months int[];
BEGIN
  IF cardinality(f) = 5 THEN
    f := '0'::text || f;
  END IF;
  IF cardinality(f) <> 6 THEN
    PERFORM aerofn_internal.refuse_cron(format('%L has %s fields', expression, CASE WHEN f[1] = '' THEN 0 ELSE cardinality(f) END),
      'It has five: minute, hour, day of the month, month, day of the week; six with the second in front; '
      'or is @hourly, @daily, @weekly, @monthly or @yearly.');
  END IF;
  days := aerofn_internal.cron_field(f[4], 'day of the month', 1, 31);
  months := aerofn_internal.cron_field(f[5], 'month', 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}');
  either_day := left(f[4], 1) <> '*' AND left(f[6], 1) <> '*';
  IF NOT either_day AND days[1] > (SELECT max((ARRAY[31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])[m]) FROM unnest(months) m) THEN
    PERFORM aerofn_internal.refuse_cron(format('the day %s never comes in month %s', f[4], f[5]), 'Choose a day that the month has.');
  END IF;
  fields := concat_ws(' ',
    array_to_string(aerofn_internal.cron_field(f[1], 'second', 0, 59), ','),
    array_to_string(aerofn_internal.cron_field(f[2], 'minute', 0, 59), ','),
    array_to_string(aerofn_internal.cron_field(f[3], 'hour', 0, 23), ','),
    array_to_string(days, ','), array_to_string(months, ','),
    array_to_string(aerofn_internal.cron_field(f[6], 'day of the week', 0, 7, '{sun,mon,tue,wed,thu,fri,sat}'), ','));
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.cron FROM PUBLIC;

-- The name of a time zone as the tz database has it, whatever its case.
CREATE OR REPLACE FUNCTION aerofn_internal.timezone(wanted text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  known text;
BEGIN
  SELECT z.name INTO known FROM pg_timezone_names z
  WHERE lower(z.name) = lower(wanted) AND z.name !~ '^(posix|right)/|^(localtime|posixrules|Factory)$';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no time zone %', coalesce(quote_literal(wanted), 'NULL')
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Write it as Europe/Berlin or UTC; SELECT name FROM pg_timezone_names lists them.';
  END IF;
  RETURN known;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.timezone FROM PUBLIC;

RESET ROLE;
