-- A migration as it should not be: tested on a laptop, on a Friday.
SET client_min_messages = warning;
BEGIN;
ALTER TABLE shop.users DROP COLUMN email;
DELETE FROM shop.orders WHERE id % 2 = 0;
TRUNCATE shop.chat_messages;
UPDATE shop.products SET price = 0;
COMMIT;
