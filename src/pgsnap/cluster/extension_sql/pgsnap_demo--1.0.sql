-- The rows with built_in come with the extension; the others are the user's, and in every dump.
CREATE TABLE @extschema@.vat_rates (
    country text PRIMARY KEY,
    percent numeric NOT NULL,
    built_in boolean NOT NULL DEFAULT true
);
INSERT INTO @extschema@.vat_rates VALUES ('DE', 19), ('FR', 20), ('JP', 10);
CREATE SEQUENCE @extschema@.vat_changes;
CREATE FUNCTION @extschema@.vat(net numeric, country text) RETURNS numeric LANGUAGE sql STABLE
    SET search_path = @extschema@
    AS 'SELECT round($1 * percent / 100, 2) FROM vat_rates r WHERE r.country = $2';
SELECT pg_catalog.pg_extension_config_dump('@extschema@.vat_rates', 'WHERE NOT built_in');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.vat_changes', '');
