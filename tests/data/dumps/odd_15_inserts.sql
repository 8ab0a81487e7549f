--
-- PostgreSQL database dump
--

\restrict TESuwuFD5LkgDoas4ZeFQ1saj3os0ahDDslk1xPipg8qq72bShz6x4NCBfmdi16

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: a.b; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA "a.b";


ALTER SCHEMA "a.b" OWNER TO postgres;

--
-- Name: SCHEMA "a.b"; Type: COMMENT; Schema: -; Owner: postgres
--

COMMENT ON SCHEMA "a.b" IS 'S';


--
-- Name: we ird;x; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA "we ird;x";


ALTER SCHEMA "we ird;x" OWNER TO postgres;

--
-- Name: pg_trgm; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;


--
-- Name: EXTENSION pg_trgm; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION pg_trgm IS 'x';


--
-- Name: d; Type: DOMAIN; Schema: public; Owner: postgres
--

CREATE DOMAIN public.d AS text
	CONSTRAINT d_check CHECK ((VALUE = ANY (ARRAY['a'::text, 'b'::text])));


ALTER DOMAIN public.d OWNER TO postgres;

--
-- Name: dö$m; Type: DOMAIN; Schema: public; Owner: postgres
--

CREATE DOMAIN public."dö$m" AS integer;


ALTER DOMAIN public."dö$m" OWNER TO postgres;

--
-- Name: e; Type: TYPE; Schema: public; Owner: postgres
--

CREATE TYPE public.e AS ENUM (
    'a',
    'b'
);


ALTER TYPE public.e OWNER TO postgres;

--
-- Name: f(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.f() RETURNS text
    LANGUAGE sql
    AS $$ select '
COPY public.fake (a) FROM stdin;
1
\.
--
-- Name: fake; Type: TABLE; Schema: public; Owner: postgres
--

--
-- PostgreSQL database dump complete
--
\restrict foo
-- Dumped by pg_dump version 3
' $$;


ALTER FUNCTION public.f() OWNER TO postgres;

--
-- Name: f2(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.f2() RETURNS event_trigger
    LANGUAGE plpgsql
    AS $$begin end$$;


ALTER FUNCTION public.f2() OWNER TO postgres;

--
-- Name: g(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.g() RETURNS integer
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT 1;
 SELECT 2;
END;


ALTER FUNCTION public.g() OWNER TO postgres;

--
-- Name: pr(); Type: PROCEDURE; Schema: public; Owner: postgres
--

CREATE PROCEDURE public.pr()
    LANGUAGE sql
    AS $$select E'a\'b'$$;


ALTER PROCEDURE public.pr() OWNER TO postgres;

--
-- Name: ag(integer); Type: AGGREGATE; Schema: public; Owner: postgres
--

CREATE AGGREGATE public.ag(integer) (
    SFUNC = int4pl,
    STYPE = integer
);


ALTER AGGREGATE public.ag(integer) OWNER TO postgres;

--
-- Name: ###; Type: OPERATOR; Schema: public; Owner: postgres
--

CREATE OPERATOR public.### (
    FUNCTION = int4pl,
    LEFTARG = integer,
    RIGHTARG = integer
);


ALTER OPERATOR public.### (integer, integer) OWNER TO postgres;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: c; Type: TABLE; Schema: a.b; Owner: postgres
--

CREATE TABLE "a.b".c (
    id integer NOT NULL,
    t text DEFAULT 'x;y'::text
);


ALTER TABLE "a.b".c OWNER TO postgres;

--
-- Name: a; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.a (
    "b.c" integer
);


ALTER TABLE public.a OWNER TO postgres;

--
-- Name: fk; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.fk (
    id integer
);


ALTER TABLE public.fk OWNER TO postgres;

--
-- Name: generated; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.generated (
    id integer NOT NULL,
    z integer GENERATED ALWAYS AS ((id * 2)) STORED
);


ALTER TABLE public.generated OWNER TO postgres;

--
-- Name: generated_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.generated ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.generated_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: p; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.p (
    id integer,
    r text
)
PARTITION BY RANGE (id);


ALTER TABLE public.p OWNER TO postgres;

--
-- Name: COLUMN p.id; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.p.id IS 'pk';


--
-- Name: mv; Type: MATERIALIZED VIEW; Schema: public; Owner: postgres
--

CREATE MATERIALIZED VIEW public.mv AS
 SELECT p.id,
    p.r
   FROM public.p
  WITH NO DATA;


ALTER TABLE public.mv OWNER TO postgres;

--
-- Name: new line; Type: TABLE; Schema: evil; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public."new
line; Type: TABLE; Schema: evil" (
    a integer
);


ALTER TABLE public."new
line; Type: TABLE; Schema: evil" OWNER TO postgres;

--
-- Name: nocol; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.nocol (
);


ALTER TABLE public.nocol OWNER TO postgres;

--
-- Name: o"; Type: DATABASE; Schema: -; Owner: x; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public."o""; Type: DATABASE; Schema: -; Owner: x" (
    a integer
);


