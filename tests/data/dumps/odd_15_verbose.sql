--
-- PostgreSQL database dump
--

\restrict u5Gd9bOp8Cy1Cf0bpZGP8qTVzEWYWWIFaSmwkSdv6mlRWfEB1eKZTqOZqX5HcZK

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

-- Started on 2026-11-22 13:59:14 UTC

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
-- TOC entry 7 (class 2615 OID 16446)
-- Name: a.b; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA "a.b";


ALTER SCHEMA "a.b" OWNER TO postgres;

--
-- TOC entry 3516 (class 0 OID 0)
-- Dependencies: 7
-- Name: SCHEMA "a.b"; Type: COMMENT; Schema: -; Owner: postgres
--

COMMENT ON SCHEMA "a.b" IS 'S';


--
-- TOC entry 8 (class 2615 OID 16447)
-- Name: we ird;x; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA "we ird;x";


ALTER SCHEMA "we ird;x" OWNER TO postgres;

--
-- TOC entry 2 (class 3079 OID 16535)
-- Name: pg_trgm; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;


--
-- TOC entry 3517 (class 0 OID 0)
-- Dependencies: 2
-- Name: EXTENSION pg_trgm; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION pg_trgm IS 'x';


--
-- TOC entry 913 (class 1247 OID 16484)
-- Name: d; Type: DOMAIN; Schema: public; Owner: postgres
--

CREATE DOMAIN public.d AS text
	CONSTRAINT d_check CHECK ((VALUE = ANY (ARRAY['a'::text, 'b'::text])));


ALTER DOMAIN public.d OWNER TO postgres;

--
-- TOC entry 944 (class 1247 OID 16622)
-- Name: dö$m; Type: DOMAIN; Schema: public; Owner: postgres
--

CREATE DOMAIN public."dö$m" AS integer;


ALTER DOMAIN public."dö$m" OWNER TO postgres;

--
-- TOC entry 910 (class 1247 OID 16479)
-- Name: e; Type: TYPE; Schema: public; Owner: postgres
--

CREATE TYPE public.e AS ENUM (
    'a',
    'b'
);


ALTER TYPE public.e OWNER TO postgres;

--
-- TOC entry 235 (class 1255 OID 16489)
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
-- TOC entry 268 (class 1255 OID 16616)
-- Name: f2(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.f2() RETURNS event_trigger
    LANGUAGE plpgsql
    AS $$begin end$$;


ALTER FUNCTION public.f2() OWNER TO postgres;

--
-- TOC entry 236 (class 1255 OID 16490)
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
-- TOC entry 269 (class 1255 OID 16624)
-- Name: pr(); Type: PROCEDURE; Schema: public; Owner: postgres
--

CREATE PROCEDURE public.pr()
    LANGUAGE sql
    AS $$select E'a\'b'$$;


ALTER PROCEDURE public.pr() OWNER TO postgres;

--
-- TOC entry 954 (class 1255 OID 16517)
-- Name: ag(integer); Type: AGGREGATE; Schema: public; Owner: postgres
--

CREATE AGGREGATE public.ag(integer) (
    SFUNC = int4pl,
    STYPE = integer
);


ALTER AGGREGATE public.ag(integer) OWNER TO postgres;

--
-- TOC entry 1754 (class 2617 OID 16518)
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
-- TOC entry 217 (class 1259 OID 16448)
-- Name: c; Type: TABLE; Schema: a.b; Owner: postgres
--

CREATE TABLE "a.b".c (
    id integer NOT NULL,
    t text DEFAULT 'x;y'::text
);


ALTER TABLE "a.b".c OWNER TO postgres;

--
-- TOC entry 218 (class 1259 OID 16456)
-- Name: a; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.a (
    "b.c" integer
);


ALTER TABLE public.a OWNER TO postgres;

--
-- TOC entry 229 (class 1259 OID 16519)
-- Name: fk; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.fk (
    id integer
);


ALTER TABLE public.fk OWNER TO postgres;

--
-- TOC entry 228 (class 1259 OID 16512)
-- Name: generated; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.generated (
    id integer NOT NULL,
    z integer GENERATED ALWAYS AS ((id * 2)) STORED
);


ALTER TABLE public.generated OWNER TO postgres;

--
-- TOC entry 227 (class 1259 OID 16511)
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
-- TOC entry 220 (class 1259 OID 16464)
-- Name: p; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.p (
    id integer,
    r text
)
PARTITION BY RANGE (id);


ALTER TABLE public.p OWNER TO postgres;

--
-- TOC entry 3520 (class 0 OID 0)
-- Dependencies: 220
-- Name: COLUMN p.id; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.p.id IS 'pk';


--
-- TOC entry 225 (class 1259 OID 16491)
-- Name: mv; Type: MATERIALIZED VIEW; Schema: public; Owner: postgres
--

CREATE MATERIALIZED VIEW public.mv AS
 SELECT p.id,
    p.r
   FROM public.p
  WITH NO DATA;


ALTER TABLE public.mv OWNER TO postgres;

--
-- TOC entry 224 (class 1259 OID 16486)
-- Name: new line; Type: TABLE; Schema: evil; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public."new
line; Type: TABLE; Schema: evil" (
    a integer
);


