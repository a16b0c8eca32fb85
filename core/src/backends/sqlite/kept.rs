//! A read transaction that is kept over reads that follow each other closely: beginning and ending one of its own takes system
//! calls for locks of the file, which are a fifth of a read by key.
//!
//! Invariants: a read sees every commit that was there before it. A commit, of whatever process, changes the head of the
//! write-ahead log's index, which lies in memory that all of them share (<https://sqlite.org/walformat.html>, "The WAL-Index
//! Header"); a transaction serves only as long as the head is what it was when it began. The connection's thread ends it
//! before each of its jobs and after [`TERM`] at most, however long the host is busy; and each that ends is followed by some
//! reads of their own, so that the log comes to be begun anew while others write.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::log::{Head, Index};
use super::prepared::Prepared;

/// How long a transaction is kept where nobody commits.
pub(super) const TERM: Duration = Duration::from_millis(5);
/// Reads follow each other closely where no more time is between them.
const GAP: Duration = Duration::from_micros(50);
/// So many reads in a row, without a commit of anybody, are made by themselves first.
const ALONE: u32 = 16;

/// What one connection keeps.
#[derive(Debug, Default)]
pub(super) struct Kept {
    transaction: Option<Transaction>,
    has_log: Option<bool>,
    /// `BEGIN` and `COMMIT`.
    statements: Option<(Prepared, Prepared)>,
    /// Reads that have followed each other closely.
    in_a_row: u32,
    last: Duration,
    /// Whether the connection's thread will end the transaction.
    pub(super) is_watched: bool,
}

#[derive(Debug)]
struct Transaction {
    index: Index,
    head: Head,
    /// Whether its first read is still to come: only then it has its locks.
    is_new: bool,
}

impl Kept {
    /// Ends a transaction that has missed a commit, and begins one where it pays. `now` is the time on any clock.
    pub(super) fn before_read(&mut self, connection: &Connection, now: Duration) {
        let is_close = now.saturating_sub(self.last) < GAP;
        self.last = now;
        match &self.transaction {
            Some(transaction) if transaction.index.head() == transaction.head => return,
            Some(_) => self.end(connection),
            None => {}
        }
        self.in_a_row = if is_close { self.in_a_row.saturating_add(1) } else { 0 };
        if self.in_a_row > ALONE && self.begin(connection).is_none() {
            // Not again soon: there may be no log.
            self.in_a_row = 0;
        }
    }

    /// Ends a transaction that did not begin well. A commit between its beginning and its first read may be in it or not.
    pub(super) fn after_read(&mut self, connection: &Connection, is_done: bool) {
        let Some(transaction) = &mut self.transaction else { return };
        if !is_done || (transaction.is_new && transaction.index.head() != transaction.head) {
            self.end(connection);
        } else {
            transaction.is_new = false;
        }
    }

    /// Whether the file has a write-ahead log. Nobody can take it away while the connection is open.
    pub(super) fn has_log(&mut self, connection: &Connection) -> bool {
        let mode = || connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
        *self.has_log.get_or_insert_with(|| mode().is_ok_and(|mode| mode == "wal"))
    }

    /// Whether there is a transaction.
    pub(super) fn is_open(&self) -> bool {
        self.transaction.is_some()
    }

    fn begin(&mut self, connection: &Connection) -> Option<()> {
        if !self.has_log(connection) {
            return None;
        }
        if self.statements.is_none() {
            let prepare = |text: &str| Prepared::new(connection, &Arc::from(text));
            self.statements = Some((prepare("BEGIN")?, prepare("COMMIT")?));
        }
        let (begin, _) = self.statements.as_mut()?;
        let index = Index::of(connection)?;
        let head = index.head();
        begin.execute()?;
        self.transaction = Some(Transaction { index, head, is_new: true });
        Some(())
    }

