//! Statements that stay prepared beside their connection, for reads that take a microsecond or two: looking a statement up by
//! its text, and the driver's checks of each cell, would take a good part of that.

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ffi};

use super::kept::Kept;
use super::log::{Index, MOST_PAGES};
use super::rows::SqliteRows;
use crate::backend::Statement;
use crate::backends::sql::plain_text;
use crate::value::Value;

/// Statements that a connection keeps: the gets of so many entities.
const MOST: usize = 32;

/// A connection and its prepared statements, which are gone before it.
#[derive(Debug)]
pub(super) struct Open {
    prepared: Vec<Prepared>,
    pub(super) kept: Kept,
    connection: Connection,
    commits: Commits,
    /// How long it waits for locks of others.
    patience: Duration,
    /// Whether it does, and its commits copy a full log into the file.
    is_patient: bool,
}

/// Where a commit puts its pages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Commits {
    InMemory,
    /// Into the log; the disk has them later.
    IntoLog,
    /// Onto the disk.
    OntoDisk,
}

impl Open {
    /// A connection that waits for locks of others so long.
    pub(super) fn new(connection: Connection, commits: Commits, patience: Duration) -> Self {
        Self { prepared: Vec::new(), kept: Kept::default(), connection, commits, patience, is_patient: true }
    }

    /// The connection without a transaction of ours. It waits for locks.
    pub(super) fn connection(&mut self) -> &mut Connection {
        self.kept.end(&self.connection);
        self.set_patient(true);
        &mut self.connection
    }

    /// The same for a short write that waits for nothing; `None` where it would wait for the disk.
    pub(super) fn connection_at_once(&mut self) -> Option<&mut Connection> {
        let has_room = match self.commits {
            Commits::InMemory => true,
            Commits::IntoLog => self.kept.has_log(&self.connection) && Index::of(&self.connection)?.has_room(),
            Commits::OntoDisk => false,
        };
        self.kept.end(&self.connection);
        (has_room && self.set_patient(false)).then_some(&mut self.connection)
    }

    fn set_patient(&mut self, patient: bool) -> bool {
        if self.is_patient != patient {
            let (patience, pages) = if patient { (self.patience, MOST_PAGES) } else { (Duration::ZERO, 0) };
            if self.connection.busy_timeout(patience).is_err() {
                return false;
            }
            // SAFETY: the connection is open. It sets a number and a function of SQLite's own.
            unsafe { ffi::sqlite3_wal_autocheckpoint(self.connection.handle(), pages.cast_signed()) };
            self.is_patient = patient;
        }
        true
    }

    /// All rows of a select with these parameters, without waiting for a lock; `None` where anything goes wrong. `now` is the
    /// time on any clock.
    pub(super) fn read(&mut self, statement: &Statement, parameters: &[Value], now: Duration) -> Option<SqliteRows> {
        if !self.set_patient(false) {
            return None;
        }
        self.kept.before_read(&self.connection, now);
        let rows = self.rows(statement, parameters);
        self.kept.after_read(&self.connection, rows.is_some());
        rows
    }

    fn rows(&mut self, statement: &Statement, parameters: &[Value]) -> Option<SqliteRows> {
        let known = self.prepared.iter().position(|known| Arc::ptr_eq(&known.text, &statement.text));
        let place = if let Some(place) = known {
            place
        } else {
            if self.prepared.len() == MOST {
                self.prepared.remove(0);
            }
            self.prepared.push(Prepared::new(&self.connection, &statement.text)?);
            self.prepared.len() - 1
        };
        self.prepared[place].read(parameters, SqliteRows::new(&statement.kinds, 1), statement.by_key)
    }
}

/// A statement of SQLite's that is ours alone.
#[derive(Debug)]
pub(super) struct Prepared {
    text: Arc<str>,
    handle: NonNull<ffi::sqlite3_stmt>,
}

// SAFETY: the connection is opened so that its objects may be used by any one thread at a time; `Open` is behind a lock.
unsafe impl Send for Prepared {}

impl Prepared {
    pub(super) fn new(connection: &Connection, text: &Arc<str>) -> Option<Self> {
        let mut handle = std::ptr::null_mut();
        let (start, length) = (text.as_ptr().cast(), c_int::try_from(text.len()).ok()?);
        let flags = ffi::SQLITE_PREPARE_PERSISTENT;
        // SAFETY: the connection is open; the text is read up to its length; null is a place that is not wanted.
        let code = unsafe {
            let rest = std::ptr::null_mut();
            ffi::sqlite3_prepare_v3(connection.handle(), start, length, flags, &raw mut handle, rest)
        };
        let handle = NonNull::new(handle).filter(|_| code == ffi::SQLITE_OK)?;
        Some(Self { text: Arc::clone(text), handle })
    }

    /// Executes a statement without parameters and rows.
    pub(super) fn execute(&mut self) -> Option<()> {
        let running = Running { handle: self.handle.as_ptr(), _parameters: &[] };
        // SAFETY: the statement is alive.
        (unsafe { ffi::sqlite3_step(running.handle) } == ffi::SQLITE_DONE).then_some(())
    }