ALTER TABLE public."new
line; Type: TABLE; Schema: evil" OWNER TO postgres;

--
-- TOC entry 231 (class 1259 OID 16532)
-- Name: nocol; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.nocol (
);


ALTER TABLE public.nocol OWNER TO postgres;

--
-- TOC entry 232 (class 1259 OID 16618)
-- Name: o"; Type: DATABASE; Schema: -; Owner: x; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public."o""; Type: DATABASE; Schema: -; Owner: x" (
    a integer
);


ALTER TABLE public."o""; Type: DATABASE; Schema: -; Owner: x" OWNER TO postgres;

--
-- TOC entry 221 (class 1259 OID 16467)
-- Name: p1; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.p1 (
    id integer,
    r text
);


ALTER TABLE public.p1 OWNER TO postgres;

--
-- TOC entry 222 (class 1259 OID 16472)
-- Name: p2; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.p2 (
    id integer,
    r text
);


ALTER TABLE public.p2 OWNER TO postgres;

--
-- TOC entry 223 (class 1259 OID 16477)
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
-- TOC entry 234 (class 1259 OID 16631)
-- Name: tt; Type: TABLE; Schema: public; Owner: postgres; Tablespace: ts
--

CREATE TABLE public.tt (
    a integer
);


ALTER TABLE public.tt OWNER TO postgres;

SET default_tablespace = '';

--
-- TOC entry 230 (class 1259 OID 16527)
-- Name: u; Type: TABLE; Schema: public; Owner: postgres
--

CREATE UNLOGGED TABLE public.u (
    id bytea
);


ALTER TABLE public.u OWNER TO postgres;

--
-- TOC entry 226 (class 1259 OID 16497)
-- Name: v; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.v AS
 SELECT p.id,
    p.r
   FROM public.p;


ALTER TABLE public.v OWNER TO postgres;

--
-- TOC entry 3526 (class 0 OID 0)
-- Dependencies: 226
-- Name: VIEW v; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON VIEW public.v IS 'it''s 
-- Name: x; Type: TABLE; Schema: public; Owner: bob
';


--
-- TOC entry 233 (class 1259 OID 16625)
-- Name: vv; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.vv AS
 SELECT 'back\slash ''q'::text AS a,
    'x'::text AS b;


ALTER TABLE public.vv OWNER TO postgres;

--
-- TOC entry 219 (class 1259 OID 16459)
-- Name: ta	b"q'üß; Type: TABLE; Schema: we ird;x; Owner: postgres
--

CREATE TABLE "we ird;x"."ta	b""q'üß" (
    "c ""ol	1" text,
    b integer
);


ALTER TABLE "we ird;x"."ta	b""q'üß" OWNER TO postgres;

--
-- TOC entry 3327 (class 0 OID 0)
-- Name: p1; Type: TABLE ATTACH; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.p ATTACH PARTITION public.p1 FOR VALUES FROM (0) TO (10);


--
-- TOC entry 3328 (class 0 OID 0)
-- Name: p2; Type: TABLE ATTACH; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.p ATTACH PARTITION public.p2 FOR VALUES FROM (10) TO (20);


--
-- TOC entry 3509 (class 2613 OID 4711)
-- Name: 4711; Type: BLOB; Schema: -; Owner: postgres
--

SELECT pg_catalog.lo_create('4711');


ALTER LARGE OBJECT 4711 OWNER TO postgres;

--
-- TOC entry 3528 (class 0 OID 0)
-- Dependencies: 3509
-- Name: LARGE OBJECT 4711; Type: COMMENT; Schema: -; Owner: postgres
--

COMMENT ON LARGE OBJECT 4711 IS 'lo';


--
-- TOC entry 3494 (class 0 OID 16448)
-- Dependencies: 217
-- Data for Name: c; Type: TABLE DATA; Schema: a.b; Owner: postgres
--

COPY "a.b".c (id, t) FROM stdin;
1	x\ty\\.\n\\.
2	x\ty\\.\n\\.
3	x\ty\\.\n\\.
\.


--
-- TOC entry 3495 (class 0 OID 16456)
-- Dependencies: 218
-- Data for Name: a; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.a ("b.c") FROM stdin;
1
\.


--
-- TOC entry 3504 (class 0 OID 16519)
-- Dependencies: 229
-- Data for Name: fk; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.fk (id) FROM stdin;
\.


