-- As in pgqueuer's documentation for enqueueing from SQL.
CREATE FUNCTION enqueue() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  made bigint;
BEGIN
  INSERT INTO pgqueuer (priority, entrypoint, payload, execute_after, status)
  VALUES (0, 'order_created', convert_to(json_build_object(
    'id', NEW.id, 'product_id', NEW.product_id, 'quantity', NEW.quantity)::text, 'UTF8'), now(), 'queued')
  RETURNING id INTO made;
  INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority) VALUES (made, 'queued', 'order_created', 0);
  RETURN NULL;
END $$;
CREATE TRIGGER enqueue AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION enqueue();
