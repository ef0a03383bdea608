-- The settings profile for Citus: run once on the coordinator, as its superuser, before the first cafeteria is opened.
-- psql -v ON_ERROR_STOP=1 -v role=comanda -v coordinator=HOST -f deploy/postgres/citus.sql DATABASE
-- Then each worker: SELECT citus_add_node('HOST', 5432);   What is known to be missing: docs/scaling.md.
CREATE EXTENSION IF NOT EXISTS citus;
SELECT citus_set_coordinator_host(:'coordinator');
-- Each schema that the role makes is a distributed one: whole on one node. Migrations of the fleet and openings connect as this role.
ALTER ROLE :"role" SET citus.enable_schema_based_sharding = on;
-- Schemas beside the live one (restores, proofs, the template's check) are small and short: they may be distributed as well.
ALTER ROLE :"role" SET citus.multi_shard_modify_mode = 'sequential';