--
-- TOC entry 3503 (class 0 OID 16512)
-- Dependencies: 228
-- Data for Name: generated; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.generated (id) FROM stdin;
1
\.


--
-- TOC entry 3500 (class 0 OID 16486)
-- Dependencies: 224
-- Data for Name: new line; Type: TABLE; Schema: evil; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public."new
line; Type: TABLE; Schema: evil" (a) FROM stdin;
1
\.


--
-- TOC entry 3506 (class 0 OID 16532)
-- Dependencies: 231
-- Data for Name: nocol; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.nocol  FROM stdin;

\.


--
-- TOC entry 3507 (class 0 OID 16618)
-- Dependencies: 232
-- Data for Name: o"; Type: DATABASE; Schema: -; Owner: x; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public."o""; Type: DATABASE; Schema: -; Owner: x" (a) FROM stdin;
\.


--
-- TOC entry 3497 (class 0 OID 16467)
-- Dependencies: 221
-- Data for Name: p1; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.p1 (id, r) FROM stdin;
1	r
2	r
3	r
4	r
5	r
6	r
7	r
8	r
9	r
\.


--
-- TOC entry 3498 (class 0 OID 16472)
-- Dependencies: 222
-- Data for Name: p2; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.p2 (id, r) FROM stdin;
10	r
11	r
12	r
13	r
14	r
15	r
16	r
17	r
18	r
19	r
\.


--
-- TOC entry 3508 (class 0 OID 16631)
-- Dependencies: 234
-- Data for Name: tt; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.tt (a) FROM stdin;
1
\.


--
-- TOC entry 3505 (class 0 OID 16527)
-- Dependencies: 230
-- Data for Name: u; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.u (id) FROM stdin;
\\x00
\.


--
-- TOC entry 3496 (class 0 OID 16459)
-- Dependencies: 219
-- Data for Name: ta	b"q'üß; Type: TABLE DATA; Schema: we ird;x; Owner: postgres
--

COPY "we ird;x"."ta	b""q'üß" ("c ""ol	1", b) FROM stdin;
q	1
\.


--
-- TOC entry 3530 (class 0 OID 0)
-- Dependencies: 227
-- Name: generated_id_seq; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.generated_id_seq', 1, true);


--
-- TOC entry 3531 (class 0 OID 0)
-- Dependencies: 223
-- Name: sq; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.sq', 1, true);


--
-- TOC entry 3510 (class 0 OID 0)
-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -
--

BEGIN;

SELECT pg_catalog.lo_open('4711', 131072);
SELECT pg_catalog.lowrite(0, '\xabab');
SELECT pg_catalog.lo_close(0);

COMMIT;

--
-- TOC entry 3332 (class 2606 OID 16455)
-- Name: c c_pkey; Type: CONSTRAINT; Schema: a.b; Owner: postgres
--

ALTER TABLE ONLY "a.b".c
    ADD CONSTRAINT c_pkey PRIMARY KEY (id);


--
-- TOC entry 3333 (class 1259 OID 16502)
-- Name: p_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX p_id_idx ON ONLY public.p USING btree (id);


--
-- TOC entry 3334 (class 1259 OID 16503)
-- Name: p1_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX p1_id_idx ON public.p1 USING btree (id);


--
-- TOC entry 3335 (class 1259 OID 16504)
-- Name: p2_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX p2_id_idx ON public.p2 USING btree (id);


SET default_tablespace = ts;

--
-- TOC entry 3336 (class 1259 OID 16634)
-- Name: tt_a_idx; Type: INDEX; Schema: public; Owner: postgres; Tablespace: ts
--

CREATE INDEX tt_a_idx ON public.tt USING btree (a);


--
-- TOC entry 3337 (class 0 OID 0)
-- Name: p1_id_idx; Type: INDEX ATTACH; Schema: public; Owner: postgres
--

ALTER INDEX public.p_id_idx ATTACH PARTITION public.p1_id_idx;


--
-- TOC entry 3338 (class 0 OID 0)
-- Name: p2_id_idx; Type: INDEX ATTACH; Schema: public; Owner: postgres
--

ALTER INDEX public.p_id_idx ATTACH PARTITION public.p2_id_idx;


--
-- TOC entry 3339 (class 3381 OID 16507)
-- Name: st; Type: STATISTICS; Schema: public; Owner: postgres
--

CREATE STATISTICS public.st ON id, r FROM public.p;


ALTER STATISTICS public.st OWNER TO postgres;

--
-- TOC entry 3488 (class 2618 OID 16629)
-- Name: u r2; Type: RULE; Schema: public; Owner: postgres
--

CREATE RULE r2 AS
    ON INSERT TO public.u DO ( INSERT INTO public.u (id)
  VALUES ('\x61'::bytea);
 INSERT INTO public.u (id)
  VALUES ('\x62'::bytea);
);


