-- Questions about a database's schema, whichever folder of migrations it is of.

-- name: list_schema_migrations
-- Which migrations a database has had. Unlike yoyo's own look it creates nothing.
select migration_id from _yoyo_migration order by migration_id;
