-- graphile-worker's bulk function, for a whole statement at once.
CREATE FUNCTION enqueue() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM graphile_worker.add_jobs((SELECT array_agg(('order_created',
    json_build_object('id', id, 'product_id', product_id, 'quantity', quantity),
    NULL, NULL, NULL, NULL, NULL, NULL)::graphile_worker.job_spec) FROM changed));
  RETURN NULL;
END $$;
CREATE TRIGGER enqueue AFTER INSERT ON orders REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION enqueue();
