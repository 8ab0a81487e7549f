-- The database that the dumps in this folder are of (pg_dump 15.18, options in their names).
create schema "a.b"; create schema "we ird;x";
create table "a.b"."c" (id int primary key, t text default 'x;y');
create table "a"("b.c" int); 
create table "we ird;x"."ta	b""q'üß" ("c ""ol	1" text, b int);
create table p (id int, r text) partition by range(id);
create table p1 partition of p for values from (0) to (10);
create table p2 partition of p for values from (10) to (20);
create sequence sq; select nextval('sq');
create type e as enum ('a','b'); create domain d as text check (value in ('a','b'));
create table "new
line; Type: TABLE; Schema: evil" (a int);
insert into "new
line; Type: TABLE; Schema: evil" values (1);
insert into "a.b"."c" select g, E'x\ty\\.\n\\.' from generate_series(1,3) g;
insert into "a" values (1);
insert into "we ird;x"."ta	b""q'üß" values ('q',1);
insert into p select g,'r' from generate_series(1,19) g;
create function f() returns text language sql as $$ select '
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
create function g() returns int begin atomic select 1; select 2; end;
create materialized view mv as select * from p;
create view v as select * from p; comment on view v is E'it''s \n-- Name: x; Type: TABLE; Schema: public; Owner: bob\n';
select lo_create(4711); select lo_put(4711,0,decode(repeat('ab',7),'hex')); comment on large object 4711 is 'lo';
create role bob; grant select on p to bob; grant select on large object 4711 to bob;
create index on p(id); create publication pub for table p;
create statistics st on id, r from p;
create policy pol on p using (true); alter table p enable row level security;
create trigger tr before update on p1 for each row execute function suppress_redundant_updates_trigger();
alter default privileges grant select on tables to bob;
create table generated (id int generated always as identity, z int generated always as (id*2) stored);
insert into generated default values;
alter database app set work_mem='5MB'; comment on database app is 'the app'; grant connect on database app to bob;
create rule ru as on insert to "a" do also nothing;
create aggregate ag(int) (sfunc=int4pl, stype=int);
create operator ### (leftarg=int, rightarg=int, function=int4pl);
create table fk (id int references "a.b"."c");
create unlogged table u (id bytea); insert into u values ('\x00');
create table nocol (); insert into nocol default values;
comment on column p.id is 'pk'; comment on schema "a.b" is 'S';
create extension if not exists pg_trgm;
create function f2() returns event_trigger language plpgsql as $f$begin end$f$;
comment on extension pg_trgm is 'x';
create table "o""; Type: DATABASE; Schema: -; Owner: x" (a int);
alter role bob in database app set work_mem='7MB';
create domain "dö$m" as int; create subscription sub connection 'dbname=x' publication p with (connect=false);
create procedure pr() language sql as $$select E'a\'b'$$;
create view vv as select E'back\\slash ''q' as a, $q$x$q$ as b;
create rule r2 as on insert to u do also (insert into u values ('a'); insert into u values ('b'));
create tablespace ts location '/srv/ts'; create table tt (a int) tablespace ts; create index on tt(a) tablespace ts;
insert into tt values (1);