--
-- TOC entry 3486 (class 2618 OID 16516)
-- Name: a ru; Type: RULE; Schema: public; Owner: postgres
--

CREATE RULE ru AS
    ON INSERT TO public.a DO NOTHING;


--
-- TOC entry 3341 (class 2620 OID 16509)
-- Name: p1 tr; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER tr BEFORE UPDATE ON public.p1 FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();


--
-- TOC entry 3340 (class 2606 OID 16522)
-- Name: fk fk_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.fk
    ADD CONSTRAINT fk_id_fkey FOREIGN KEY (id) REFERENCES "a.b".c(id);


--
-- TOC entry 3489 (class 0 OID 16464)
-- Dependencies: 220
-- Name: p; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.p ENABLE ROW LEVEL SECURITY;

--
-- TOC entry 3490 (class 3256 OID 16508)
-- Name: p pol; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY pol ON public.p USING (true);


--
-- TOC entry 3491 (class 6104 OID 16505)
-- Name: pub; Type: PUBLICATION; Schema: -; Owner: postgres
--

CREATE PUBLICATION pub WITH (publish = 'insert, update, delete, truncate');


ALTER PUBLICATION pub OWNER TO postgres;

--
-- TOC entry 3492 (class 6106 OID 16506)
-- Name: pub p; Type: PUBLICATION TABLE; Schema: public; Owner: postgres
--

ALTER PUBLICATION pub ADD TABLE ONLY public.p;


--
-- TOC entry 3493 (class 6100 OID 16623)
-- Name: sub; Type: SUBSCRIPTION; Schema: -; Owner: postgres
--

CREATE SUBSCRIPTION sub CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = 'sub');


ALTER SUBSCRIPTION sub OWNER TO postgres;

--
-- TOC entry 3518 (class 0 OID 0)
-- Dependencies: 229
-- Name: TABLE fk; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.fk TO bob;


--
-- TOC entry 3519 (class 0 OID 0)
-- Dependencies: 228
-- Name: TABLE generated; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.generated TO bob;


--
-- TOC entry 3521 (class 0 OID 0)
-- Dependencies: 220
-- Name: TABLE p; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.p TO bob;


--
-- TOC entry 3522 (class 0 OID 0)
-- Dependencies: 231
-- Name: TABLE nocol; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.nocol TO bob;


--
-- TOC entry 3523 (class 0 OID 0)
-- Dependencies: 232
-- Name: TABLE "o""; Type: DATABASE; Schema: -; Owner: x"; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public."o""; Type: DATABASE; Schema: -; Owner: x" TO bob;


--
-- TOC entry 3524 (class 0 OID 0)
-- Dependencies: 234
-- Name: TABLE tt; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.tt TO bob;


--
-- TOC entry 3525 (class 0 OID 0)
-- Dependencies: 230
-- Name: TABLE u; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.u TO bob;


--
-- TOC entry 3527 (class 0 OID 0)
-- Dependencies: 233
-- Name: TABLE vv; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.vv TO bob;


--
-- TOC entry 3529 (class 0 OID 0)
-- Dependencies: 3509
-- Name: LARGE OBJECT 4711; Type: ACL; Schema: -; Owner: postgres
--

GRANT SELECT ON LARGE OBJECT 4711 TO bob;


--
-- TOC entry 2163 (class 826 OID 16510)
-- Name: DEFAULT PRIVILEGES FOR TABLES; Type: DEFAULT ACL; Schema: -; Owner: postgres
--

ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT SELECT ON TABLES  TO bob;


--
-- TOC entry 3326 (class 3466 OID 16617)
-- Name: et; Type: EVENT TRIGGER; Schema: -; Owner: postgres
--

CREATE EVENT TRIGGER et ON ddl_command_start
   EXECUTE FUNCTION public.f2();


ALTER EVENT TRIGGER et OWNER TO postgres;

--
-- TOC entry 3532 (class 0 OID 0)
-- Dependencies: 3326
-- Name: EVENT TRIGGER et; Type: COMMENT; Schema: -; Owner: postgres
--

COMMENT ON EVENT TRIGGER et IS 'evt';


--
-- TOC entry 3501 (class 0 OID 16491)
-- Dependencies: 225 3512
-- Name: mv; Type: MATERIALIZED VIEW DATA; Schema: public; Owner: postgres
--

REFRESH MATERIALIZED VIEW public.mv;


-- Completed on 2026-11-22 13:59:14 UTC

--
-- PostgreSQL database dump complete
--

\unrestrict u5Gd9bOp8Cy1Cf0bpZGP8qTVzEWYWWIFaSmwkSdv6mlRWfEB1eKZTqOZqX5HcZK

