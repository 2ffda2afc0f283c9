-- What the operator says about other nodes: orders, which a running node looks for and carries
-- out, and the words that stay, which come before its configuration.

CREATE TABLE peer_order (
	order_key INTEGER PRIMARY KEY AUTOINCREMENT,
	domain TEXT NOT NULL,
	kind INTEGER NOT NULL,    -- enum peer_order_kind
	at_ms INTEGER NOT NULL
);

CREATE TABLE peer_policy (
	domain TEXT PRIMARY KEY,
	allowed INTEGER NOT NULL
) WITHOUT ROWID;