    /// Ends the transaction where there is one.
    pub(super) fn end(&mut self, connection: &Connection) {
        if self.transaction.take().is_none() {
            return;
        }
        self.in_a_row = 0;
        let ended = self.statements.as_mut().and_then(|(_, commit)| commit.execute());
        if ended.is_none() && !connection.is_autocommit() {
            // It has only read: nothing is lost.
            let _ = connection.execute_batch("ROLLBACK");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::backend::{Rows as _, Statement};
    use crate::backends::sqlite::prepared::{Commits, Open};
    use crate::schema::FieldType;
    use crate::value::Value;

    const CLOSE: Duration = Duration::from_micros(5);

    fn open(path: &Path, mode: &str) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection.pragma_update(None, "journal_mode", mode).unwrap();
        connection
    }

    /// Reads of one number, each at a time of its own.
    struct Reader {
        open: Open,
        statement: Statement,
        now: Duration,
    }

    impl Reader {
        fn new(connection: Connection) -> Self {
            let statement = Statement {
                text: "SELECT number FROM numbers WHERE id = ?".into(),
                parameters: Vec::new(),
                columns: [0].into(),
                residual: None,
                unsorted: false,
                native: None,
                early: None,
                by_key: false,
                kinds: [FieldType::Int].into(),
            };
            Self { open: Open::new(connection, Commits::IntoLog, Duration::ZERO), statement, now: Duration::ZERO }
        }

        fn read(&mut self, pause: Duration) -> i64 {
            self.now += pause;
            let rows = self.open.read(&self.statement, &[Value::Int(1)], self.now).unwrap();
            match rows.cell(0, 0).unwrap().to_value().unwrap() {
                Value::Int(number) => number,
                other => panic!("{other:?} is no number"),
            }
        }

        fn read_until_kept(&mut self) {
            (0..2 * ALONE).for_each(|_| _ = self.read(CLOSE));
            assert!(self.open.kept.is_open());
        }
    }

    /// A folder, a connection that writes and a reader of number 0.
    fn pair(mode: &str) -> (tempfile::TempDir, Connection, Reader) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers.db");
        let writer = open(&path, mode);
        writer.execute_batch("CREATE TABLE numbers (id INTEGER PRIMARY KEY, number INTEGER)").unwrap();
        writer.execute_batch("INSERT INTO numbers VALUES (1, 0)").unwrap();
        (folder, writer, Reader::new(open(&path, mode)))
    }

    fn set(writer: &Connection, number: i64) {
        writer.execute("UPDATE numbers SET number = ?", [number]).unwrap();
    }

    #[test]
    fn a_read_sees_every_commit_that_was_there_before_it() {
        let (_folder, writer, mut reader) = pair("wal");
        for number in 1..100 {
            reader.read_until_kept();
            set(&writer, number);
            assert_eq!(reader.read(CLOSE), number);
            assert!(!reader.open.kept.is_open(), "what had missed a commit was ended");
        }
    }

    #[test]
    fn a_commit_between_the_beginning_and_the_first_read_ends_it() {
        let (_folder, writer, mut reader) = pair("wal");
        let connection = Connection::open(writer.path().unwrap()).unwrap();
        reader.read(CLOSE);
        let mut kept = Kept::default();
        kept.begin(&connection).unwrap();
        set(&writer, 1);
        kept.after_read(&connection, true);
        assert!(!kept.is_open());
        assert!(connection.is_autocommit());
    }

    #[test]
    fn changed_tables_are_seen() {
        let (_folder, writer, mut reader) = pair("wal");
        reader.read_until_kept();
        writer.execute_batch("ALTER TABLE numbers ADD COLUMN other INTEGER; UPDATE numbers SET number = 8").unwrap();
        assert_eq!(reader.read(CLOSE), 8);
        writer.execute_batch("DROP TABLE numbers").unwrap();
        assert!(reader.open.read(&reader.statement, &[Value::Int(1)], reader.now).is_none());
        assert!(!reader.open.kept.is_open());
    }

    #[test]
    fn reads_that_do_not_follow_each_other_closely_keep_nothing() {
        let (_folder, _writer, mut reader) = pair("wal");
        (0..100).for_each(|_| _ = reader.read(GAP));
        assert!(!reader.open.kept.is_open());
    }

    #[test]
    fn a_file_without_a_log_keeps_nothing() {
        let (_folder, writer, mut reader) = pair("delete");
        (0..100).for_each(|_| _ = reader.read(CLOSE));
        assert!(!reader.open.kept.is_open());
        set(&writer, 1);
        assert_eq!(reader.read(CLOSE), 1);
    }

    #[test]
    fn whoever_takes_the_connection_has_no_transaction_and_the_log_can_be_begun_anew() {
        let (_folder, writer, mut reader) = pair("wal");
        let truncate = || writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).unwrap();
        reader.read_until_kept();
        set(&writer, 1);
        assert_eq!(truncate(), 1, "a reader is in the way");
        assert!(reader.open.connection().is_autocommit());
        assert_eq!(truncate(), 0);
        // Some by themselves come first again.
        (0..ALONE).for_each(|_| _ = reader.read(CLOSE));
        assert!(!reader.open.kept.is_open());
        reader.read_until_kept();
    }
}
