//! The index of a file's write-ahead log, which lies in memory that all processes share
//! (<https://sqlite.org/walformat.html>, "The WAL-Index Header").

use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use rusqlite::{Connection, ffi};

/// So many pages in the log have the next commit copied into the file: SQLite's own default.
pub(super) const MOST_PAGES: u32 = 1000;
/// The size of the index's first part.
const REGION: i32 = 32 * 1024;
/// Where the header has the number of pages in the log (`mxFrame`), in words of four bytes.
const PAGES: usize = 4;
/// Where the part behind it has the number of those that were copied into the file (`nBackfill`).
const COPIED: usize = 24;

/// The head of the index: one copy of its header.
pub(super) type Head = [u64; 6];

/// The index in shared memory. It stays there as long as a transaction reads by it.
#[derive(Debug)]
pub(super) struct Index(NonNull<AtomicU64>);

// SAFETY: the memory is the process's, and is read by atomic operations only.
unsafe impl Send for Index {}

impl Index {
    /// The index of a connection that has a log.
    pub(super) fn of(connection: &Connection) -> Option<Self> {
        let mut file: *mut ffi::sqlite3_file = null_mut();
        let mut place: *mut c_void = null_mut();
        // SAFETY: the connection is open, and writes the pointer to its file. A file with a write-ahead log has its index
        // mapped already and only tells where; what it lacks is null.
        unsafe {
            let pointer = (&raw mut file).cast();
            ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), ffi::SQLITE_FCNTL_FILE_POINTER, pointer);
            let methods = file.as_ref()?.pMethods.as_ref().filter(|methods| methods.iVersion >= 2)?;
            if methods.xShmMap?(file, 0, REGION, 0, &raw mut place) != ffi::SQLITE_OK {
                return None;
            }
        }
        NonNull::new(place.cast()).map(Self)
    }

    pub(super) fn head(&self) -> Head {
        fence(Ordering::SeqCst);
        // SAFETY: the region is mapped and begins with the header, aligned to a page.
        std::array::from_fn(|part| unsafe { self.0.add(part).as_ref() }.load(Ordering::Relaxed))
    }

    /// Whether a commit only adds to the log. Beginning it anew, after all of it was copied, waits for the disk; and one that
    /// is full ought to be copied.
    pub(super) fn has_room(&self) -> bool {
        // SAFETY: as above; both lie in its first hundred bytes.
        let word = |place: usize| unsafe { self.0.cast::<AtomicU32>().add(place).as_ref() }.load(Ordering::Relaxed);
        let pages = word(PAGES);
        pages < MOST_PAGES && word(COPIED) < pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_from_the_first_page_that_is_not_copied_until_the_log_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("file")).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        let run = |text: &str| connection.execute_batch(text).unwrap();
        run("CREATE TABLE numbers (number INTEGER)");
        let index = Index::of(&connection).unwrap();
        assert!(index.has_room());
        run("PRAGMA wal_checkpoint(PASSIVE)");
        assert!(!index.has_room(), "the next commit begins it anew");
        run("PRAGMA wal_autocheckpoint = 0; INSERT INTO numbers VALUES (1)");
        assert!(index.has_room());
        (1..MOST_PAGES).for_each(|_| run("UPDATE numbers SET number = number + 1"));
        assert!(!index.has_room(), "it is full");
        run("PRAGMA wal_checkpoint(TRUNCATE)");
        assert!(!index.has_room(), "it is empty");
    }

    #[test]
    fn a_file_without_a_log_has_no_index() {
        assert!(Index::of(&Connection::open_in_memory().unwrap()).is_none());
    }
}
