//! [`SqliteOptions`]: what a connection to `SQLite` is told when it opens.
//!
//! Not for: what is always so (write-ahead log, one writer, no extension loading); that is the backend's.

use std::time::Duration;

use super::setting::Setting;
use super::settings::Settings;

/// What a connection to `SQLite` is told when it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// How long to wait for a lock of another process (5 s).
    pub busy_timeout: Duration,
    /// Bytes that the write-ahead log keeps on disk after a checkpoint (64 MiB); nothing for no limit.
    pub journal_size_limit: Option<u64>,
    /// Bytes of the file that readers map into memory (128 MiB); 0 for none. SQLite maps 2 GiB at most.
    pub mmap_size: u64,
    /// How far a commit waits for the disk (normal).
    pub synchronous: Synchronous,
    /// Whether foreign keys are enforced (they are).
    pub foreign_keys: bool,
    /// How the file is opened (created where it is missing).
    pub mode: OpenMode,
}

/// How far a commit waits for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Not at all: a crash of the machine can damage the file.
    Off,
    /// For checkpoints: with a write-ahead log a power loss can undo the last commits and damages nothing.
    #[default]
    Normal,
    /// For every commit.
    Full,
    /// For every commit, and for the directory too.
    Extra,
}

/// How the file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenMode {
    /// To read only; the file must exist.
    ReadOnly,
    /// To read and write; the file must exist.
    ReadWrite,
    /// To read and write; the file is created where it is missing.
    #[default]
    Create,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            journal_size_limit: Some(64 << 20),
            mmap_size: 128 << 20,
            synchronous: Synchronous::Normal,
            foreign_keys: true,
            mode: OpenMode::Create,
        }
    }
}

impl Synchronous {
    /// The word of the pragma.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Normal => "normal",
            Self::Full => "full",
            Self::Extra => "extra",
        }
    }
}

impl SqliteOptions {
    /// Takes the options of `SQLite` out of the settings, and whether they ask for memory (`mode=memory`).
    pub(super) fn from_settings(settings: &mut Settings) -> (Self, bool) {
        let mut options = Self::default();
        if let Some(span) = settings.take_span("busy_timeout") {
            options.busy_timeout = span;
        }
        match settings.take("journal_size_limit") {
            Some(Setting::Count(bytes)) => options.journal_size_limit = Some(bytes),
            Some(_) => options.journal_size_limit = None,
            None => {}
        }
        if let Some(Setting::Count(bytes)) = settings.take("mmap_size") {
            options.mmap_size = bytes;
        }
        if let Some(truth) = settings.take_truth("foreign_keys") {
            options.foreign_keys = truth;
        }
        options.synchronous = match settings.take_text("synchronous").as_deref() {
            Some("off") => Synchronous::Off,
            Some("full") => Synchronous::Full,
            Some("extra") => Synchronous::Extra,
            _ => Synchronous::Normal,
        };
        let mode = settings.take_text("mode");
        options.mode = match mode.as_deref() {
            Some("ro") => OpenMode::ReadOnly,
            Some("rw") => OpenMode::ReadWrite,
            _ => OpenMode::Create,
        };
        (options, mode.as_deref() == Some("memory"))
    }
}
