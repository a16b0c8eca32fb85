//! What a host passes to a verb: one map, every key checked, nothing ignored.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::rowset::EarlyRows;
use crate::error::{Error, Result};
use crate::query::{Comparison, Filter, MAX_WORDS, Sort, Test, Update, Words, words};
use crate::schema::{Entity, Path};
use crate::value::{Map, Value};

/// The arguments of one call.
pub(super) struct Arguments {
    map: Map,
    verb: &'static str,
    /// The filter as it was written, where conditions on related rows were put in other words.
    written: Option<Map>,
    /// Whether the call is part of a transaction.
    inside: bool,
    /// Who takes rows of a find while others are still on their way.
    pub(super) early: Option<Arc<EarlyRows>>,
}

impl Arguments {
    pub(super) fn new(map: Map, verb: &'static str, inside: bool) -> Self {
        Self { map, verb, written: None, inside, early: None }
    }

    fn wrong(&self, name: &str, wanted: &str) -> Error {
        Error::invalid_query(format!("{}: {name:?} must be {wanted}", self.verb)).with("argument", name)
    }

    /// The argument, null where it is absent.
    pub(super) fn take(&mut self, name: &str) -> Value {
        self.map.shift_remove(name).unwrap_or_default()
    }

    pub(super) fn needed(&mut self, name: &str) -> Result<Value> {
        self.map.shift_remove(name).ok_or_else(|| self.wrong(name, "given"))
    }

    pub(super) fn map(&mut self, name: &str) -> Result<Map> {
        match self.take(name) {
            Value::Null => Ok(Map::new()),
            Value::Map(map) => Ok(map),
            _ => Err(self.wrong(name, "a map")),
        }
    }

    pub(super) fn list(&mut self, name: &str) -> Result<Vec<Value>> {
        match self.take(name) {
            Value::Null => Ok(Vec::new()),
            Value::List(list) => Ok(list),
            _ => Err(self.wrong(name, "a list")),
        }
    }

    pub(super) fn maps(&mut self, name: &str) -> Result<Vec<Map>> {
        let list = self.list(name)?;
        list.into_iter()
            .map(|item| match item {
                Value::Map(map) => Ok(map),
                _ => Err(self.wrong(name, "a list of maps")),
            })
            .collect()
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            _ => Err(self.wrong(name, "text")),
        }
    }

    pub(super) fn flag(&mut self, name: &str, otherwise: bool) -> Result<bool> {
        match self.take(name) {
            Value::Null => Ok(otherwise),
            Value::Bool(flag) => Ok(flag),
            _ => Err(self.wrong(name, "true or false")),
        }
    }

    pub(super) fn int(&mut self, name: &str) -> Result<Option<i64>> {
        match self.take(name) {
            Value::Null => Ok(None),
            Value::Int(number) => Ok(Some(number)),
            _ => Err(self.wrong(name, "an integer")),
        }
    }

    fn count(&mut self, name: &str) -> Result<Option<u64>> {
        match self.int(name)? {
            None => Ok(None),
            Some(number) => u64::try_from(number).map(Some).map_err(|_| self.wrong(name, "zero or more")),
        }
    }

    /// All arguments that nobody took yet.
    pub(super) fn document(&self) -> &Map {
        &self.map
    }

    /// The filter as it was written, if it is one.
    pub(super) fn filter(&self) -> Option<&Map> {
        self.map.get("filter").and_then(Value::as_map)
    }

    /// Puts the filter in other words.
    pub(super) fn rewrite_filter(&mut self, filter: Map) {
        if let Some(Value::Map(written)) = self.map.insert("filter".to_owned(), Value::Map(filter)) {
            self.written = Some(written);
        }
    }

    /// Asks for more fields where the caller chose some; then what he chose.
    pub(super) fn widen_fields(&mut self, entity: &Entity, more: &[usize]) -> Result<Option<Arc<[usize]>>> {
        let names = self.list("fields")?;
        if names.is_empty() {
            return Ok(None);
        }
        let chosen = self.positions(entity, &names)?;
        let wide: BTreeSet<usize> = chosen.iter().chain(more).copied().collect();
        let names = wide.into_iter().map(|position| Value::from(entity.fields[position].name.as_str()));
        self.map.insert("fields".to_owned(), Value::List(names.collect()));
        Ok(Some(chosen))
    }

    fn positions(&self, entity: &Entity, names: &[Value]) -> Result<Arc<[usize]>> {
        let position =
            |name: &Value| entity.position(name.as_text().ok_or_else(|| self.wrong("fields", "a list of names"))?);
        names.iter().map(position).collect()
    }

    /// An update, with its array filters, of the rows of the filter, which is still to be taken.
    pub(super) fn update(&mut self, name: &str, entity: &Entity) -> Result<Update> {
        let (document, array_filters) = (self.map(name)?, self.list("array_filters")?);
        match self.filter() {
            Some(filter) => Update::parse_for(&document, &array_filters, filter, entity),
            None => Update::parse_filtered(&document, &array_filters, entity),
        }
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<()> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => {
                Err(Error::invalid_query(format!("{} has no argument {name:?}", self.verb))
                    .with("argument", name.as_str()))
            }
        }
    }

    /// The rows that have every word of a text.
    fn search(&self, text: &str, entity: &Entity) -> Result<Filter> {
        let refused = |message: String| Error::invalid_query(message).with("argument", "search");
        let position = entity.automatic.search.ok_or_else(|| {
            refused(format!("{} has no search field, whose words could be looked for", entity.name))
                .with("entity", entity.name.as_str())
        })?;
        let mut different: Vec<String> = Vec::new();
        for word in words(text) {
            if !different.contains(&word) {
                different.push(word);
            }
            if different.len() > MAX_WORDS {
                return Err(refused(format!("a search has up to {MAX_WORDS} different words")));
            }
        }
        let path = Path::resolve(entity, &entity.fields[position].name)?;
        Ok(Filter::At(path, Test::Words(Words { words: different, uncommitted: self.inside })))
    }

    /// The keys of a query; what is left belongs to the verb.
    pub(super) fn query(&mut self, entity: &Entity) -> Result<Query> {
        let resolved = self.map("filter")?;
        let deleted = self.flag("deleted", false)?;
        let filter = Filter::parse(&resolved, entity)?;
        let mut document = self.written.take().unwrap_or(resolved);
        let (filter, ranked) = match self.text("search")? {
            Some(text) => {
                let found = self.search(&text, entity)?;
                document.insert("$search".to_owned(), text.into());
                (found.and(filter), true)
            }
            None => (filter, false),
        };
        let is_empty = filter.is_all();
        let filter = living(filter, entity, deleted)?;
        let mut sort = Sort::parse(&self.take("sort"), entity)?;
        if ranked && sort.fields.is_empty() {
            sort = Sort { ranked, ..sort.with_key(entity) };
        }
        let names = self.list("fields")?;
        let columns = self.positions(entity, &names)?;
        let columns = if columns.is_empty() { (0..entity.fields.len()).collect() } else { columns };
        Ok(Query {
            document,
            is_empty,
            filter,
            sort,
            limit: self.count("limit")?,
            skip: self.count("skip")?.unwrap_or(0),
            columns,
        })
    }
}

