-- The tables of this project. `aerofn test` and `aerofn dev` run these files in order, in a database of their own;
-- for yours: psql "$DATABASE_URL" -f db/0001_notes.sql
CREATE TABLE notes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  body text NOT NULL,
  words int
);

-- What the function needs: it acts as service_role (see aerofn.toml).
GRANT SELECT, UPDATE ON notes TO service_role;
