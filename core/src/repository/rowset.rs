//! Rows with the names of their columns.

use std::sync::Arc;

use super::related::Related;
use crate::backend::{Batch, Cell, Rows};
use crate::error::Result;
use crate::schema::{Entity, Field};
use crate::value::{Map, Value, tagged};

/// The rows of an answer: which entity, which of its fields, the cells, and the related rows that were asked for.
pub struct RowSet {
    entity: Arc<Entity>,
    columns: Arc<[usize]>,
    rows: Box<dyn Rows>,
    included: Vec<Included>,
}

/// What takes rows of a find while others are still on their way: `Some` are the next ones, `None` says that nothing counts
/// that came before. Called by whichever thread reads them, it must not wait.
pub type EarlyRows = dyn Fn(Option<RowSet>) + Send + Sync;

/// The rows at the other end of a relation, each once, and which belong to which row.
pub struct Included {
    /// The relation's name.
    pub name: String,
    /// Whether a row has a list of them, or one at most.
    pub many: bool,
    /// The related rows, in the order of their key.
    pub rows: RowSet,
    /// For each row of this side, the places of its rows in `rows`.
    pub places: Vec<Vec<usize>>,
}

/// Some rows and columns of others.
struct Picked {
    inner: Box<dyn Rows>,
    rows: Vec<usize>,
    columns: Vec<usize>,
}

impl Rows for Picked {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn cell(&self, row: usize, column: usize) -> Result<Cell<'_>> {
        self.inner.cell(self.rows[row], self.columns[column])
    }
}

/// One row of rows that others have too, or none.
struct One {
    inner: Arc<RowSet>,
    row: Option<usize>,
}

impl Rows for One {
    fn len(&self) -> usize {
        usize::from(self.row.is_some())
    }

    fn cell(&self, _row: usize, column: usize) -> Result<Cell<'_>> {
        self.inner.rows.cell(self.row.unwrap_or_default(), column)
    }
}

/// Rows that the core has.
struct Shared(Arc<Batch>);

impl Rows for Shared {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn cell(&self, row: usize, column: usize) -> Result<Cell<'_>> {
        Ok(self.0.cell(row, column))
    }
}

impl RowSet {
    /// One row of a set that is shared, or none.
    pub(crate) fn one_of(set: &Arc<Self>, row: Option<usize>) -> Self {
        Self::new(&set.entity, Arc::clone(&set.columns), Box::new(One { inner: Arc::clone(set), row }))
    }

    pub(crate) fn new(entity: &Arc<Entity>, columns: Arc<[usize]>, rows: Box<dyn Rows>) -> Self {
        Self { entity: Arc::clone(entity), columns, rows, included: Vec::new() }
    }

    /// Rows that may belong to others too.
    pub(crate) fn of_batch(entity: &Arc<Entity>, columns: Arc<[usize]>, rows: Arc<Batch>) -> Self {
        Self::new(entity, columns, Box::new(Shared(rows)))
    }

    /// These rows of this set (in this order), with these fields of the entity; related rows are added afterwards.
    pub(crate) fn pick(self, rows: Vec<usize>, columns: &Arc<[usize]>) -> Self {
        let place = |wanted: &usize| self.columns.iter().position(|column| column == wanted).unwrap_or_default();
        let picked = Picked { columns: columns.iter().map(place).collect(), rows, inner: self.rows };
        Self { entity: self.entity, columns: Arc::clone(columns), rows: Box::new(picked), included: Vec::new() }
    }

    /// The same rows with related ones.
    pub(crate) fn with_included(self, included: Vec<Included>) -> Self {
        Self { included, ..self }
    }

    /// The related rows, relation by relation.
    pub fn included(&self) -> &[Included] {
        &self.included
    }

    /// Takes the related rows out, for a host that makes objects of them.
    pub fn take_included(&mut self) -> Vec<Included> {
        std::mem::take(&mut self.included)
    }

    /// The entity.
    pub fn entity(&self) -> &Arc<Entity> {
        &self.entity
    }

    /// The positions of the fields that stand in the columns.
    pub fn columns(&self) -> &Arc<[usize]> {
        &self.columns
    }

    /// The cells.
    pub fn rows(&self) -> &dyn Rows {
        &*self.rows
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the columns.
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|column| self.entity.fields[*column].name.as_str()).collect()
    }

    /// One row as values, in the order of the columns.
    pub fn values(&self, row: usize) -> Result<Vec<Value>> {
        (0..self.columns.len()).map(|column| self.rows.cell(row, column)?.to_value()).collect()
    }

    /// One row as a document.
    pub fn document(&self, row: usize) -> Result<Map> {
        let names = self.names().into_iter().map(str::to_owned);
        Ok(names.zip(self.values(row)?).collect())
    }

    /// Appends all rows as an array of tagged-JSON objects by stored names.
    pub fn write_tagged(&self, out: &mut Vec<u8>) -> Result<()> {
        self.write_objects(write_cell, out)
    }

    /// Appends all rows as an array of objects by stored names, their cells written by `write`.
    pub fn write_objects(&self, write: WriteCell, out: &mut Vec<u8>) -> Result<()> {
        let writer = Objects::new(self, write)?;
        out.push(b'[');
        for row in 0..self.len() {
            if row > 0 {
                out.push(b',');
            }
            writer.write(row, out)?;
        }
        out.push(b']');
        Ok(())
    }
}

fn write_cell(_field: &Field, cell: Cell<'_>, out: &mut Vec<u8>) {
    cell.write_tagged(out);
}

/// Appends the cell of a field to JSON.
pub type WriteCell = fn(&Field, Cell<'_>, &mut Vec<u8>);

/// Rows on their way into JSON objects.
struct Objects<'a> {
    rows: &'a RowSet,
    write: WriteCell,
    /// `{"first":`, `,"second":` and so on, made once for all rows, and where each ends.
    prefixes: Vec<u8>,
    ends: Vec<usize>,
    related: Vec<Related<'a>>,
}

impl<'a> Objects<'a> {
    fn new(rows: &'a RowSet, write: WriteCell) -> Result<Self> {
        let mut prefixes = Vec::with_capacity(32 * rows.columns.len());
        let mut ends = Vec::with_capacity(rows.columns.len());
        for column in rows.columns.iter() {
            prefixes.push(if ends.is_empty() { b'{' } else { b',' });
            tagged::write_text(&rows.entity.fields[*column].name, &mut prefixes);
            prefixes.push(b':');
            ends.push(prefixes.len());
        }
        let print = rows.included.iter().map(|included| {
            let inner = Self::new(&included.rows, write)?;
            Related::new(included, |row, out| inner.write(row, out))
        });
        Ok(Self { rows, write, prefixes, ends, related: print.collect::<Result<_>>()? })
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let mut start = 0;
        for (column, (position, end)) in self.rows.columns.iter().zip(&self.ends).enumerate() {
            out.extend_from_slice(&self.prefixes[start..*end]);
            start = *end;
            (self.write)(&self.rows.entity.fields[*position], self.rows.rows.cell(row, column)?, out);
        }
        for one in &self.related {
            one.write(row, out);
        }
        out.push(b'}');
        Ok(())
    }
}
