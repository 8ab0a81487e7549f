-- The sample's roles, made where they are missing. Roles belong to the whole cluster.
-- The verifier is that of the password "demo-only", fixed so that two loads are the same.
SET client_min_messages = warning;
SELECT format('CREATE ROLE %I %s', name, options)
FROM (VALUES
    ('snap_demo_owner', 'NOLOGIN CREATEDB'),
    ('snap_demo_readers', 'NOLOGIN'),
    ('snap_demo_app', 'LOGIN PASSWORD ''SCRAM-SHA-256$4096:cGdwc2NvZGVkbW9fc2FsdA==$kYkih91CQyvmcaz2cosVq7igfVaquKu5FkRmO2sQOTo=:bFNDXGuTSlpMStsNJ2tRRQpoB49AtIjNfiiQlTc4Qr0='''),
    ('snap_demo Clerk "Zoë"', 'LOGIN CONNECTION LIMIT 3 IN ROLE snap_demo_readers')
) AS wanted (name, options)
WHERE name NOT IN (SELECT rolname FROM pg_roles) \gexec
COMMENT ON ROLE snap_demo_owner IS 'Owns the sample application.';
