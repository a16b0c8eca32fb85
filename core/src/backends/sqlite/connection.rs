//! Opening connections, and the pools of readers and of the one writer.

use std::path::Path;
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::functions;
use super::prepared::Commits;
use super::worker::{Habits, Worker};
use crate::config::{Config, Location, OpenMode, Synchronous};
use crate::error::{Error, Result};
use crate::pool::Manager;

/// Prepared statements that a connection keeps.
const STATEMENT_CACHE: usize = 128;

/// Memory of a connection for pages of the file, in KiB; SQLite's own default is a quarter. Reads by key are an eighth faster
/// where the file has room in it.
const PAGES: i64 = 8192;
/// The same during a stream, which comes by each page once.
const PAGES_OF_STREAM: i64 = 2000;

/// The pause before another try to switch a new file to the write-ahead log.
const BETWEEN_SWITCHES: Duration = Duration::from_millis(1);

/// Opens connections of one kind, each on its thread.
pub(super) struct Opener {
    config: Arc<Config>,
    writer: bool,
}

impl Opener {
    pub(super) fn new(config: &Arc<Config>, writer: bool) -> Self {
        Self { config: Arc::clone(config), writer }
    }
}

#[async_trait]
impl Manager for Opener {
    // In a box, because the pool moves it often.
    type Connection = Box<Worker>;

    async fn connect(&self) -> Result<Box<Worker>> {
        let (config, writer) = (Arc::clone(&self.config), self.writer);
        let name = if writer { "farm-db-writer" } else { "farm-db-reader" };
        let commits = match (config.url.location(), config.sqlite.synchronous) {
            (Location::Memory, _) => Commits::InMemory,
            (_, Synchronous::Off | Synchronous::Normal) => Commits::IntoLog,
            (_, Synchronous::Full | Synchronous::Extra) => Commits::OntoDisk,
        };
        let habits = Habits { statement: config.statement_timeout, busy: config.sqlite.busy_timeout, commits };
        Worker::start(name, habits, move || open(&config, writer)).await.map(Box::new)
    }

    async fn close(&self, connection: Box<Worker>) {
        connection.end().await;
    }
}

/// Turns off SQLite's own memory statistics: nobody reads them, and they put a process-wide lock around every allocation.
fn configure_library() {
    static ONCE: Once = Once::new();
    // SAFETY: called before the first connection is opened, with the one int that this option takes.
    ONCE.call_once(|| unsafe {
        ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0);
    });
}

fn open(config: &Config, writer: bool) -> Result<Connection> {
    configure_library();
    let failed = |error: rusqlite::Error| {
        Error::connection_failed(format!("cannot open {}: {error}", config.url.redacted()))
            .with("url", config.url.redacted())
    };
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match config.url.location() {
        Location::Memory => Connection::open_in_memory(),
        Location::File(path) => {
            check_place(path, config)?;
            // Only the writer creates the file; a reader that did would hide a mistake.
            flags |= match (config.sqlite.mode, writer) {
                (OpenMode::ReadOnly, _) | (_, false) => OpenFlags::SQLITE_OPEN_READ_ONLY,
                (OpenMode::ReadWrite, true) => OpenFlags::SQLITE_OPEN_READ_WRITE,
                (OpenMode::Create, true) => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            };
            Connection::open_with_flags(path, flags)
        }
        Location::Server(_) => return Err(Error::internal("a server is no SQLite file")),
    }
    .map_err(failed)?;
    configure(&connection, config, writer).map_err(failed)?;
    Ok(connection)
}

/// Says what is missing where SQLite would only say that it cannot open the file.
fn check_place(path: &str, config: &Config) -> Result<()> {
    let place = Path::new(path);
    let wrong = |message: String| Err(Error::connection_failed(message).with("url", config.url.redacted()));
    if place.is_dir() {
        return wrong(format!("{path:?} is a folder, not a database file"));
    }
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return wrong(format!("the folder {:?} of the database file does not exist", folder.display()));
    }
    if config.sqlite.mode != OpenMode::Create && !place.exists() {
        return wrong(format!("there is no database file {path:?}"));
    }
    Ok(())
}