    /// The rows; the first where there is one at most.
    fn read(&mut self, parameters: &[Value], mut rows: SqliteRows, one: bool) -> Option<SqliteRows> {
        let running = Running { handle: self.handle.as_ptr(), _parameters: parameters };
        for (index, value) in parameters.iter().enumerate() {
            running.bind(c_int::try_from(index + 1).ok()?, value)?;
        }
        loop {
            // SAFETY: the statement is alive, and what is bound to it too.
            match unsafe { ffi::sqlite3_step(running.handle) } {
                ffi::SQLITE_ROW => {
                    running.push_row(&mut rows)?;
                    if one {
                        return Some(rows.complete());
                    }
                }
                ffi::SQLITE_DONE => return Some(rows.complete()),
                _ => return None,
            }
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: the statement is alive and not used again; its connection is closed after it.
        unsafe { ffi::sqlite3_finalize(self.handle.as_ptr()) };
    }
}

/// A statement with its parameters, which it borrows; reset by its drop.
struct Running<'a> {
    handle: *mut ffi::sqlite3_stmt,
    _parameters: &'a [Value],
}

impl<'a> Running<'a> {
    /// Binds a value as `encode::bind` does; `None` for the types that keys hardly have.
    fn bind(&self, index: c_int, value: &'a Value) -> Option<()> {
        let handle = self.handle;
        let length = |length: usize| c_int::try_from(length).ok();
        // SAFETY: the statement is alive; what is not copied is borrowed until the bindings are cleared.
        let code = unsafe {
            match value {
                Value::Int(number) => ffi::sqlite3_bind_int64(handle, index, *number),
                Value::Text(text) => {
                    let (start, length) = (text.as_ptr().cast(), length(text.len())?);
                    ffi::sqlite3_bind_text(handle, index, start, length, ffi::SQLITE_STATIC())
                }
                Value::Bytes(bytes) => {
                    let (start, length) = (bytes.as_ptr().cast(), length(bytes.len())?);
                    ffi::sqlite3_bind_blob(handle, index, start, length, ffi::SQLITE_STATIC())
                }
                Value::Uuid(_) | Value::ObjectId(_) | Value::DateTime(_) | Value::Date(_) | Value::Decimal(_) => {
                    let text = plain_text(value);
                    let (start, length) = (text.as_ptr().cast(), length(text.len())?);
                    ffi::sqlite3_bind_text(handle, index, start, length, ffi::SQLITE_TRANSIENT())
                }
                _ => return None,
            }
        };
        (code == ffi::SQLITE_OK).then_some(())
    }

    /// Copies the row that the statement stands on.
    fn push_row(&self, rows: &mut SqliteRows) -> Option<()> {
        rows.push_row(|column| {
            // SAFETY: the statement stands on a row; a column that it has not is null. What the cell points to stays until
            // the next step, and nobody else uses the connection meanwhile.
            unsafe {
                let value = ffi::sqlite3_column_value(self.handle, column as c_int);
                let bytes = |start: *const u8| {
                    let length = ffi::sqlite3_value_bytes(value) as usize;
                    // An empty one may have no place.
                    if length == 0 {
                        Some(&[][..])
                    } else {
                        NonNull::new(start.cast_mut())?;
                        Some(std::slice::from_raw_parts(start, length))
                    }
                };
                Some(match ffi::sqlite3_value_type(value) {
                    ffi::SQLITE_INTEGER => ValueRef::Integer(ffi::sqlite3_value_int64(value)),
                    ffi::SQLITE_FLOAT => ValueRef::Real(ffi::sqlite3_value_double(value)),
                    ffi::SQLITE_TEXT => ValueRef::Text(bytes(ffi::sqlite3_value_text(value))?),
                    ffi::SQLITE_BLOB => ValueRef::Blob(bytes(ffi::sqlite3_value_blob(value).cast())?),
                    _ => ValueRef::Null,
                })
            }
        })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // SAFETY: the statement is alive; it keeps nothing of what it borrowed.
        unsafe {
            ffi::sqlite3_reset(self.handle);
            ffi::sqlite3_clear_bindings(self.handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_at_once_only_where_its_commit_adds_to_memory_or_to_a_log_with_room() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str, mode: &str, commits: Commits| {
            let connection = Connection::open(folder.path().join(name)).unwrap();
            connection.pragma_update(None, "journal_mode", mode).unwrap();
            connection.execute_batch("CREATE TABLE numbers (number INTEGER)").unwrap();
            Open::new(connection, commits, Duration::from_secs(1))
        };
        assert!(open("log", "wal", Commits::IntoLog).connection_at_once().is_some());
        assert!(open("synchronous", "wal", Commits::OntoDisk).connection_at_once().is_none());
        assert!(open("journal", "delete", Commits::IntoLog).connection_at_once().is_none());
        assert!(!folder.path().join("journal-shm").exists(), "no index is made for a file that has no log");
        let memory = Connection::open_in_memory().unwrap();
        assert!(Open::new(memory, Commits::InMemory, Duration::ZERO).connection_at_once().is_some());
    }

    #[test]
    fn whoever_waits_for_locks_also_copies_a_full_log() {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("file")).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.execute_batch("CREATE TABLE numbers (number INTEGER)").unwrap();
        let mut open = Open::new(connection, Commits::IntoLog, Duration::from_secs(1));
        let one = "INSERT INTO numbers VALUES (1)";
        let at_once = (0..).take_while(|_| open.connection_at_once().is_some_and(|it| it.execute_batch(one).is_ok()));
        assert!(at_once.count() > 100);
        let log = || std::fs::metadata(folder.path().join("file-wal")).unwrap().len();
        let before = log();
        open.connection().execute_batch(one).unwrap();
        assert!(open.connection_at_once().is_none(), "all is copied, and the next begins the log anew");
        open.connection().execute_batch(one).unwrap();
        assert!(open.connection_at_once().is_some());
        assert!(log() <= before + 2 * 4096 + 1024, "the log is used again");
    }
}
