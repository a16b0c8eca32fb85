//! The table of every option that farm-db knows, for every kind of database.
//!
//! Invariant: a name means one thing on one backend, however it is spelled (`max_pool_size`, `maxPoolSize`,
//! `max-pool-size`). Documentation and error messages are made from this table. Not for: reading; see
//! [`super::settings`].

use super::backend_kind::BackendKind;
use super::nearest::normalise;
use super::setting::{Kind, Unit};

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct KnownOption {
    /// Its canonical name.
    pub name: &'static str,
    /// Other names for the same, in snake case; every name may also be written in camel case or with dashes.
    pub aliases: &'static [&'static str],
    /// Which values it takes.
    pub kind: Kind,
    /// The backends that know it.
    pub backends: &'static [BackendKind],
    /// Whether it configures the pool and may stand in the section `pool`.
    pub pool: bool,
    /// One line of meaning.
    pub meaning: &'static str,
}

const ALL: &[BackendKind] = &BackendKind::ALL;
const SQL: &[BackendKind] = &[BackendKind::Sqlite, BackendKind::Postgres, BackendKind::Mysql];
const SQLITE: &[BackendKind] = &[BackendKind::Sqlite];
const SERVERS: &[BackendKind] = &[BackendKind::Postgres, BackendKind::Mysql, BackendKind::Mongodb];
const SQL_SERVERS: &[BackendKind] = &[BackendKind::Postgres, BackendKind::Mysql];
const POSTGRES: &[BackendKind] = &[BackendKind::Postgres];
const MYSQL: &[BackendKind] = &[BackendKind::Mysql];
const MONGODB: &[BackendKind] = &[BackendKind::Mongodb];

/// No option may be longer than a day: a value beyond it is milliseconds taken for seconds.
const DAY: u64 = 86_400;
const HOUR: u64 = 3600;

const fn count(least: u64, most: u64) -> Kind {
    Kind::Count { least, most, unlimited: false }
}

const fn span(most: u64) -> Kind {
    Kind::Span { least: 1, most, unlimited: false }
}

const fn optional_span(most: u64) -> Kind {
    Kind::Span { least: 1, most, unlimited: true }
}

const fn known(
    backends: &'static [BackendKind],
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    meaning: &'static str,
) -> KnownOption {
    KnownOption { name, aliases, kind, backends, pool: false, meaning }
}

