--
-- PostgreSQL database cluster dump
--

\restrict gh6gcgoueOTkbGdAWw5lCXiDrwN9XrTrrDi3ZO9maCVEq5IbQYuVX9zrSUUmNa2

SET default_transaction_read_only = off;

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;

--
-- Roles
--

CREATE ROLE bob;
ALTER ROLE bob WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS;
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER INHERIT CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS;

--
-- User Configurations
--






--
-- Tablespaces
--

CREATE TABLESPACE ts OWNER postgres LOCATION '/srv/ts';


\unrestrict gh6gcgoueOTkbGdAWw5lCXiDrwN9XrTrrDi3ZO9maCVEq5IbQYuVX9zrSUUmNa2

--
-- PostgreSQL database cluster dump complete
--

