-- Limits against abusive origins.

-- 0 refused, 1 one request at a time, 2 accepted: enum strangers.
ALTER TABLE account RENAME COLUMN open_to_strangers TO strangers;

-- Requests that wait: all of an account, from the index alone, and those from one domain.
CREATE INDEX consent_requests ON consent (account_key, since_ms, state) WHERE state = 1;
CREATE INDEX consent_requests_domain ON consent
	(account_key, substr(address, instr(address, '@') + 1), since_ms) WHERE state = 1;

-- A hash of the domain that an envelope came from; NULL: of this node, or no envelope. The
-- body stays the last column, and what counts is in the index.
CREATE TABLE mailbox_new (
	seq INTEGER PRIMARY KEY,
	generation INTEGER NOT NULL,
	kind INTEGER NOT NULL,
	bytes INTEGER NOT NULL,   -- that count against the limits; 0: not an envelope
	expires_ms INTEGER NOT NULL,
	early INTEGER,            -- 1 or NULL
	origin INTEGER,
	-- for receipts; NULL where none can be due
	message_id BLOB,
	sender TEXT,              -- address
	sender_generation INTEGER, -- of a local sender
	token TEXT,               -- of a remote one
	body BLOB NOT NULL
);
INSERT INTO mailbox_new SELECT seq, generation, kind, bytes, expires_ms, early, NULL,
	message_id, sender, sender_generation, token, body FROM mailbox;
DROP TABLE mailbox;
ALTER TABLE mailbox_new RENAME TO mailbox;
CREATE INDEX mailbox_generation ON mailbox (generation, seq, bytes, origin);
CREATE INDEX mailbox_early ON mailbox (expires_ms) WHERE early = 1;

-- Whose a message is.
CREATE TABLE outbox_new (
	item_key INTEGER PRIMARY KEY,
	destination_key INTEGER NOT NULL,
	position INTEGER NOT NULL,
	kind INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	expires_ms INTEGER NOT NULL,
	early INTEGER,            -- 1: expires before its neighbours; else NULL
	account_key INTEGER,      -- messages: of the sender; else NULL
	message_id BLOB,          -- messages: whom to tell how it ended; else NULL
	generation INTEGER,
	recipient TEXT,
	body BLOB NOT NULL
);
INSERT INTO outbox_new SELECT item_key, destination_key, position, kind, bytes, expires_ms,
	early, (SELECT account_key FROM device WHERE device.generation = outbox.generation),
	message_id, generation, recipient, body FROM outbox;
DROP TABLE outbox;
ALTER TABLE outbox_new RENAME TO outbox;
CREATE INDEX outbox_position ON outbox (destination_key, position, bytes, account_key);
CREATE INDEX outbox_early ON outbox (destination_key, expires_ms) WHERE early = 1;

-- The devices that a message did not reach: told again when it comes again.
ALTER TABLE received ADD COLUMN over_quota BLOB; -- device ids; NULL: it reached all