fn configure(connection: &Connection, config: &Config, writer: bool) -> rusqlite::Result<()> {
    connection.busy_timeout(config.sqlite.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    functions::register(connection)?;
    let memory = matches!(config.url.location(), Location::Memory);
    if writer && !memory && config.sqlite.mode != OpenMode::ReadOnly {
        // WAL stays with the file; readers find it there.
        switch_to_log(connection, config.sqlite.busy_timeout)?;
    }
    if !writer && !memory {
        // A read by key is a twentieth faster. A disk that fails then ends the process instead of giving an error, as it does
        // for the index of the log, which is always mapped (<https://sqlite.org/mmap.html>).
        map_file(connection, i64::try_from(config.sqlite.mmap_size).unwrap_or(i64::MAX))?;
    }
    keep_pages(connection, PAGES)?;
    connection.pragma_update(None, "synchronous", config.sqlite.synchronous.word())?;
    connection.pragma_update(None, "foreign_keys", config.sqlite.foreign_keys)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    if let Some(limit) = config.sqlite.journal_size_limit {
        connection.pragma_update(None, "journal_size_limit", i64::try_from(limit).unwrap_or(i64::MAX))?;
    }
    // Reading the header now proves that the file is a database.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)).map(|_| ())
}

/// Switches the file to the write-ahead log. Of two processes that do so with a new file at once, each waits for the other's
/// lock, and SQLite refuses one of them without calling its busy handler (`sqlite3_busy_handler`, on deadlocks).
fn switch_to_log(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    let start = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "wal") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && start.elapsed() < patience => {
                thread::sleep(BETWEEN_SWITCHES);
            }
            outcome => return outcome,
        }
    }
}

fn keep_pages(connection: &Connection, kibibytes: i64) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", -kibibytes)
}

/// Reads of the file's first `bytes` go to memory that the system fills.
fn map_file(connection: &Connection, bytes: i64) -> rusqlite::Result<()> {
    connection.pragma_update(None, "mmap_size", bytes)
}

/// Does work that would only fill the memory for pages.
pub(super) fn with_few_pages<T>(connection: &Connection, work: impl FnOnce() -> T) -> T {
    let mapped = connection.pragma_query_value(None, "mmap_size", |row| row.get(0));
    // Where it fails the work takes more memory, nothing else.
    let _ = keep_pages(connection, PAGES_OF_STREAM);
    let _ = map_file(connection, 0);
    let result = work();
    let _ = mapped.and_then(|bytes| map_file(connection, bytes));
    let _ = keep_pages(connection, PAGES);
    result
}

/// How long a stream may rest on an unread batch before it gives up its snapshot, which holds back the log's reuse.
pub(super) const MAX_READ_AGE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::document;

    #[test]
    fn readers_map_the_file_but_not_during_a_stream() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}/app.db", folder.path().display());
        let mapped = |connection: &Connection| {
            connection.pragma_query_value(None, "mmap_size", |row| row.get::<_, i64>(0)).unwrap()
        };
        for bytes in [1 << 20, 0] {
            let config = Config::parse(&url, &document! { "mmap_size" => bytes }).unwrap();
            assert_eq!(mapped(&open(&config, true).unwrap()), 0);
            let reader = open(&config, false).unwrap();
            assert_eq!(mapped(&reader), bytes);
            assert_eq!(with_few_pages(&reader, || mapped(&reader)), 0);
            assert_eq!(mapped(&reader), bytes);
        }
    }

    #[test]
    fn all_who_open_a_new_file_at_once_succeed() {
        const AT_ONCE: usize = 6;
        let folder = tempfile::tempdir().unwrap();
        let barrier = Barrier::new(AT_ONCE);
        // Often, because they must meet within microseconds.
        for round in 0..200 {
            let open = || {
                barrier.wait();
                let connection = Connection::open(folder.path().join(format!("{round}.db"))).unwrap();
                connection.busy_timeout(Duration::from_secs(5)).unwrap();
                switch_to_log(&connection, Duration::from_secs(5))
            };
            thread::scope(|scope| {
                for opened in [(); AT_ONCE].map(|()| scope.spawn(open)) {
                    opened.join().unwrap().unwrap();
                }
            });
        }
    }
}
