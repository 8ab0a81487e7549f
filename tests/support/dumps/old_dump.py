"""A dump in the layout of pg_dump 9.4; *owner* and a trailing *space* are to be filled in."""

from __future__ import annotations

NINE = """--
-- PostgreSQL database dump
--

-- Dumped from database version 9.4.26
-- Dumped by pg_dump version 9.4.26

SET statement_timeout = 0;
SET lock_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET check_function_bodies = false;
SET client_min_messages = warning;

--
-- Name: plpgsql; Type: EXTENSION; Schema: -; Owner:{space}
--

CREATE EXTENSION IF NOT EXISTS plpgsql WITH SCHEMA pg_catalog;


--
-- Name: EXTENSION plpgsql; Type: COMMENT; Schema: -; Owner:{space}
--

COMMENT ON EXTENSION plpgsql IS 'PL/pgSQL procedural language';


SET search_path = public, pg_catalog;

SET default_tablespace = '';

SET default_with_oids = false;

--
-- Name: old; Type: TABLE; Schema: public; Owner: {owner}; Tablespace:{space}
--

CREATE TABLE old (
    id integer NOT NULL,
    words text
);


ALTER TABLE public.old OWNER TO {owner};

--
-- Name: old_id_seq; Type: SEQUENCE; Schema: public; Owner: {owner}
--

CREATE SEQUENCE old_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER TABLE public.old_id_seq OWNER TO {owner};

--
-- Data for Name: old; Type: TABLE DATA; Schema: public; Owner: {owner}
--

COPY old (id, words) FROM stdin;
1	\\\\. is not the end
2	\\N
\\.


--
-- Name: old_id_seq; Type: SEQUENCE SET; Schema: public; Owner: {owner}
--

SELECT pg_catalog.setval('old_id_seq', 2, true);


--
-- Name: old_pkey; Type: CONSTRAINT; Schema: public; Owner: {owner}; Tablespace:{space}
--

ALTER TABLE ONLY old
    ADD CONSTRAINT old_pkey PRIMARY KEY (id);


--
-- Name: public; Type: ACL; Schema: -; Owner: {owner}
--

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO PUBLIC;


--
-- PostgreSQL database dump complete
--

"""
