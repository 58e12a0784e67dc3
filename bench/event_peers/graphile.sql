CREATE FUNCTION enqueue() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM graphile_worker.add_job('order_created',
    json_build_object('id', NEW.id, 'product_id', NEW.product_id, 'quantity', NEW.quantity));
  RETURN NULL;
END $$;
CREATE TRIGGER enqueue AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION enqueue();
