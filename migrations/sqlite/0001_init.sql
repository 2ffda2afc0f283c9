-- The first schema. Integers named *_ms are times in milliseconds since 1970.

CREATE TABLE meta (
	name TEXT PRIMARY KEY,
	value INTEGER NOT NULL
) WITHOUT ROWID;

-- A deleted account stays as a tombstone: its name is never given out again.
CREATE TABLE account (
	account_key INTEGER PRIMARY KEY,
	user TEXT NOT NULL UNIQUE,
	password_hash TEXT,
	list_version INTEGER NOT NULL,
	open_to_strangers INTEGER NOT NULL DEFAULT 1,
	receipts INTEGER NOT NULL DEFAULT 1,
	created_ms INTEGER NOT NULL,
	deleted_ms INTEGER
);

-- The key of a device is its generation: AUTOINCREMENT never gives one out twice.
CREATE TABLE device (
	generation INTEGER PRIMARY KEY AUTOINCREMENT,
	account_key INTEGER NOT NULL REFERENCES account,
	device_id INTEGER NOT NULL,
	name TEXT NOT NULL,
	registration_id INTEGER NOT NULL,
	scheme INTEGER NOT NULL,
	identity_key BLOB NOT NULL,
	signed_prekey_id INTEGER NOT NULL,
	signed_prekey BLOB NOT NULL,
	signed_prekey_signature BLOB NOT NULL,
	signed_prekey_ms INTEGER NOT NULL,
	last_resort_id INTEGER,
	last_resort BLOB,
	last_resort_signature BLOB,
	tokens_from_ms INTEGER NOT NULL DEFAULT 0, -- access tokens issued before are void
	created_ms INTEGER NOT NULL,
	last_seen_ms INTEGER NOT NULL,
	UNIQUE (account_key, device_id)
);

-- One-time prekeys. A row whose key has been handed out stays, without the key, so that
-- no id is ever handed out twice.
CREATE TABLE prekey (
	prekey_key INTEGER PRIMARY KEY,
	generation INTEGER NOT NULL,
	kind INTEGER NOT NULL, -- 1 EC, 2 PQ
	id INTEGER NOT NULL,
	public_key BLOB,
	signature BLOB,
	UNIQUE (generation, kind, id)
);
CREATE INDEX prekey_waiting ON prekey (generation, kind, prekey_key) WHERE public_key IS NOT NULL;

CREATE TABLE claim (
	claimer TEXT NOT NULL,
	claim_id TEXT NOT NULL,
	request BLOB NOT NULL, -- SHA-256 of what was asked
	answer BLOB NOT NULL,
	expires_ms INTEGER NOT NULL,
	PRIMARY KEY (claimer, claim_id)
) WITHOUT ROWID;
CREATE INDEX claim_expires ON claim (expires_ms);

