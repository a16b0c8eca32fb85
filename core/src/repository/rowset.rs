//! Rows with the names of their columns.

use std::sync::Arc;

use super::related::Related;
use crate::backend::{Cell, Rows, ValueRows};
use crate::error::Result;
use crate::schema::Entity;
use crate::value::{Map, Value, tagged};

/// The rows of an answer: which entity, which of its fields, the cells, and the related rows that were asked for.
pub struct RowSet {
    entity: Arc<Entity>,
    columns: Arc<[usize]>,
    rows: Box<dyn Rows>,
    included: Vec<Included>,
}

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

impl RowSet {
    /// One row of a set that is shared, or none.
    pub(crate) fn one_of(set: &Arc<Self>, row: Option<usize>) -> Self {
        Self::new(&set.entity, Arc::clone(&set.columns), Box::new(One { inner: Arc::clone(set), row }))
    }

    pub(crate) fn new(entity: &Arc<Entity>, columns: Arc<[usize]>, rows: Box<dyn Rows>) -> Self {
        Self { entity: Arc::clone(entity), columns, rows, included: Vec::new() }
    }

    pub(crate) fn of_values(
        entity: &Arc<Entity>,
        columns: Arc<[usize]>,
        rows: impl Into<Arc<Vec<Vec<Value>>>>,
    ) -> Self {
        Self::new(entity, columns, Box::new(ValueRows::new(rows)))
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
        let (prefixes, related) = (self.prefixes(), self.related_tagged()?);
        out.push(b'[');
        for row in 0..self.len() {
            if row > 0 {
                out.push(b',');
            }
            self.write_tagged_row(row, &prefixes, &related, out)?;
        }
        out.push(b']');
        Ok(())
    }

    fn related_tagged(&self) -> Result<Vec<Related<'_>>> {
        let print = self.included.iter().map(|included| {
            let (prefixes, related) = (included.rows.prefixes(), included.rows.related_tagged()?);
            Related::new(included, |row, out| included.rows.write_tagged_row(row, &prefixes, &related, out))
        });
        print.collect()
    }

    fn write_tagged_row(
        &self,
        row: usize,
        prefixes: &[Vec<u8>],
        related: &[Related<'_>],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        for (column, prefix) in prefixes.iter().enumerate() {
            out.extend_from_slice(prefix);
            self.rows.cell(row, column)?.write_tagged(out);
        }
        for one in related {
            one.write(row, out);
        }
        out.push(b'}');
        Ok(())
    }

    /// `{"first":` and `,"second":`, made once for all rows.
    fn prefixes(&self) -> Vec<Vec<u8>> {
        let prefix = |(index, name): (usize, &str)| {
            let mut text = vec![if index == 0 { b'{' } else { b',' }];
            tagged::write_text(name, &mut text);
            text.push(b':');
            text
        };
        self.names().into_iter().enumerate().map(prefix).collect()
    }
}
