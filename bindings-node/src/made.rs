//! What the host must be told of new rows: the fields that do not hold what it has sent.

use farm_db_core::Repository;
use farm_db_core::backend::{Batch, Cell};
use farm_db_core::repository::Check;
use farm_db_core::schema::Field;
use farm_db_core::value::tagged;

use crate::reply::write_cell;

/// What the host must be told of the rows of a slice.
pub(crate) struct Made {
    rows: usize,
    /// `,"field":[..],"other":[..]`: the values of the fields that the core has made.
    columns: Vec<u8>,
    /// The keys that the records have brought, where the database counts them.
    keys: Vec<Option<i64>>,
}

impl Made {
    /// Of the rows from `from` on, the fields for which `made` says so. Where the database counts the key, it is told when all
    /// are known.
    pub(crate) fn new(check: &Check, rows: &Batch, from: usize, mut made: Vec<bool>, counted: Option<usize>) -> Self {
        let keys = counted.map_or_else(Vec::new, |position| {
            made[position] = false;
            (from..rows.len()).map(|row| rows.cell(row, position).as_int()).collect()
        });
        let mut columns = Vec::new();
        for (position, _) in made.iter().enumerate().filter(|(_, made)| **made) {
            write_column(check.field(position), (from..rows.len()).map(|row| rows.cell(row, position)), &mut columns);
        }
        Self { rows: rows.len() - from, columns, keys }
    }

    /// How many rows the slice has.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Whether a record has brought a key where the database counts them.
    pub(crate) fn has_key(&self) -> bool {
        self.keys.iter().any(Option::is_some)
    }

    /// The JSON object of it, with the keys that the database has counted; nothing where there is nothing to tell.
    pub(crate) fn tell(&self, repository: &Repository, counted: &[Option<i64>]) -> Vec<u8> {
        let mut columns = self.columns.clone();
        if let Some(position) = repository.counted_key() {
            let key = |(row, given): (usize, &Option<i64>)| given.or_else(|| counted.get(row).copied().flatten());
            let cells = self.keys.iter().enumerate().map(key).map(|key| key.map_or(Cell::Null, Cell::Int));
            write_column(&repository.entity().fields[position], cells, &mut columns);
        }
        match columns.first_mut() {
            Some(first) => {
                *first = b'{';
                columns.push(b'}');
                columns
            }
            None => columns,
        }
    }
}

/// Appends `,"field":[..]`.
fn write_column<'a>(field: &Field, cells: impl Iterator<Item = Cell<'a>>, out: &mut Vec<u8>) {
    out.push(b',');
    tagged::write_text(&field.name, out);
    out.extend_from_slice(b":[");
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_cell(field, cell, out);
    }
    out.push(b']');
}
