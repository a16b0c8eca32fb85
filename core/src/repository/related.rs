//! Related rows on their way out: each is printed once, and pasted wherever it belongs.

use super::rowset::Included;
use crate::error::Result;
use crate::value::tagged;

/// The printed rows of one relation.
pub(super) struct Related<'a> {
    key: Vec<u8>,
    included: &'a Included,
    objects: Vec<Vec<u8>>,
}

impl<'a> Related<'a> {
    /// Prints every related row by `print`.
    pub(super) fn new(
        included: &'a Included,
        mut print: impl FnMut(usize, &mut Vec<u8>) -> Result<()>,
    ) -> Result<Self> {
        let mut key = Vec::new();
        tagged::write_text(&included.name, &mut key);
        key.push(b':');
        let object = |row| {
            let mut out = Vec::new();
            print(row, &mut out).map(|()| out)
        };
        let objects = (0..included.rows.len()).map(object).collect::<Result<_>>()?;
        Ok(Self { key, included, objects })
    }

    /// Appends the member of `row` to an object that is open: a list, or one object or null.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) {
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        out.extend_from_slice(&self.key);
        let mut objects = self.included.places[row].iter().map(|place| self.objects[*place].as_slice());
        if self.included.many {
            out.push(b'[');
            for (index, object) in objects.enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(object);
            }
            out.push(b']');
        } else {
            out.extend_from_slice(objects.next().unwrap_or(b"null"));
        }
    }
}
