-- The part of the sample that looks like a shop, and holds nearly all of its bytes.
-- Every value comes from a hash of its row's number: loaded twice, it is the same.
-- psql variables: users, products, orders, items, events, messages (rows, items for each order).

SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET check_function_bodies = on;

CREATE FUNCTION pg_temp.pick(i bigint, seed int, n bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE AS
    'SELECT (hashint8extended($1, $2) & 9223372036854775807) % $3';

BEGIN;
SET LOCAL ROLE snap_demo_owner;

CREATE SCHEMA shop;
COMMENT ON SCHEMA shop IS 'What the shop''s application reads and writes.';

CREATE TYPE shop.order_status AS ENUM ('new', 'paid', 'sent', 'returned', 'lost in the mail');
CREATE TYPE shop.address AS (street text, city text, zip varchar(10), country char(2));
CREATE DOMAIN shop.email AS text CHECK (VALUE ~ '^[^@\s]+@[^@\s]+$');
CREATE DOMAIN shop.price AS numeric(10, 2) NOT NULL CHECK (VALUE >= 0);
COMMENT ON TYPE shop.order_status IS 'The life of an order.';
COMMENT ON DOMAIN shop.price IS 'Euros. Never negative, unlike refunds.';

CREATE TABLE shop.users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email shop.email NOT NULL,
    name text NOT NULL,
    home shop.address,
    tier varchar(12) NOT NULL DEFAULT 'basic'
        CONSTRAINT users_tier_check CHECK (tier IN ('basic', 'silver', 'gold')),
    tags text[] NOT NULL DEFAULT '{}',
    settings jsonb NOT NULL DEFAULT '{}',
    password_hash bytea,
    created_at timestamptz NOT NULL,
    search_name text GENERATED ALWAYS AS (lower(name)) STORED
);
COMMENT ON TABLE shop.users IS 'People who bought something, or might.';
COMMENT ON COLUMN shop.users.password_hash IS 'Never leaves this table. It''s salted; "really".';

CREATE TABLE shop.products (
    id serial PRIMARY KEY,
    sku text NOT NULL UNIQUE,
    title text NOT NULL,
    description text,
    price shop.price,
    available int4range NOT NULL,
    attributes jsonb NOT NULL,
    thumbnail bytea
);

CREATE TABLE shop.orders (
    id bigserial PRIMARY KEY,
    user_id bigint NOT NULL,
    status shop.order_status NOT NULL DEFAULT 'new',
    placed_at timestamptz NOT NULL,
    ship_to shop.address,
    note text,
    total numeric(12, 2) NOT NULL
);
COMMENT ON COLUMN shop.orders.total IS 'As it was billed; see shop.recount().';

CREATE TABLE shop.order_items (
    order_id bigint NOT NULL,
    line_no smallint NOT NULL,
    product_id int NOT NULL,
    quantity int NOT NULL CHECK (quantity > 0),
    price shop.price,
    amount numeric GENERATED ALWAYS AS (quantity * price::numeric) STORED
);

CREATE TABLE shop.events (
    id bigint NOT NULL,
    happened_at timestamptz NOT NULL,
    user_id bigint,
    kind text NOT NULL,
    payload jsonb
) PARTITION BY RANGE (happened_at);
CREATE TABLE shop.events_rest PARTITION OF shop.events DEFAULT;
SELECT format('CREATE TABLE shop.events_2025_%s PARTITION OF shop.events '
              'FOR VALUES FROM (%L) TO (%L)', to_char(month, 'MM'), month, month + '1 month'::interval)
FROM generate_series('2025-01-01'::timestamptz, '2025-12-01', '1 month') AS month \gexec

CREATE TABLE shop.chat_messages (
    id bigint PRIMARY KEY,
    room text NOT NULL,
    sender bigint NOT NULL,
    reply_to bigint,
    body text NOT NULL,
    sent_at timestamp NOT NULL
);

