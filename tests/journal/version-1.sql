-- A journal as its first version was, for tests/system/journal.rs. The file beside this one is made so, and is never made
-- again by a later version:
--
--     rm -f version-1.db && sqlite3 version-1.db < version-1.sql
PRAGMA page_size = 1024;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA application_id = 0x43574a4c;
PRAGMA user_version = 1;
BEGIN;
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    cache TEXT,
    kind TEXT NOT NULL,
    finding TEXT,
    severity INTEGER,
    resolver TEXT,
    before TEXT,
    after TEXT,
    lasted_ms INTEGER,
    evidence TEXT NOT NULL,
    schema_version INTEGER NOT NULL
);
CREATE INDEX events_by_time ON events (at_ms);
CREATE INDEX events_by_cache ON events (cache);
CREATE INDEX events_by_kind ON events (kind);
CREATE INDEX events_by_finding ON events (finding) WHERE finding IS NOT NULL;
CREATE TABLE states (
    cache TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    memento TEXT NOT NULL,
    updated_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE VIEW history AS
    SELECT id, strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch') AS at, cache, kind, finding, severity,
           resolver, before, after, lasted_ms / 1000.0 AS before_lasted_seconds, evidence
    FROM events ORDER BY id;

-- 2026-11-20T08:00:00Z is 1795161600000.
INSERT INTO events VALUES
(1795161600001, 1795161600000, NULL, 'started', NULL, NULL, NULL, NULL, 'cachewatch 0.1.0', NULL, '["the journal is /var/lib/cachewatch/journal.db"]', 1),
(1795161600002, 1795161600010, 'orders', 'cache_added', NULL, NULL, NULL, NULL, 'orders.redis.cache.windows.net:6380', NULL, '[]', 1),
(1795161600003, 1795161600011, 'sessions', 'cache_added', NULL, NULL, NULL, NULL, 'sessions.westeurope.redis.azure.net:10000', NULL, '[]', 1),
(1795161600004, 1795161600020, NULL, 'finding_opened', 'host-tcp-tuning', 4, NULL, NULL, 'net.ipv4.tcp_retries2 is 15 on this machine, and 5 is recommended: applications notice a broken connection late', NULL, '[]', 1),
(1795161600005, 1795204443000, 'orders', 'addresses_changed', NULL, NULL, 'hub', '10.20.1.4', '20.50.1.10', 273600000, '["resolver hub: 10.0.0.4:53 over udp"]', 1),
(1795161600006, 1795204443000, 'orders', 'chain_changed', NULL, NULL, 'hub', 'orders.privatelink.redis.cache.windows.net', 'orders-node.westeurope.cloudapp.azure.com', NULL, '[]', 1),
(1795161600007, 1795204443000, 'orders', 'finding_opened', 'dns-zone-not-linked', 2, NULL, NULL, 'orders.redis.cache.windows.net leads to 20.50.1.10 (public) where a private address is expected: a private endpoint exists, and this machine is not led to it', NULL, '["the alias into a privatelink zone is there, so a private endpoint exists"]', 1),
(1795161600008, 1795205000000, 'orders', 'finding_changed', 'dns-zone-not-linked', 1, NULL, '2', '1', NULL, '[]', 1),
(1795161600009, 1795206010000, 'orders', 'addresses_changed', NULL, NULL, 'hub', '20.50.1.10', '10.20.1.4', 1567000, '[]', 1),
(1795161600010, 1795206010000, 'orders', 'chain_changed', NULL, NULL, 'hub', 'orders-node.westeurope.cloudapp.azure.com', 'orders.privatelink.redis.cache.windows.net', NULL, '[]', 1),
(1795161600011, 1795206040000, 'orders', 'finding_cleared', 'dns-zone-not-linked', 1, NULL, NULL, 'orders.redis.cache.windows.net leads to 20.50.1.10 (public) where a private address is expected: a private endpoint exists, and this machine is not led to it', NULL, '[]', 1),
(1795161600012, 1795250000000, NULL, 'config_rejected', NULL, NULL, NULL, NULL, NULL, NULL, '["/etc/cachewatch/cachewatch.toml:12: caches.orders.isolatoin: there is no such key; did you mean isolation?"]', 1),
(1795161600013, 1795250060000, NULL, 'config_reloaded', NULL, NULL, NULL, NULL, '2 caches, 1 of them unchanged (file changed)', NULL, '[]', 1),
(1795161600014, 1795251000000, 'orders', 'baseline_accepted', NULL, NULL, 'hub', '10.20.1.4', '10.20.1.4, 10.20.1.5', NULL, '[]', 1),
(1795161600015, 1795252000000, 'orders', 'certificate_changed', NULL, NULL, NULL, 'CN=Microsoft Azure RSA TLS Issuing CA 03, serial 33:00:1a', 'CN=Microsoft Azure RSA TLS Issuing CA 07, serial 33:00:7f', 7776000000, '[]', 1),
(1795161600016, 1795253000000, 'sessions', 'finding_opened', 'clients-headroom-low', 3, NULL, NULL, '6412 of 7500 clients are connected (85 %)', NULL, '[]', 1),
(1795161600017, 1795254000000, NULL, 'stopping', NULL, NULL, NULL, NULL, NULL, NULL, '[]', 1),
(1795161600018, 1795264980000, NULL, 'started', NULL, NULL, NULL, NULL, 'cachewatch 0.1.0', 10978000, '["nobody watched for 3h 2m 58s: the run before this one was last alive at 2026-11-21T09:40:02.000Z","that run ended: it had been asked to stop","the journal is /var/lib/cachewatch/journal.db"]', 1),
(1795161600019, 1795265000000, NULL, 'journal_set_aside', NULL, NULL, NULL, '/var/lib/cachewatch/journal.db', 'set aside as /var/lib/cachewatch/journal.db.corrupt-20261121T124320Z', NULL, '["database disk image is malformed"]', 1),
(1795161600020, 1795266000000, 'sessions', 'cache_removed', NULL, NULL, NULL, NULL, NULL, NULL, '[]', 1);
INSERT INTO states VALUES ('orders', 'orders.redis.cache.windows.net', 6380, '{"conditions":[{"finding":{"id":"tcp-refused","severity":1,"cache":"orders","stage":"connect","summary":"orders.redis.cache.windows.net:6380 at 10.20.1.4 (private) refuses connections on port 6380","evidence":[],"remedy":[],"since":"2026-11-21T13:00:00.000Z"},"open":true,"bad":2,"good":0}]}', 1795266000000);
INSERT INTO meta VALUES ('last_alive_ms', 1795266010000);
COMMIT;
PRAGMA journal_mode = WAL;
