//! MongoDB's object id, so that keys made there keep their type everywhere.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

/// Twelve bytes: seconds since 1970 (4), random per process (5), counter (3).
/// Layout: the MongoDB `ObjectId` specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub [u8; 12]);

impl ObjectId {
    /// A new id, greater than every id that this process made in an earlier second.
    pub fn generate() -> Self {
        static PROCESS: OnceLock<(u32, [u8; 5])> = OnceLock::new();
        static COUNTER: OnceLock<AtomicU32> = OnceLock::new();
        // After a fork the child must not repeat the parent's random part with the same counter.
        let pid = std::process::id();
        let (made_by, process) = PROCESS.get_or_init(|| (pid, rand::random()));
        let mut random = *process;
        if *made_by != pid {
            for (byte, mix) in random.iter_mut().zip(pid.to_le_bytes()) {
                *byte ^= mix;
            }
        }
        let count = COUNTER.get_or_init(|| AtomicU32::new(rand::random())).fetch_add(1, Ordering::Relaxed);
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as u32);
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&seconds.to_be_bytes());
        bytes[4..9].copy_from_slice(&random);
        bytes[9..].copy_from_slice(&count.to_be_bytes()[1..]);
        Self(bytes)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ObjectId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid_value(format!("expected an object id of 24 hexadecimal digits, got {text:?}"));
        if text.len() != 24 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 12];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let pair = &text[index * 2..index * 2 + 2];
            if !pair.bytes().all(|c| c.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_the_same_id() {
        let id = ObjectId::generate();
        assert_eq!(id.to_string().parse::<ObjectId>().unwrap(), id);
        assert!("+1a47286cfa9a3a73e51e72c".parse::<ObjectId>().is_err());
    }

    #[test]
    fn ids_of_one_process_differ() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| ObjectId::generate()).collect();
        assert_eq!(ids.len(), 1000);
    }
}
