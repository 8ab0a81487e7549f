--
-- PostgreSQL database dump
--

\restrict 6ab76FLALW6Z5HkT8daXCrrfEbtdNRBdTkeEhuJB4yTVtk7mR9kOa3JifeqY6k3

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

SET SESSION AUTHORIZATION DEFAULT;

ALTER TABLE "a.b".c DISABLE TRIGGER ALL;

COPY "a.b".c (id, t) FROM stdin;
1	x\ty\\.\n\\.
2	x\ty\\.\n\\.
3	x\ty\\.\n\\.
\.


ALTER TABLE "a.b".c ENABLE TRIGGER ALL;

--
-- Data for Name: a; Type: TABLE DATA; Schema: public; Owner: postgres
--

ALTER TABLE public.a DISABLE TRIGGER ALL;

COPY public.a ("b.c") FROM stdin;
1
\.


ALTER TABLE public.a ENABLE TRIGGER ALL;

--
-- Data for Name: fk; Type: TABLE DATA; Schema: public; Owner: postgres
--

ALTER TABLE public.fk DISABLE TRIGGER ALL;

COPY public.fk (id) FROM stdin;
\.


ALTER TABLE public.fk ENABLE TRIGGER ALL;

--
-- Data for Name: generated; Type: TABLE DATA; Schema: public; Owner: postgres
--

ALTER TABLE public.generated DISABLE TRIGGER ALL;

COPY public.generated (id) FROM stdin;
1
\.


ALTER TABLE public.generated ENABLE TRIGGER ALL;

--
-- Data for Name: new line; Type: TABLE; Schema: evil; Type: TABLE DATA; Schema: public; Owner: postgres
--

ALTER TABLE public."new
line; Type: TABLE; Schema: evil" DISABLE TRIGGER ALL;

COPY public."new
line; Type: TABLE; Schema: evil" (a) FROM stdin;
1
\.


ALTER TABLE public."new
line; Type: TABLE; Schema: evil" ENABLE TRIGGER ALL;

--
-- Data for Name: nocol; Type: TABLE DATA; Schema: public; Owner: postgres
--

ALTER TABLE public.nocol DISABLE TRIGGER ALL;

COPY public.nocol  FROM stdin;

\.


ALTER TABLE public.nocol ENABLE TRIGGER ALL;

--
-- Data for Name: o"; Type: DATABASE; Schema: -; Owner: x; Type: TABLE DATA; Schema: public; Owner: postgres
--

ALTER TABLE public."o""; Type: DATABASE; Schema: -; Owner: x" DISABLE TRIGGER ALL;

COPY public."o""; Type: DATABASE; Schema: -; Owner: x" (a) FROM stdin;
\.


ALTER TABLE public."o""; Type: DATABASE; Schema: -; Owner: x" ENABLE TRIGGER ALL;

--
-- Data for Name: p1; Type: TABLE DATA; Schema: public; Owner: postgres
--

ALTER TABLE public.p1 DISABLE TRIGGER ALL;

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


ALTER TABLE public.p1 ENABLE TRIGGER ALL;

--
-- Data for Name: p2; Type: TABLE DATA; Schema: public; Owner: postgres
--

ALTER TABLE public.p2 DISABLE TRIGGER ALL;

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


ALTER TABLE public.p2 ENABLE TRIGGER ALL;

--
-- Data for Name: tt; Type: TABLE DATA; Schema: public; Owner: postgres
--

ALTER TABLE public.tt DISABLE TRIGGER ALL;

COPY public.tt (a) FROM stdin;
1
\.


ALTER TABLE public.tt ENABLE TRIGGER ALL;

--
-- Data for Name: u; Type: TABLE DATA; Schema: public; Owner: postgres
--

ALTER TABLE public.u DISABLE TRIGGER ALL;

COPY public.u (id) FROM stdin;
\\x00
\.


ALTER TABLE public.u ENABLE TRIGGER ALL;

--
-- Data for Name: ta	b"q'üß; Type: TABLE DATA; Schema: we ird;x; Owner: postgres
--

ALTER TABLE "we ird;x"."ta	b""q'üß" DISABLE TRIGGER ALL;

COPY "we ird;x"."ta	b""q'üß" ("c ""ol	1", b) FROM stdin;
q	1
\.


ALTER TABLE "we ird;x"."ta	b""q'üß" ENABLE TRIGGER ALL;

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
-- Name: LARGE OBJECT 4711; Type: ACL; Schema: -; Owner: postgres
--

GRANT SELECT ON LARGE OBJECT 4711 TO bob;


--
-- PostgreSQL database dump complete
--

\unrestrict 6ab76FLALW6Z5HkT8daXCrrfEbtdNRBdTkeEhuJB4yTVtk7mR9kOa3JifeqY6k3

