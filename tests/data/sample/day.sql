-- A day in the life of the shop. psql variables: seed (the day's number).
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE FUNCTION pg_temp.pick(i bigint, seed int, n bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE AS
    'SELECT (hashint8extended($1, $2) & 9223372036854775807) % $3';
SELECT max(id) AS users FROM shop.users \gset
SELECT max(id) AS products FROM shop.products \gset
SELECT max(id) AS orders, greatest(count(*) / 100, 1) AS new_orders FROM shop.orders \gset
SELECT coalesce(max(id), 0) AS events, greatest(count(*) / 100, 1) AS new_events FROM shop.events \gset
SELECT coalesce(max(id), 0) AS messages, greatest(count(*) / 100, 1) AS new_messages FROM shop.chat_messages \gset
BEGIN;
UPDATE shop.orders SET status = 'sent' WHERE status = 'paid' AND pg_temp.pick(id, 1000 + :seed, 50) = 0;
UPDATE shop.users SET settings = settings || jsonb_build_object('seen', pg_temp.pick(id, 2000 + :seed, 9999))
WHERE pg_temp.pick(id, 3000 + :seed, 70) = 0;
UPDATE shop.products SET price = price + 1 WHERE pg_temp.pick(id, 4000 + :seed, 90) = 0;
DELETE FROM shop.orders WHERE status = 'returned' AND pg_temp.pick(id, 5000 + :seed, 200) = 0;
INSERT INTO shop.orders (user_id, status, placed_at, total)
SELECT 1 + pg_temp.pick(i, 31, :users), 'new', '2026-01-01'::timestamptz + :seed * '1 day'::interval + i * '1 second'::interval,
       pg_temp.pick(i, 35, 50000) / 100.0
FROM generate_series(:orders + 1, :orders + :new_orders) AS i;
INSERT INTO shop.order_items (order_id, line_no, product_id, quantity, price)
SELECT id, 1, 1 + pg_temp.pick(id, 41, :products), 1, 9.99 FROM shop.orders WHERE id > :orders;
INSERT INTO shop.events (id, happened_at, user_id, kind, payload)
SELECT i, '2026-01-01'::timestamptz + :seed * '1 day'::interval + i * '10 ms'::interval, 1 + pg_temp.pick(i, 51, :users), 'view', '{"page": "/"}'
FROM generate_series(:events + 1, :events + :new_events) AS i;
INSERT INTO shop.chat_messages (id, room, sender, body, sent_at)
SELECT i, 'room ' || pg_temp.pick(i, 61, 40), 1 + pg_temp.pick(i, 62, :users), 'day ' || :seed || ', message ' || i,
       '2026-01-01'::timestamp + :seed * '1 day'::interval + i * '1 second'::interval
FROM generate_series(:messages + 1, :messages + :new_messages) AS i;
COMMIT;