/// A query of one entity.
#[derive(Clone, Debug)]
pub(super) struct Query {
    /// The filter as it was written, for `explain`.
    pub(super) document: Map,
    /// Whether the caller gave no condition that excludes anything.
    pub(super) is_empty: bool,
    /// The filter, soft-deleted rows excluded.
    pub(super) filter: Filter,
    pub(super) sort: Sort,
    pub(super) limit: Option<u64>,
    pub(super) skip: u64,
    pub(super) columns: Arc<[usize]>,
}

/// The filter for rows that are not soft-deleted.
pub(super) fn living(filter: Filter, entity: &Entity, deleted: bool) -> Result<Filter> {
    match entity.automatic.deleted {
        Some(position) if !deleted => {
            let path = Path::resolve(entity, &entity.fields[position].name)?;
            Ok(filter.and(Filter::At(path, Test::Compare(Comparison::Eq, Value::Null))))
        }
        _ => Ok(filter),
    }
}

/// The values of a key: one value, or a map for a composite key.
pub(super) fn key_values(entity: &Entity, id: Value) -> Result<Vec<Value>> {
    let wrong = |what: &str| {
        let names: Vec<_> = entity.key.iter().map(|position| entity.fields[*position].name.as_str()).collect();
        Error::invalid_query(format!("the key of {} is {}, got {what}", entity.name, names.join(", ")))
            .with("entity", entity.name.as_str())
    };
    if let [position] = entity.key[..] {
        return match id {
            Value::Map(mut map) if map.len() == 1 && map.contains_key(&entity.fields[position].name) => {
                Ok(vec![map.swap_remove_index(0).map(|(_, value)| value).unwrap_or_default()])
            }
            value => Ok(vec![value]),
        };
    }
    let (Value::Map(_) | Value::List(_)) = &id else { return Err(wrong(id.type_name())) };
    match id {
        Value::Map(mut map) if map.len() == entity.key.len() => entity
            .key
            .iter()
            .map(|position| map.shift_remove(&entity.fields[*position].name).ok_or_else(|| wrong("other fields")))
            .collect(),
        Value::List(list) if list.len() == entity.key.len() => Ok(list),
        _ => Err(wrong("another number of values")),
    }
}

/// `key = values`, for values that were checked.
pub(super) fn key_equals(entity: &Entity, values: &[Value]) -> Result<Filter> {
    fields_equal(entity, &entity.key, values)
}

/// `fields` in the order of `positions` have the values of one of `keys`, which were checked.
pub(super) fn fields_in(entity: &Entity, positions: &[usize], keys: &[Vec<Value>]) -> Result<Filter> {
    if let [position] = positions {
        let path = Path::resolve(entity, &entity.fields[*position].name)?;
        return Ok(Filter::At(path, Test::In(keys.iter().map(|key| key[0].clone()).collect())));
    }
    Ok(Filter::Or(keys.iter().map(|key| fields_equal(entity, positions, key)).collect::<Result<_>>()?))
}

/// `fields = values`, for values that were checked.
pub(super) fn fields_equal(entity: &Entity, positions: &[usize], values: &[Value]) -> Result<Filter> {
    let parts = positions.iter().zip(values).map(|(position, value)| {
        let path = Path::resolve(entity, &entity.fields[*position].name)?;
        Ok(Filter::At(path, Test::Compare(Comparison::Eq, value.clone())))
    });
    let mut parts = parts.collect::<Result<Vec<_>>>()?;
    Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::And(parts) })
}
