CREATE FUNCTION enqueue() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM procrastinate_defer_jobs_v1(ARRAY[ROW('default', 'order_created', 0, NULL, NULL,
    jsonb_build_object('id', NEW.id, 'product_id', NEW.product_id, 'quantity', NEW.quantity), NULL
  )::procrastinate_job_to_defer_v1]);
  RETURN NULL;
END $$;
CREATE TRIGGER enqueue AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION enqueue();