ALTER TABLE public."o""; Type: DATABASE; Schema: -; Owner: x" OWNER TO postgres;

--
-- Name: p1; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.p1 (
    id integer,
    r text
);


ALTER TABLE public.p1 OWNER TO postgres;

--
-- Name: p2; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.p2 (
    id integer,
    r text
);


ALTER TABLE public.p2 OWNER TO postgres;

--
-- Name: sq; Type: SEQUENCE; Schema: public; Owner: postgres
--

CREATE SEQUENCE public.sq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER TABLE public.sq OWNER TO postgres;

SET default_tablespace = ts;

--
-- Name: tt; Type: TABLE; Schema: public; Owner: postgres; Tablespace: ts
--

CREATE TABLE public.tt (
    a integer
);


ALTER TABLE public.tt OWNER TO postgres;

SET default_tablespace = '';

--
-- Name: u; Type: TABLE; Schema: public; Owner: postgres
--

CREATE UNLOGGED TABLE public.u (
    id bytea
);


ALTER TABLE public.u OWNER TO postgres;

--
-- Name: v; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.v AS
 SELECT p.id,
    p.r
   FROM public.p;


ALTER TABLE public.v OWNER TO postgres;

--
-- Name: VIEW v; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON VIEW public.v IS 'it''s 
-- Name: x; Type: TABLE; Schema: public; Owner: bob
';


--
-- Name: vv; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.vv AS
 SELECT 'back\slash ''q'::text AS a,
    'x'::text AS b;


ALTER TABLE public.vv OWNER TO postgres;

--
-- Name: ta	b"q'üß; Type: TABLE; Schema: we ird;x; Owner: postgres
--

CREATE TABLE "we ird;x"."ta	b""q'üß" (
    "c ""ol	1" text,
    b integer
);


ALTER TABLE "we ird;x"."ta	b""q'üß" OWNER TO postgres;

--
-- Name: p1; Type: TABLE ATTACH; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.p ATTACH PARTITION public.p1 FOR VALUES FROM (0) TO (10);


--
-- Name: p2; Type: TABLE ATTACH; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.p ATTACH PARTITION public.p2 FOR VALUES FROM (10) TO (20);


--
-- Name: 4711; Type: BLOB; Schema: -; Owner: postgres
--

SELECT pg_catalog.lo_create('4711');


ALTER LARGE OBJECT 4711 OWNER TO postgres;

--
-- Name: LARGE OBJECT 4711; Type: COMMENT; Schema: -; Owner: postgres
--

COMMENT ON LARGE OBJECT 4711 IS 'lo';


--
-- Data for Name: c; Type: TABLE DATA; Schema: a.b; Owner: postgres
--

