//! `include`: the rows at the other end of relations, loaded for all rows of an answer at once. A relation costs one
//! statement, two where an entity stands between; the number of rows does not matter.
//!
//! Soft-deleted rows are not loaded. Outside a transaction the statements do not see one moment of the database.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::arguments::{Arguments, fields_in, living};
use super::rowset::Included;
use super::{Reply, Repository, RowSet, Verb};
use crate::error::{Error, Result};
use crate::query::Sort;
use crate::schema::Link;
use crate::transaction::Transaction;
use crate::value::{Value, canonical_order};

/// Keys of one statement at most, and of one with a condition for each of them.
const KEYS: usize = 10_000;
const COMPOSITE_KEYS: usize = 200;
/// Relations one behind the other at most.
const MAX_LEVELS: usize = 8;

/// What to include, by relation, with what to include there.
#[derive(Debug, Default)]
pub(super) struct Includes(Vec<(String, Includes)>);

impl Includes {
    /// Reads names and paths such as `author.company`.
    pub(super) fn parse(names: &[Value]) -> Result<Self> {
        let mut includes = Self::default();
        for name in names {
            let path = name.as_text().filter(|path| path.split('.').count() <= MAX_LEVELS).ok_or_else(|| {
                Error::invalid_query(format!("include takes names of relations, up to {MAX_LEVELS} in a path"))
                    .with("argument", "include")
            })?;
            includes.add(path);
        }
        Ok(includes)
    }

