-- What belongs to the database itself: not in its dump, and not copied by a template.
-- psql variables: database.
SET client_min_messages = warning;
ALTER DATABASE :"database" OWNER TO snap_demo_owner;
ALTER DATABASE :"database" SET work_mem = '6MB';
ALTER DATABASE :"database" SET search_path = shop, public;
ALTER DATABASE :"database" SET "sample.greeting" = E'it''s, a "quoted" \\ value';
ALTER DATABASE :"database" CONNECTION LIMIT 77;
ALTER ROLE snap_demo_app IN DATABASE :"database" SET statement_timeout = '5min';
ALTER ROLE "snap_demo Clerk ""Zoë""" IN DATABASE :"database" SET search_path = shop, "a.b";
REVOKE CONNECT ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"database" TO snap_demo_app;
GRANT CONNECT ON DATABASE :"database" TO snap_demo_readers WITH GRANT OPTION;
COMMENT ON DATABASE :"database" IS 'The sample application. It''s not "real".';