INSERT INTO "a.b".c VALUES (1, 'x	y\.
\.');
INSERT INTO "a.b".c VALUES (2, 'x	y\.
\.');
INSERT INTO "a.b".c VALUES (3, 'x	y\.
\.');


--
-- Data for Name: a; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.a VALUES (1);


--
-- Data for Name: fk; Type: TABLE DATA; Schema: public; Owner: postgres
--



--
-- Data for Name: generated; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.generated OVERRIDING SYSTEM VALUE VALUES (1, DEFAULT);


--
-- Data for Name: new line; Type: TABLE; Schema: evil; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public."new
line; Type: TABLE; Schema: evil" VALUES (1);


--
-- Data for Name: nocol; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.nocol DEFAULT VALUES;


--
-- Data for Name: o"; Type: DATABASE; Schema: -; Owner: x; Type: TABLE DATA; Schema: public; Owner: postgres
--



--
-- Data for Name: p1; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.p1 VALUES (1, 'r');
INSERT INTO public.p1 VALUES (2, 'r');
INSERT INTO public.p1 VALUES (3, 'r');
INSERT INTO public.p1 VALUES (4, 'r');
INSERT INTO public.p1 VALUES (5, 'r');
INSERT INTO public.p1 VALUES (6, 'r');
INSERT INTO public.p1 VALUES (7, 'r');
INSERT INTO public.p1 VALUES (8, 'r');
INSERT INTO public.p1 VALUES (9, 'r');


--
-- Data for Name: p2; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.p2 VALUES (10, 'r');
INSERT INTO public.p2 VALUES (11, 'r');
INSERT INTO public.p2 VALUES (12, 'r');
INSERT INTO public.p2 VALUES (13, 'r');
INSERT INTO public.p2 VALUES (14, 'r');
INSERT INTO public.p2 VALUES (15, 'r');
INSERT INTO public.p2 VALUES (16, 'r');
INSERT INTO public.p2 VALUES (17, 'r');
INSERT INTO public.p2 VALUES (18, 'r');
INSERT INTO public.p2 VALUES (19, 'r');


--
-- Data for Name: tt; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.tt VALUES (1);


--
-- Data for Name: u; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.u VALUES ('\x00');


--
-- Data for Name: ta	b"q'üß; Type: TABLE DATA; Schema: we ird;x; Owner: postgres
--

INSERT INTO "we ird;x"."ta	b""q'üß" VALUES ('q', 1);


--
-- Name: generated_id_seq; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.generated_id_seq', 1, true);


--
-- Name: sq; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.sq', 1, true);


--
-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -
--

BEGIN;

SELECT pg_catalog.lo_open('4711', 131072);
SELECT pg_catalog.lowrite(0, '\xabab');
SELECT pg_catalog.lo_close(0);

COMMIT;

--
-- Name: c c_pkey; Type: CONSTRAINT; Schema: a.b; Owner: postgres
--

ALTER TABLE ONLY "a.b".c
    ADD CONSTRAINT c_pkey PRIMARY KEY (id);


--
-- Name: p_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX p_id_idx ON ONLY public.p USING btree (id);


--
-- Name: p1_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX p1_id_idx ON public.p1 USING btree (id);


--
-- Name: p2_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX p2_id_idx ON public.p2 USING btree (id);


SET default_tablespace = ts;

--
-- Name: tt_a_idx; Type: INDEX; Schema: public; Owner: postgres; Tablespace: ts
--

CREATE INDEX tt_a_idx ON public.tt USING btree (a);


--
-- Name: p1_id_idx; Type: INDEX ATTACH; Schema: public; Owner: postgres
--

ALTER INDEX public.p_id_idx ATTACH PARTITION public.p1_id_idx;


--
-- Name: p2_id_idx; Type: INDEX ATTACH; Schema: public; Owner: postgres
--

ALTER INDEX public.p_id_idx ATTACH PARTITION public.p2_id_idx;


--
-- Name: st; Type: STATISTICS; Schema: public; Owner: postgres
--

CREATE STATISTICS public.st ON id, r FROM public.p;


ALTER STATISTICS public.st OWNER TO postgres;

--
-- Name: u r2; Type: RULE; Schema: public; Owner: postgres
--

CREATE RULE r2 AS
    ON INSERT TO public.u DO ( INSERT INTO public.u (id)
  VALUES ('\x61'::bytea);
 INSERT INTO public.u (id)
  VALUES ('\x62'::bytea);
);


--
-- Name: a ru; Type: RULE; Schema: public; Owner: postgres
--

CREATE RULE ru AS
    ON INSERT TO public.a DO NOTHING;


--
-- Name: p1 tr; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER tr BEFORE UPDATE ON public.p1 FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();


--
-- Name: fk fk_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.fk
    ADD CONSTRAINT fk_id_fkey FOREIGN KEY (id) REFERENCES "a.b".c(id);


--
-- Name: p; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.p ENABLE ROW LEVEL SECURITY;

--
-- Name: p pol; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY pol ON public.p USING (true);


--
-- Name: pub; Type: PUBLICATION; Schema: -; Owner: postgres
--

CREATE PUBLICATION pub WITH (publish = 'insert, update, delete, truncate');


ALTER PUBLICATION pub OWNER TO postgres;

--
-- Name: pub p; Type: PUBLICATION TABLE; Schema: public; Owner: postgres
--

ALTER PUBLICATION pub ADD TABLE ONLY public.p;


--
-- Name: sub; Type: SUBSCRIPTION; Schema: -; Owner: postgres
--

CREATE SUBSCRIPTION sub CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = 'sub');


ALTER SUBSCRIPTION sub OWNER TO postgres;

--
-- Name: TABLE fk; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.fk TO bob;


--
-- Name: TABLE generated; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.generated TO bob;


--
-- Name: TABLE p; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.p TO bob;


--
-- Name: TABLE nocol; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.nocol TO bob;


--
-- Name: TABLE "o""; Type: DATABASE; Schema: -; Owner: x"; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public."o""; Type: DATABASE; Schema: -; Owner: x" TO bob;


--
-- Name: TABLE tt; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.tt TO bob;


--
-- Name: TABLE u; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.u TO bob;


--
-- Name: TABLE vv; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.vv TO bob;


--
-- Name: LARGE OBJECT 4711; Type: ACL; Schema: -; Owner: postgres
--

GRANT SELECT ON LARGE OBJECT 4711 TO bob;


--
-- Name: DEFAULT PRIVILEGES FOR TABLES; Type: DEFAULT ACL; Schema: -; Owner: postgres
--

ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT SELECT ON TABLES  TO bob;


--
-- Name: et; Type: EVENT TRIGGER; Schema: -; Owner: postgres
--

CREATE EVENT TRIGGER et ON ddl_command_start
   EXECUTE FUNCTION public.f2();


ALTER EVENT TRIGGER et OWNER TO postgres;

--
-- Name: EVENT TRIGGER et; Type: COMMENT; Schema: -; Owner: postgres
--

COMMENT ON EVENT TRIGGER et IS 'evt';


--
-- Name: mv; Type: MATERIALIZED VIEW DATA; Schema: public; Owner: postgres
--

REFRESH MATERIALIZED VIEW public.mv;


--
-- PostgreSQL database dump complete
--

\unrestrict TESuwuFD5LkgDoas4ZeFQ1saj3os0ahDDslk1xPipg8qq72bShz6x4NCBfmdi16