    fn add(&mut self, path: &str) {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let place = self.0.iter().position(|(name, _)| name == first).unwrap_or_else(|| {
            self.0.push((first.to_owned(), Self::default()));
            self.0.len() - 1
        });
        if let Some(rest) = rest {
            self.0[place].1.add(rest);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Verb {
    /// Whether it answers rows that others can be included in.
    fn includes(self) -> bool {
        matches!(self, Self::Get | Self::GetOrNone | Self::GetMany | Self::Find | Self::FindOne | Self::Page)
    }
}

impl Repository {
    /// What to include, and the fields that the caller wants; the arguments then ask for the links' fields too.
    pub(super) fn take_includes(&self, verb: Verb, arguments: &mut Arguments) -> Result<Option<Wanted>> {
        if !verb.includes() {
            return Ok(None);
        }
        let includes = Includes::parse(&arguments.list("include")?)?;
        if includes.is_empty() {
            return Ok(None);
        }
        let contract = self.database.contract();
        let mut linking = Vec::new();
        for (name, _) in &includes.0 {
            linking.extend(Link::resolve(&contract, &self.entity, name)?.from);
        }
        let columns = arguments.widen_fields(&self.entity, &linking)?;
        Ok(Some(Wanted { includes, columns }))
    }

    /// Loads what is wanted for the rows of a reply.
    pub(super) async fn include(&self, reply: Reply, wanted: Wanted, tx: Option<&Transaction>) -> Result<Reply> {
        Ok(match reply {
            Reply::Row(Some(rows)) => Reply::Row(Some(self.include_in(rows, wanted, tx).await?)),
            Reply::Rows(rows) => Reply::Rows(self.include_in(rows, wanted, tx).await?),
            Reply::Page { rows, next } => Reply::Page { rows: self.include_in(rows, wanted, tx).await?, next },
            other => other,
        })
    }

    async fn include_in(&self, rows: RowSet, wanted: Wanted, tx: Option<&Transaction>) -> Result<RowSet> {
        let included = self.load_all(&rows, &wanted.includes, tx).await?;
        let rows = match wanted.columns {
            Some(columns) => {
                let all = (0..rows.len()).collect();
                rows.pick(all, &columns)
            }
            None => rows,
        };
        Ok(rows.with_included(included))
    }

    async fn load_all(&self, rows: &RowSet, includes: &Includes, tx: Option<&Transaction>) -> Result<Vec<Included>> {
        let contract = self.database.contract();
        let mut all = Vec::with_capacity(includes.0.len());
        for (name, inner) in &includes.0 {
            let link = Link::resolve(&contract, &self.entity, name)?;
            let other = Self::new(self.database.clone(), Arc::clone(&link.target))?;
            let mut included = self.load(rows, &link, &other, tx).await?;
            if !inner.is_empty() {
                let nested = Box::pin(other.load_all(&included.rows, inner, tx)).await?;
                included.rows = included.rows.with_included(nested);
            }
            all.push(included);
        }
        Ok(all)
    }

    /// The rows at the other end of one relation.
    async fn load(&self, rows: &RowSet, link: &Link, other: &Self, tx: Option<&Transaction>) -> Result<Included> {
        let ours = keys_of(rows, &link.from)?;
        let (rows, places) = match &link.through {
            None => {
                let found = other.rows_with(&link.to, &ours, tx).await?;
                let index = Index::new(keys_of(&found, &link.to)?);
                let places = ours.iter().map(|key| index.places(key.as_deref())).collect();
                (found, places)
            }
            Some(through) => {
                let between = Self::new(self.database.clone(), Arc::clone(&through.entity))?;
                let pairs = between.rows_with(&through.ours, &ours, tx).await?;
                let (left, right) = (Index::new(keys_of(&pairs, &through.ours)?), keys_of(&pairs, &through.theirs)?);
                let found = other.rows_with(&link.to, &right, tx).await?;
                let index = Index::new(keys_of(&found, &link.to)?);
                let reach = |key: &Option<Vec<Value>>| {
                    let pairs = left.places(key.as_deref()).into_iter();
                    let places: BTreeSet<usize> = pairs.flat_map(|pair| index.places(right[pair].as_deref())).collect();
                    places.into_iter().collect()
                };
                (found, ours.iter().map(reach).collect())
            }
        };
        Ok(Included { name: link.name.clone(), many: link.many, rows, places })
    }

    /// The living rows whose `columns` have one of these values, each once, in the order of their key.
    async fn rows_with(
        &self,
        columns: &[usize],
        keys: &[Option<Vec<Value>>],
        tx: Option<&Transaction>,
    ) -> Result<RowSet> {
        let mut wanted: Vec<Vec<Value>> = keys.iter().flatten().cloned().collect();
        wanted.sort_by(|a, b| compare(a, b));
        wanted.dedup_by(|a, b| compare(a, b).is_eq());
        let size = if columns.len() == 1 { KEYS } else { COMPOSITE_KEYS };
        let mut chunks = Vec::new();
        for chunk in wanted.chunks(size) {
            let filter = living(fields_in(&self.entity, columns, chunk)?, &self.entity, false)?;
            let query =
                super::arguments::Query { sort: Sort::default().with_key(&self.entity), ..self.query_of(filter) };
            chunks.push(self.select(&mut self.lease(Verb::Find, tx).await?, &query).await?);
        }
        if chunks.len() == 1 {
            return Ok(chunks.remove(0));
        }
        let mut rows = Vec::new();
        for chunk in &chunks {
            for row in 0..chunk.len() {
                rows.push(chunk.values(row)?);
            }
        }
        rows.sort_by(|a, b| compare(&self.entity.key_of(a), &self.entity.key_of(b)));
        Ok(self.row_set(rows))
    }
}

/// What a call wants included.
pub(super) struct Wanted {
    includes: Includes,
    /// The columns that the caller asked for, where more had to be read.
    columns: Option<Arc<[usize]>>,
}

/// The values of some columns (entity positions) of each row; `None` where one of them is null.
pub(super) fn keys_of(rows: &RowSet, columns: &[usize]) -> Result<Vec<Option<Vec<Value>>>> {
    let place = |column: &usize| {
        let found = rows.columns().iter().position(|known| known == column);
        found.ok_or_else(|| Error::internal("a link's column was not read"))
    };
    let places = columns.iter().map(place).collect::<Result<Vec<_>>>()?;
    let key = |row| {
        let values = places.iter().map(|place| rows.rows().cell(row, *place)?.to_value());
        let values = values.collect::<Result<Vec<_>>>()?;
        Ok(Some(values).filter(|values| values.iter().all(|value| !value.is_null())))
    };
    (0..rows.len()).map(key).collect()
}

pub(super) fn compare(a: &[Value], b: &[Value]) -> Ordering {
    let parts = a.iter().zip(b).map(|(a, b)| canonical_order(a, b));
    parts.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Rows by the values of some columns.
struct Index(Vec<(Vec<Value>, usize)>);

impl Index {
    fn new(keys: Vec<Option<Vec<Value>>>) -> Self {
        let mut sorted: Vec<_> = keys.into_iter().enumerate().filter_map(|(row, key)| Some((key?, row))).collect();
        sorted.sort_by(|(a, row), (b, other)| compare(a, b).then(row.cmp(other)));
        Self(sorted)
    }

    /// The rows with this key, in their order.
    fn places(&self, key: Option<&[Value]>) -> Vec<usize> {
        let Some(key) = key else { return Vec::new() };
        let start = self.0.partition_point(|(other, _)| compare(other, key).is_lt());
        self.0[start..].iter().take_while(|(other, _)| compare(other, key).is_eq()).map(|(_, row)| *row).collect()
    }
}
