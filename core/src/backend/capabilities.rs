//! Facts about engines.

use crate::value::Map;

macro_rules! capabilities {
    ($($(#[$doc:meta])* $name:ident: $kind:ty,)*) => {
        /// What an engine can do; printed by `farm db info` and used to choose tests.
        #[derive(Clone, Copy, Debug)]
        pub struct Capabilities { $($(#[$doc])* pub $name: $kind,)* }

        impl Capabilities {
            /// The facts by name.
            pub fn to_map(self) -> Map {
                crate::document! { $(stringify!($name) => self.$name,)* }
            }
        }
    };
}

capabilities! {
    /// Transactions over several statements.
    transactions: bool,
    /// Savepoints inside transactions.
    savepoints: bool,
    /// A failed statement leaves the transaction around it usable.
    failed_statements: bool,
    /// Transactions that run as if one after another.
    serializable: bool,
    /// Schema changes can be rolled back.
    transactional_ddl: bool,
    /// Indexes over a part of the rows.
    partial_indexes: bool,
    /// Indexes in descending order.
    descending_indexes: bool,
    /// Indexes on a path inside a JSON column.
    path_indexes: bool,
    /// Writes return the row they wrote.
    returning: bool,
    /// Several writers at once.
    concurrent_writers: bool,
    /// The database counts integer keys.
    auto_increment: bool,
    /// A text of so many characters fits into a key and a unique index, whatever they are.
    key_characters: i64,
    /// Parameters of one statement at most.
    max_bind_parameters: i64,
    /// Infinite floats can be stored.
    infinite_floats: bool,
    /// Negative zero is told from zero.
    negative_zero: bool,
    /// A decimal with a positive exponent keeps it; elsewhere `1E+2` becomes the equal `100`.
    positive_exponents: bool,
    /// A decimal keeps its zeros; elsewhere `1.10` becomes the equal `1.1`.
    decimal_scale: bool,
    /// Digits of a decimal behind the point, at most; more are refused.
    decimal_places: i64,
    /// Moments are kept in steps of so many microseconds, rounded down.
    moment_precision: i64,
    /// Days and times of day are told from text where the contract leaves the type free.
    free_days: bool,
    /// The engine enforces references; elsewhere the core does, in transactions.
    foreign_keys: bool,
    /// A transaction can keep others from writing the rows that it reads.
    row_locks: bool,
    /// A search sees every committed row at once; elsewhere one beside many writes may miss rows for a moment.
    search_at_once: bool,
    /// A replica tells how far it has followed, so that its staleness can be bounded.
    replica_positions: bool,
}
