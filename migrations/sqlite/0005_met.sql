-- Has this node sent something there? Other nodes that it has only heard of, and that have sent
-- nothing either, are forgotten after a day: whoever has many names could fill the disk.
ALTER TABLE peer ADD COLUMN met INTEGER NOT NULL DEFAULT 0;
UPDATE peer SET met = 1;
CREATE INDEX peer_unmet ON peer (fetched_ms) WHERE met = 0;