CREATE TABLE refresh_token (
	hash BLOB PRIMARY KEY,
	generation INTEGER NOT NULL,
	used INTEGER NOT NULL DEFAULT 0,
	expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX refresh_token_generation ON refresh_token (generation);
CREATE INDEX refresh_token_expires ON refresh_token (expires_ms);

CREATE TABLE link_token (
	hash BLOB PRIMARY KEY,
	account_key INTEGER NOT NULL,
	expires_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE invite (
	hash BLOB PRIMARY KEY,
	expires_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE used_nonce (
	hash BLOB PRIMARY KEY,
	expires_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE consent (
	account_key INTEGER NOT NULL,
	address TEXT NOT NULL,
	state INTEGER NOT NULL, -- 1 requested, 2 accepted, 3 blocked
	since_ms INTEGER NOT NULL,
	PRIMARY KEY (account_key, address)
) WITHOUT ROWID;
CREATE INDEX consent_accepted ON consent (address) WHERE state = 2;

-- Rows are appended; seq comes from a counter that is reserved in blocks (meta.mailbox_seq).
-- Most expire in the order in which they came, so that the front of the table is where to
-- look; an index has only those whose time is over well before that of their neighbours.
-- The body comes last: reading the rest then leaves its overflow pages alone.
CREATE TABLE mailbox (
	seq INTEGER PRIMARY KEY,
	generation INTEGER NOT NULL,
	kind INTEGER NOT NULL,
	bytes INTEGER NOT NULL,   -- that count against the limits; 0: not an envelope
	expires_ms INTEGER NOT NULL,
	early INTEGER,            -- 1 or NULL
	-- for receipts; NULL where none can be due
	message_id BLOB,
	sender TEXT,              -- address
	sender_generation INTEGER, -- of a local sender
	token TEXT,               -- of a remote one
	body BLOB NOT NULL
);
CREATE INDEX mailbox_generation ON mailbox (generation, seq, bytes);
CREATE INDEX mailbox_early ON mailbox (expires_ms) WHERE early = 1;

-- What local devices have sent, for idempotence and status. Ids are time-ordered. Rows are
-- appended, so the oldest are in front.
CREATE TABLE sent (
	sent_key INTEGER PRIMARY KEY,
	message_id BLOB NOT NULL,
	generation INTEGER NOT NULL,
	recipient TEXT NOT NULL,
	status INTEGER NOT NULL,  -- enum message_status
	sent_ms INTEGER NOT NULL,
	position INTEGER,         -- queued: in the outbox of the recipient's domain
	over_quota BLOB,          -- device ids
	taken_by BLOB,            -- device ids
	code INTEGER,             -- failed: enum result_code
	UNIQUE (message_id, generation)
);

-- What other nodes have sent, for idempotence after a new stream.
CREATE TABLE received (
	received_key INTEGER PRIMARY KEY,
	received_ms INTEGER NOT NULL,
	message_id BLOB NOT NULL,
	sender TEXT NOT NULL,     -- address/device
	recipient TEXT NOT NULL,
	UNIQUE (message_id, sender, recipient)
);

CREATE TABLE destination (
	destination_key INTEGER PRIMARY KEY,
	domain TEXT NOT NULL UNIQUE,
	state INTEGER NOT NULL DEFAULT 0,
	stream TEXT NOT NULL DEFAULT '',
	base INTEGER NOT NULL DEFAULT 0,
	acked INTEGER NOT NULL DEFAULT 0,
	offered INTEGER NOT NULL DEFAULT 0,
	failures INTEGER NOT NULL DEFAULT 0,
	failing_since_ms INTEGER NOT NULL DEFAULT 0,
	next_try_ms INTEGER NOT NULL DEFAULT 0
);

-- Positions count up for ever: what acked names and what lies here leave no gap.
CREATE TABLE outbox (
	item_key INTEGER PRIMARY KEY,
	destination_key INTEGER NOT NULL,
	position INTEGER NOT NULL,
	kind INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	expires_ms INTEGER NOT NULL,
	early INTEGER,            -- 1: expires before its neighbours; else NULL
	message_id BLOB,          -- messages: whom to tell how it ended; else NULL
	generation INTEGER,
	recipient TEXT,
	body BLOB NOT NULL
);
CREATE INDEX outbox_position ON outbox (destination_key, position, bytes);
CREATE INDEX outbox_early ON outbox (destination_key, expires_ms) WHERE early = 1;

-- One row per domain that has sent transactions here.
CREATE TABLE origin (
	domain TEXT PRIMARY KEY,
	stream TEXT NOT NULL,
	first_seq INTEGER NOT NULL,
	last_seq INTEGER NOT NULL,
	digest BLOB NOT NULL,
	answer BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE peer (
	domain TEXT PRIMARY KEY,
	document BLOB NOT NULL,
	fetched_ms INTEGER NOT NULL,
	trust BLOB NOT NULL
) WITHOUT ROWID;

-- Domains that hear of changes of a device list.
CREATE TABLE subscription (
	account_key INTEGER NOT NULL,
	domain TEXT NOT NULL,
	until_ms INTEGER NOT NULL,
	PRIMARY KEY (account_key, domain)
) WITHOUT ROWID;
CREATE INDEX subscription_until ON subscription (until_ms);

-- Device lists of remote accounts, as last seen: id and registration id of each device.
CREATE TABLE remote_list (
	address TEXT PRIMARY KEY,
	list_version INTEGER NOT NULL,
	devices BLOB NOT NULL,    -- 3 bytes each: id, registration id big-endian
	seen_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX remote_list_seen ON remote_list (seen_ms);