INSERT INTO shop.users (email, name, home, tier, tags, settings, password_hash, created_at)
SELECT format('user%s@%s.example', i, (ARRAY['mail', 'post', 'brief', 'übermail'])[1 + pg_temp.pick(i, 1, 4)]),
       (ARRAY['Ada', 'Bo', 'Chloë', 'Đorđe', 'Émile', 'Fatma', 'Grace', '花子', 'Ines', 'O''Neil'])
           [1 + pg_temp.pick(i, 2, 10)] || ' ' ||
       (ARRAY['Smith', 'Müller', 'García', 'Nguyễn', 'Ivanov', 'Öztürk', 'Jansen', 'Kowalska'])
           [1 + pg_temp.pick(i, 3, 8)] || ' ' || i,
       ROW(format('%s Main Street, "Floor" %s', pg_temp.pick(i, 4, 200), pg_temp.pick(i, 5, 9)),
           (ARRAY['Berlin', 'São Paulo', 'New York', '東京', 'Aix-en-Provence'])[1 + pg_temp.pick(i, 6, 5)],
           to_char(pg_temp.pick(i, 7, 99999), 'FM00000'),
           (ARRAY['DE', 'BR', 'US', 'JP', 'FR'])[1 + pg_temp.pick(i, 6, 5)])::shop.address,
       (ARRAY['basic', 'basic', 'silver', 'gold'])[1 + pg_temp.pick(i, 8, 4)],
       CASE pg_temp.pick(i, 9, 3) WHEN 0 THEN '{}' WHEN 1 THEN ARRAY['newsletter']
           ELSE ARRAY['vip', 'two words', 'with "quotes"'] END,
       jsonb_build_object('theme', (ARRAY['dark', 'light'])[1 + pg_temp.pick(i, 10, 2)],
                          'seen', pg_temp.pick(i, 11, 1000), 'beta', pg_temp.pick(i, 12, 2) = 0),
       CASE WHEN pg_temp.pick(i, 13, 10) > 0 THEN sha256(i::text::bytea) END,
       '2024-01-01'::timestamptz + pg_temp.pick(i, 14, 31536000) * '1 second'::interval
FROM generate_series(1, :users::bigint) AS i;

