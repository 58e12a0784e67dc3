-- The notification is the one that pg-boss's own insert() sends for a queue that notifies.
CREATE FUNCTION enqueue() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO pgboss.job (name, data, policy) VALUES ('order_created',
    jsonb_build_object('id', NEW.id, 'product_id', NEW.product_id, 'quantity', NEW.quantity), 'standard');
  PERFORM pg_notify('pgboss_' || left(encode(sha224('pgboss'::bytea), 'hex'), 24), 'order_created');
  RETURN NULL;
END $$;
CREATE TRIGGER enqueue AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION enqueue();
