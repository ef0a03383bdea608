#!/bin/sh
# Once, for an empty data folder: the product's role, which owns its database, may replicate (the archive) and read the statistics.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set password="$(cat "${DATABASE_PASSWORD_FILE:-/run/secrets/database_password}")" \
  --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
CREATE ROLE comanda LOGIN REPLICATION PASSWORD :'password';
GRANT pg_monitor, pg_checkpoint TO comanda;
CREATE DATABASE comanda OWNER comanda;
REVOKE ALL ON DATABASE comanda FROM PUBLIC;
\connect comanda
ALTER SCHEMA public OWNER TO comanda;
GRANT EXECUTE ON FUNCTION pg_switch_wal(), pg_create_restore_point(text) TO comanda;
SQL