INSERT INTO shop.products (sku, title, description, price, available, attributes, thumbnail)
SELECT 'SKU-' || to_char(i, 'FM000000'),
       (ARRAY['Small', 'Large', 'Odd', 'Fine', 'Used'])[1 + pg_temp.pick(i, 21, 5)] || ' ' ||
       (ARRAY['teapot', 'lamp', 'chair', 'clock', 'map', 'kite'])[1 + pg_temp.pick(i, 22, 6)],
       repeat('Made with care. ', 1 + pg_temp.pick(i, 23, 12)::int) || E'\nNo\ttwo are alike.',
       1 + pg_temp.pick(i, 24, 19900) / 100.0,
       int4range(pg_temp.pick(i, 25, 5)::int, 5 + pg_temp.pick(i, 26, 500)::int),
       jsonb_build_object('weight_g', pg_temp.pick(i, 27, 9000), 'colours', jsonb_build_array(
           (ARRAY['red', 'blue', 'ochre'])[1 + pg_temp.pick(i, 28, 3)], NULL, '\slashed\')),
       CASE WHEN i % 7 = 0 THEN NULL ELSE sha512(i::text::bytea) END
FROM generate_series(1, :products::bigint) AS i;

INSERT INTO shop.orders (user_id, status, placed_at, ship_to, note, total)
SELECT 1 + pg_temp.pick(i, 31, :users),
       (enum_range(NULL::shop.order_status))[1 + least(pg_temp.pick(i, 32, 12), 4)],
       '2025-01-01'::timestamptz + (i * 31536000 / :orders) * '1 second'::interval,
       CASE WHEN i % 3 = 0 THEN ROW('Pier ' || pg_temp.pick(i, 33, 99), 'Hamburg', NULL, 'DE')::shop.address END,
       CASE pg_temp.pick(i, 34, 9) WHEN 0 THEN 'please ring twice' WHEN 1 THEN '' WHEN 2 THEN E'C:\\drop\tbox' END,
       pg_temp.pick(i, 35, 50000) / 100.0
FROM generate_series(1, :orders::bigint) AS i;

INSERT INTO shop.order_items (order_id, line_no, product_id, quantity, price)
SELECT i, line, 1 + pg_temp.pick(i * 16 + line, 41, :products), 1 + pg_temp.pick(i * 16 + line, 42, 5),
       1 + pg_temp.pick(i * 16 + line, 43, 19900) / 100.0
FROM generate_series(1, :orders::bigint) AS i, generate_series(1, 1 + pg_temp.pick(i, 44, :items * 2 - 1)) AS line;

INSERT INTO shop.events (id, happened_at, user_id, kind, payload)
SELECT i, '2024-12-28'::timestamptz + (i * 32000000 / :events) * '1 second'::interval,
       nullif(pg_temp.pick(i, 51, :users), 0),
       (ARRAY['view', 'view', 'click', 'cart', 'login', 'error'])[1 + pg_temp.pick(i, 52, 6)],
       CASE WHEN pg_temp.pick(i, 53, 20) > 0 THEN
           jsonb_build_object('page', '/p/' || pg_temp.pick(i, 54, :products), 'ms', pg_temp.pick(i, 55, 900),
                              'session', md5((i / 9)::text)) END
FROM generate_series(1, :events::bigint) AS i;

INSERT INTO shop.chat_messages (id, room, sender, reply_to, body, sent_at)
SELECT i, 'room ' || pg_temp.pick(i, 61, 40), 1 + pg_temp.pick(i, 62, :users),
       CASE WHEN i % 4 = 0 THEN i - 1 - pg_temp.pick(i, 63, 3) END,
       string_agg(phrase[1 + pg_temp.pick(i * 8 + part, 64, array_length(phrase, 1))], ' ' ORDER BY part),
       '2025-06-01'::timestamp + i * '90 seconds'::interval
FROM generate_series(1, :messages::bigint) AS i,
     generate_series(1, 2 + pg_temp.pick(i, 65, 5)) AS part,
     (VALUES (ARRAY['has anybody seen the new teapots?', 'yes 😀', 'the order is on its way', E'see C:\\temp',
         'back at nine', E'two\nlines', 'this is not a \. line', 'I would not call that "odd"', 'ça marche',
         'price went up again', 'who ordered 400 kites', '50% off; DROP by!', E'tab\there', 'спасибо',
         'ping', 'the lamp flickers, please take it back', 'thanks -- all good', 'see you tomorrow',
         'can you check order 1234', 'it was lost in the mail', 'great, closing this']) ) AS words (phrase)
GROUP BY i;

ALTER TABLE shop.order_items ADD PRIMARY KEY (order_id, line_no);
ALTER TABLE shop.order_items
    ADD FOREIGN KEY (order_id) REFERENCES shop.orders ON DELETE CASCADE,
    ADD FOREIGN KEY (product_id) REFERENCES shop.products ON UPDATE CASCADE DEFERRABLE;
ALTER TABLE shop.orders ADD FOREIGN KEY (user_id) REFERENCES shop.users ON DELETE CASCADE;
ALTER TABLE shop.events ADD PRIMARY KEY (happened_at, id);
CREATE INDEX orders_user_id_idx ON shop.orders (user_id) INCLUDE (status);
CREATE INDEX orders_open_idx ON shop.orders (placed_at) WHERE status IN ('new', 'paid');
CREATE UNIQUE INDEX users_email_idx ON shop.users (lower(email));
CREATE INDEX users_settings_idx ON shop.users USING gin (settings jsonb_path_ops);
CREATE INDEX chat_room_idx ON shop.chat_messages (room, sent_at DESC NULLS LAST);
COMMENT ON INDEX shop.orders_open_idx IS 'For the packing list.';

CREATE VIEW shop.open_orders WITH (security_barrier) AS
    SELECT o.id, o.placed_at, u.name, o.total FROM shop.orders o JOIN shop.users u ON u.id = o.user_id
    WHERE o.status IN ('new', 'paid');
CREATE MATERIALIZED VIEW shop.revenue AS
    SELECT date_trunc('month', o.placed_at AT TIME ZONE 'UTC')::date AS month, o.status,
           count(*) AS orders, sum(o.total) AS total
    FROM shop.orders o GROUP BY 1, 2 ORDER BY 1, 2;
CREATE UNIQUE INDEX revenue_idx ON shop.revenue (month, status);
CREATE MATERIALIZED VIEW shop.best_month AS
    SELECT month, sum(total) AS total FROM shop.revenue GROUP BY month ORDER BY 2 DESC, 1 LIMIT 1;
CREATE MATERIALIZED VIEW shop.not_yet AS SELECT count(*) AS n FROM shop.events WITH NO DATA;
COMMENT ON MATERIALIZED VIEW shop.revenue IS 'Refreshed at night.';
CREATE STATISTICS shop.orders_stats (ndistinct, dependencies, mcv) ON user_id, status FROM shop.orders;
COMMENT ON STATISTICS shop.orders_stats IS 'The planner took every user for a gold one.';

CREATE FUNCTION shop.recount(which bigint, OUT total numeric) LANGUAGE sql STABLE
    BEGIN ATOMIC
        SELECT sum(i.amount) FROM shop.order_items i WHERE i.order_id = which;
    END;
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NEW.note = '' THEN
        NEW.note := NULL;  -- a shop's view of the matter; the rows that are there keep their ''
    END IF;
    RETURN NEW;
END $body$;
CREATE TRIGGER orders_touch BEFORE UPDATE OF note ON shop.orders FOR EACH ROW
    WHEN (OLD.note IS DISTINCT FROM NEW.note) EXECUTE FUNCTION shop.touch();
COMMENT ON TRIGGER orders_touch ON shop.orders IS 'An empty note is no note.';
COMMENT ON FUNCTION shop.recount(bigint) IS 'The sum of an order''s lines.';
CREATE PROCEDURE shop.close_month(month date, INOUT closed int DEFAULT 0) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE shop.orders SET status = 'sent' WHERE status = 'paid' AND placed_at < month;
    GET DIAGNOSTICS closed = ROW_COUNT;
END $$;

GRANT USAGE ON SCHEMA shop TO snap_demo_app, snap_demo_readers;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO snap_demo_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA shop TO snap_demo_app;
REVOKE ALL ON shop.users FROM snap_demo_app;
GRANT SELECT (id, name, tier), UPDATE (name) ON shop.users TO snap_demo_app;
GRANT SELECT (name) ON shop.users TO snap_demo_readers WITH GRANT OPTION;
REVOKE EXECUTE ON FUNCTION shop.recount(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.recount(bigint) TO snap_demo_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO snap_demo_readers;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
COMMIT;