const fn pool(name: &'static str, aliases: &'static [&'static str], kind: Kind, meaning: &'static str) -> KnownOption {
    KnownOption { name, aliases, kind, backends: ALL, pool: true, meaning }
}

/// Every option.
#[rustfmt::skip]
pub const OPTIONS: &[KnownOption] = &[
    known(ALL, "type", &["database_type"], Kind::Text, "the kind of database; it must agree with the url"),
    known(ALL, "statement_timeout", &["command_timeout", "query_timeout"], optional_span(DAY), "the deadline of one statement"),
    known(ALL, "group_reads", &[], Kind::Truth, "gets of one turn of the loop, or that wait for a connection, are answered by one statement (yes)"),
    known(ALL, "residual_limit", &[], count(0, 1_000_000_000), "the most rows that may be filtered outside the database"),
    known(ALL, "read_your_writes", &[], Kind::Truth, "whether reads on replicas see what this database object has written before (no)"),
    known(ALL, "replicas", &["read_replicas"], Kind::Urls, "the urls of read replicas (PostgreSQL, MySQL); what they do not say is as in the url of the primary"),

    pool("min_size", &["min_pool_size", "pool_min_size", "pool_min", "min_connections"], count(0, 10_000), "connections kept open"),
    pool("max_size", &["max_pool_size", "pool_max_size", "pool_max", "max_connections", "connection_limit"], count(1, 10_000), "the most connections at once"),
    pool("max_idle", &["pool_max_idle", "max_idle_connections"], count(0, 10_000), "connections kept while nobody uses them"),
    pool("pool_size", &[], count(1, 10_000), "connections kept while nobody uses them, with max_overflow beyond them"),
    pool("max_overflow", &["pool_max_overflow"], count(0, 10_000), "connections beyond pool_size under load"),
    pool("acquire_timeout", &["pool_timeout", "pool_acquire_timeout", "wait_queue_timeout"], span(HOUR), "the deadline of waiting for a connection"),
    pool("connect_timeout", &["pool_connect_timeout", "connection_timeout"], span(HOUR), "the deadline of opening one connection"),
    pool("idle_timeout", &["pool_idle_timeout", "max_idle_time"], optional_span(30 * DAY), "how long an unused connection is kept beyond min_size"),
    pool("max_lifetime", &["pool_max_lifetime", "pool_recycle"], optional_span(30 * DAY), "how long a connection is used before it is replaced"),
    pool("queue_limit", &["pool_queue_limit", "max_queue"], count(0, 1_000_000), "the most callers that may wait for a connection"),
    pool("check_after", &["pool_check_after"], Kind::Span { least: 0, most: DAY, unlimited: false }, "how long a connection may idle before it is checked on its way out"),
    pool("pre_ping", &["pool_pre_ping"], Kind::Truth, "whether a connection is checked every time; short for check_after 0"),

    known(SQL, "max_staleness", &[], Kind::Span { least: 100, most: DAY, unlimited: true }, "how far a replica may be behind the primary to be read from"),

    known(SQLITE, "busy_timeout", &["timeout"], Kind::Span { least: 0, most: HOUR, unlimited: false }, "how long to wait for a lock of another process"),
    known(SQLITE, "journal_size_limit", &[], Kind::Count { least: 0, most: i64::MAX as u64, unlimited: true }, "bytes that the write-ahead log keeps on disk after a checkpoint"),
    known(SQLITE, "mmap_size", &[], count(0, i64::MAX as u64), "bytes of the file that readers map into memory, 0 for none (128 MiB)"),
    known(SQLITE, "synchronous", &[], Kind::Choice(&["off", "normal", "full", "extra"]), "how far a commit waits for the disk"),
    known(SQLITE, "foreign_keys", &[], Kind::Truth, "whether foreign keys are enforced"),
    known(SQLITE, "mode", &[], Kind::Choice(&["ro", "rw", "rwc", "memory"]), "read only, read and write, or create as well (the default)"),

    known(SERVERS, "host", &["hosts"], Kind::Text, "the host, or a directory of sockets; several with commas"),
    known(SERVERS, "port", &[], count(1, 65_535), "the port of every host"),
    known(SERVERS, "user", &["username"], Kind::Text, "the user"),
    known(SERVERS, "password", &["passwd"], Kind::Secret, "the password"),
    known(SERVERS, "database", &["dbname", "db", "database_name"], Kind::Text, "the name of the database"),
    known(SERVERS, "timeout", &[], span(HOUR), "short for connect_timeout"),
    known(SERVERS, "application_name", &["app_name"], Kind::Text, "the name that the server shows for the connections"),
    known(SQL_SERVERS, "statement_cache_size", &["prepared_statement_cache_size"], count(0, 100_000), "prepared statements kept for a connection"),

    known(POSTGRES, "sslmode", &["ssl", "tls"], Kind::Mode { words: &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"], yes: "verify-full", no: "disable" }, "whether the wire is encrypted and the certificate verified"),
    known(POSTGRES, "sslrootcert", &[], Kind::Text, "the file of the root certificate"),
    known(POSTGRES, "sslcert", &[], Kind::Text, "the file of the client's certificate"),
    known(POSTGRES, "sslkey", &[], Kind::Text, "the file of the client's key"),
    known(POSTGRES, "sslpassword", &[], Kind::Secret, "the passphrase of the client's key"),
    known(POSTGRES, "sslcrl", &[], Kind::Text, "the file of revoked certificates"),
    known(POSTGRES, "sslnegotiation", &[], Kind::Choice(&["postgres", "direct"]), "how encryption is agreed on"),
    known(POSTGRES, "channel_binding", &[], Kind::Choice(&["disable", "prefer", "require"]), "whether authentication is bound to the channel"),
    known(POSTGRES, "gssencmode", &[], Kind::Choice(&["disable", "prefer", "require"]), "whether GSSAPI encrypts the wire"),
    known(POSTGRES, "passfile", &[], Kind::Text, "the file of passwords"),
    known(POSTGRES, "options", &[], Kind::Text, "options of the server's command line"),
    known(POSTGRES, "schema", &["search_path"], Kind::Text, "the schema that holds the tables"),
    known(POSTGRES, "client_encoding", &[], Kind::Text, "the encoding of the client; the core speaks utf-8"),
    known(POSTGRES, "target_session_attrs", &[], Kind::Choice(&["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]), "which of several servers will do"),
    known(POSTGRES, "load_balance_hosts", &[], Kind::Choice(&["disable", "random"]), "whether several hosts are tried in random order"),
    known(POSTGRES, "pgbouncer", &[], Kind::Truth, "whether a proxy pools by transaction: no named statements"),
    known(POSTGRES, "keepalives", &[], Kind::Truth, "whether tcp keepalives are sent"),
    known(POSTGRES, "keepalives_idle", &[], span(DAY), "idle time before a keepalive"),
    known(POSTGRES, "tcp_user_timeout", &[], span(DAY), "how long sent bytes may stay unacknowledged"),

    known(MYSQL, "ssl_mode", &["ssl", "tls"], Kind::Mode { words: &["disabled", "preferred", "required", "verify_ca", "verify_identity"], yes: "verify_identity", no: "disabled" }, "whether the wire is encrypted and the certificate verified"),
    known(MYSQL, "ssl_ca", &[], Kind::Text, "the file of the root certificate"),
    known(MYSQL, "ssl_cert", &[], Kind::Text, "the file of the client's certificate"),
    known(MYSQL, "ssl_key", &[], Kind::Text, "the file of the client's key"),
    known(MYSQL, "charset", &[], Kind::Text, "the character set of the connection"),
    known(MYSQL, "collation", &[], Kind::Text, "the collation of the connection"),
    known(MYSQL, "unix_socket", &["socket"], Kind::Text, "the path of the server's socket"),
    known(MYSQL, "planetscale", &["vitess"], Kind::Truth, "whether the database is a cluster of Vitess, such as PlanetScale: TLS, no locks of definitions, no foreign keys"),
    known(MYSQL, "time_zone", &[], Kind::Text, "the time zone of the session"),

    known(MONGODB, "tls", &["ssl"], Kind::Truth, "whether the wire is encrypted"),
    known(MONGODB, "tls_insecure", &[], Kind::Truth, "whether certificates go unverified"),
    known(MONGODB, "tls_allow_invalid_certificates", &[], Kind::Truth, "whether certificates go unverified"),
    known(MONGODB, "tls_allow_invalid_hostnames", &[], Kind::Truth, "whether the host in a certificate goes unverified"),
    known(MONGODB, "tls_ca_file", &[], Kind::Text, "the file of the root certificate"),
    known(MONGODB, "tls_certificate_key_file", &[], Kind::Text, "the file of the client's certificate and key"),
    known(MONGODB, "tls_certificate_key_file_password", &[], Kind::Secret, "the passphrase of the client's key"),
    known(MONGODB, "auth_source", &[], Kind::Text, "the database that knows the user"),
    known(MONGODB, "auth_mechanism", &[], Kind::Text, "how the user is authenticated"),
    known(MONGODB, "auth_mechanism_properties", &[], Kind::Secret, "facts for the mechanism, such as session tokens"),
    known(MONGODB, "replica_set", &[], Kind::Text, "the name of the replica set"),
    known(MONGODB, "direct_connection", &[], Kind::Truth, "whether to talk to the one host only"),
    known(MONGODB, "load_balanced", &[], Kind::Truth, "whether a load balancer stands before the servers"),
    known(MONGODB, "read_preference", &[], Kind::Choice(&["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"]), "which members answer reads"),
    known(MONGODB, "read_preference_tags", &[], Kind::Texts, "tags of members that answer reads; may be repeated"),
    known(MONGODB, "max_staleness_seconds", &["max_staleness"], count(90, DAY), "how far a secondary may lag behind"),
    known(MONGODB, "read_concern_level", &[], Kind::Choice(&["local", "available", "majority", "linearizable", "snapshot"]), "which data reads see"),
    known(MONGODB, "w", &[], Kind::Text, "how many members acknowledge a write, or `majority`"),
    known(MONGODB, "w_timeout", &[], span(DAY), "how long a write waits for its acknowledgement"),
    known(MONGODB, "journal", &[], Kind::Truth, "whether a write waits for the journal"),
    known(MONGODB, "retry_writes", &[], Kind::Truth, "whether the driver repeats a write once"),
    known(MONGODB, "retry_reads", &[], Kind::Truth, "whether the driver repeats a read once"),
    known(MONGODB, "server_selection_timeout", &[], span(HOUR), "how long to look for a server that fits"),
    known(MONGODB, "socket_timeout", &[], optional_span(DAY), "how long the wire may be silent"),
    known(MONGODB, "heartbeat_frequency", &[], Kind::Span { least: 500, most: HOUR, unlimited: false }, "how often servers are watched"),
    known(MONGODB, "local_threshold", &[], Kind::Span { least: 0, most: HOUR, unlimited: false }, "how much slower than the nearest server one may be"),
    known(MONGODB, "max_connecting", &[], count(1, 10_000), "connections opened at once"),
    known(MONGODB, "compressors", &[], Kind::Text, "compressors to offer, with commas"),
    known(MONGODB, "zlib_compression_level", &[], Kind::Count { least: 0, most: 9, unlimited: true }, "how hard zlib works; -1 is its own choice"),
    known(MONGODB, "srv_max_hosts", &[], count(0, 1000), "the most hosts taken from an srv record"),
    known(MONGODB, "srv_service_name", &[], Kind::Text, "the service of the srv record"),
    known(MONGODB, "uuid_representation", &[], Kind::Choice(&["standard"]), "how uuids are stored; older forms are refused"),
];

/// Endings of names that tell the unit; a longer one stands before those that it ends in.
const ENDINGS: [(&str, Unit); 4] = [
    ("milliseconds", Unit::Milliseconds),
    ("millis", Unit::Milliseconds),
    ("ms", Unit::Milliseconds),
    ("seconds", Unit::Seconds),
];

/// The option of a backend by any of its names, and the unit that the name's ending tells.
pub(super) fn find(name: &str, backend: BackendKind, pool_only: bool) -> Option<(&'static KnownOption, Unit)> {
    let wanted = normalise(name);
    let named = |wanted: &str| {
        let mut options =
            OPTIONS.iter().filter(|option| option.backends.contains(&backend) && (option.pool || !pool_only));
        options.find(|option| option.names().any(|name| normalise(name) == wanted))
    };
    if let Some(option) = named(&wanted) {
        return Some((option, Unit::Seconds));
    }
    ENDINGS.iter().find_map(|(ending, unit)| {
        let option = named(wanted.strip_suffix(ending)?)?;
        matches!(option.kind, Kind::Span { .. }).then_some((option, *unit))
    })
}

impl KnownOption {
    /// The canonical name and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_option_on_one_backend() {
        for backend in BackendKind::ALL {
            let mut seen = std::collections::HashMap::new();
            for option in OPTIONS.iter().filter(|option| option.backends.contains(&backend)) {
                for name in option.names() {
                    assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name} is not snake case");
                    let earlier = seen.insert(normalise(name), option.name);
                    assert_eq!(earlier, None, "{name} stands twice on {backend}");
                }
            }
        }
    }

    #[test]
    fn the_ending_of_a_name_tells_the_unit() {
        let unit = |name| find(name, BackendKind::Mongodb, false).map(|(option, unit)| (option.name, unit));
        assert_eq!(unit("maxIdleTimeMS"), Some(("idle_timeout", Unit::Milliseconds)));
        assert_eq!(unit("acquire_timeout_ms"), Some(("acquire_timeout", Unit::Milliseconds)));
        assert_eq!(unit("idleTimeoutMillis"), Some(("idle_timeout", Unit::Milliseconds)));
        assert_eq!(unit("pool_recycle"), Some(("max_lifetime", Unit::Seconds)));
        assert_eq!(unit("maxStalenessSeconds"), Some(("max_staleness_seconds", Unit::Seconds)));
        assert_eq!(unit("max_size_ms"), None);
    }
}
