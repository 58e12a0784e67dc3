CREATE TABLE products (id int PRIMARY KEY, stock bigint NOT NULL);
INSERT INTO products SELECT g, 1000000 FROM generate_series(1, 1000) g;
CREATE TABLE orders (id bigserial PRIMARY KEY, product_id int NOT NULL, quantity int NOT NULL);
