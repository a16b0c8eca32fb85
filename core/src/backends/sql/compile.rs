//! Operations as SQL. Pure: takes no connection.

use std::sync::Arc;

use super::filter::{FilterCompiler, Operand};
use super::search::words_of;
use super::{Dialect, for_column};
use crate::backend::{Changes, Conflict, Insert, Operation, Select, SetTo, Statement, Write};
use crate::error::{Error, Result};
use crate::query::{Filter, Sort};
use crate::schema::{Entity, FieldType, Path};
use crate::value::Value;

/// The statement of an operation, exact or with what remains for the core; refused where it has more parameters than the
/// database takes.
pub(in crate::backends) fn compile(dialect: &dyn Dialect, operation: &Operation<'_>) -> Result<Statement> {
    let compiler = Compiler { dialect };
    let statement = match operation {
        Operation::Select(select) => compiler.select(select),
        Operation::Count(select) => compiler.count(select),
        Operation::Distinct(select) => compiler.distinct(select),
        Operation::Insert(insert) => compiler.insert(insert),
        Operation::Update(write, changes) => compiler.update(write, changes),
        Operation::Delete(write) => compiler.delete(write),
    }?;
    let most = dialect.most_parameters();
    if statement.parameters.len() as i64 > most {
        let (name, values) = (dialect.name(), statement.parameters.len());
        return Err(Error::unsupported(format!("{name} takes up to {most} values in a statement, this has {values}"))
            .with("backend", name));
    }
    Ok(statement)
}

/// The position of every column of an entity.
pub(in crate::backends) fn all_columns(entity: &Entity) -> Arc<[usize]> {
    (0..entity.fields.len()).collect()
}

fn statement(entity: &Entity, text: String, parameters: Vec<Value>, columns: &Arc<[usize]>) -> Statement {
    let kinds = columns.iter().map(|column| entity.fields[*column].kind.clone()).collect();
    let columns = Arc::clone(columns);
    Statement {
        text: text.into(),
        parameters,
        columns,
        residual: None,
        unsorted: false,
        kinds,
        native: None,
        early: None,
        by_key: false,
    }
}

/// A select without its column list: what stands behind the table.
struct Tail {
    sql: String,
    parameters: Vec<Value>,
    exact: bool,
    sorted: bool,
}

/// The parts of an ORDER BY: the operand, one of its keys, and the direction.
struct SortKey {
    operand: Operand,
    sql: String,
    descending: bool,
    nullable: bool,
}

struct Compiler<'a> {
    dialect: &'a dyn Dialect,
}

impl Compiler<'_> {
    fn column_list(&self, entity: &Entity, columns: &[usize]) -> String {
        let names = columns.iter().map(|column| self.dialect.quote(&entity.fields[*column].name));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Adds a parameter; its placeholder.
    fn parameter(&self, parameters: &mut Vec<Value>, kind: &FieldType, value: Value) -> String {
        parameters.push(value);
        self.dialect.mark(parameters.len(), kind)
    }

    /// `parameters`: those that stand in the statement before.
    fn tail(&self, select: &Select<'_>, mut parameters: Vec<Value>) -> Result<Tail> {
        let ranked = if select.sort.ranked { words_of(select.filter) } else { None };
        let join = ranked.and_then(|words| self.dialect.search_join(select.entity, words, &mut parameters));
        let mut compiler = FilterCompiler {
            dialect: self.dialect,
            entity: select.entity,
            parameters,
            constant: false,
            searched: join.is_some(),
        };
        let condition = compiler.compile(select.filter);
        let mut parameters = compiler.parameters;
        let exact = condition.as_ref().is_some_and(|condition| condition.exact);
        let mut conditions: Vec<String> =
            condition.filter(|condition| condition.sql != "TRUE").map(|condition| condition.sql).into_iter().collect();
        let keys = self.sort_keys(select.entity, select.sort);
        let sorted = keys.is_some();
        if let Some(after) = select.after {
            conditions.push(self.after_condition(select.entity, select.sort, after, &mut parameters)?);
        }
        let mut sql = join.unwrap_or_default();
        if !conditions.is_empty() {
            sql += &format!(" WHERE ({})", conditions.join(") AND ("));
        }
        let rank = ranked.and_then(|words| self.dialect.search_rank(select.entity, words, &mut parameters));
        let keys = keys.unwrap_or_default();
        let keys = keys.iter().map(|key| self.dialect.ordered(&key.sql, key.descending, key.nullable));
        let keys: Vec<_> = rank.into_iter().chain(keys).collect();
        if !keys.is_empty() {
            sql += &format!(" ORDER BY {}", keys.join(", "));
        }
        let number = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        if !(exact && sorted) {
            sql += &format!(" LIMIT {}", self.parameter(&mut parameters, &FieldType::Int, number(select.scan)));
        } else if select.limit.is_some() || select.skip > 0 {
            let limit = number(select.limit.unwrap_or(u64::MAX));
            sql += &format!(" LIMIT {}", self.parameter(&mut parameters, &FieldType::Int, limit));
            if select.skip > 0 {
                sql += &format!(" OFFSET {}", self.parameter(&mut parameters, &FieldType::Int, number(select.skip)));
            }
        }
        Ok(Tail { sql, parameters, exact, sorted })
    }

    /// What to order by; `None` where the engine's order would not be ours.
    fn sort_keys(&self, entity: &Entity, sort: &Sort) -> Option<Vec<SortKey>> {
        let mut keys = Vec::new();
        for field in &sort.fields {
            let operand = Operand::at(self.dialect, entity, &field.path)?;
            let nullable = path_is_nullable(entity, &field.path);
            let key = |sql: String, operand| SortKey { operand, sql, descending: field.descending, nullable };
            let sql = self.dialect.collated(&operand.sql, &operand.kind);
            if matches!(operand.kind, FieldType::Bytes) {
                // BinData compares by length first.
                let length = self.dialect.byte_length(&operand.sql);
                keys.push(key(length, Operand::at(self.dialect, entity, &field.path)?));
            }
            keys.push(key(sql, operand));
        }
        Some(keys)
    }

    /// Rows behind a position: by the first field, or equal there and by the second, and so on. Null sorts first.
    fn after_condition(
        &self,
        entity: &Entity,
        sort: &Sort,
        after: &[Value],
        parameters: &mut Vec<Value>,
    ) -> Result<String> {
        let keys =
            sort.fields.iter().map(|field| self.page_key(entity, &Sort { fields: vec![field.clone()], ranked: false }));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let mut alternatives = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let mut parts = Vec::new();
            for (equal, value) in keys[..index].iter().zip(after) {
                let mark = self.bind(equal, value, parameters);
                parts.push(self.dialect.same(&equal.sql, &mark));
            }
            let sql = &key.sql;
            parts.push(match (after[index].is_null(), key.descending) {
                (true, false) => format!("{sql} IS NOT NULL"),
                (true, true) => "FALSE".to_owned(),
                (false, descending) => {
                    let mark = self.bind(key, &after[index], parameters);
                    match (descending, key.nullable) {
                        (false, _) => format!("{sql} > {mark}"),
                        (true, false) => format!("{sql} < {mark}"),
                        (true, true) => format!("({sql} < {mark} OR {sql} IS NULL)"),
                    }
                }
            });
            alternatives.push(format!("({})", parts.join(" AND ")));
        }
        Ok(alternatives.join(" OR "))
    }

    fn bind(&self, key: &SortKey, value: &Value, parameters: &mut Vec<Value>) -> String {
        let value = if value.is_null() { Value::Null } else { key.operand.encoded(value.clone()) };
        self.parameter(parameters, key.operand.bound_kind(), value)
    }

    fn page_key(&self, entity: &Entity, sort: &Sort) -> Result<SortKey> {
        let mut keys = self.sort_keys(entity, sort).unwrap_or_default();
        if let (Some(key), true) = (keys.pop(), keys.is_empty()) {
            return Ok(key);
        }
        let (name, path) = (self.dialect.name(), sort.fields[0].path.text.as_str());
        Err(Error::unsupported(format!("{name} cannot page by {path:?}"))
            .with("operator", "page")
            .with("path", path)
            .with("backend", name))
    }

    fn select(&self, select: &Select<'_>) -> Result<Statement> {
        let entity = select.entity;
        let tail = self.tail(select, Vec::new())?;
        // The matcher needs every column that it looks at; the simplest that is right is all of them.
        let columns = if tail.exact && tail.sorted { Arc::clone(&select.columns) } else { all_columns(entity) };
        let lock = if select.for_update { self.dialect.row_lock() } else { "" };
        let (list, table) = (self.column_list(entity, &columns), self.dialect.table(&entity.name));
        let hint = if tail.exact && tail.sorted { self.dialect.order_hint(select) } else { String::new() };
        let text = format!("SELECT {list} FROM {table}{hint}{}{lock}", tail.sql);
        let mut compiled = statement(entity, text, tail.parameters, &columns);
        compiled.residual = (!tail.exact).then(|| select.filter.clone());
        compiled.unsorted = !tail.sorted;
        Ok(compiled)
    }

    fn count(&self, select: &Select<'_>) -> Result<Statement> {
        let tail = self.tail(select, Vec::new())?;
        if !tail.exact {
            return self.select(select);
        }
        let table = self.dialect.table(&select.entity.name);
        let text = if select.limit.is_some() || select.skip > 0 {
            format!("SELECT count(*) FROM (SELECT 1 FROM {table}{}) AS found", tail.sql)
        } else {
            format!("SELECT count(*) FROM {table}{}", tail.sql)
        };
        let nothing: Arc<[usize]> = Arc::new([]);
        Ok(Statement { kinds: Arc::new([FieldType::Int]), ..statement(select.entity, text, tail.parameters, &nothing) })
    }

    fn distinct(&self, select: &Select<'_>) -> Result<Statement> {
        let tail = self.tail(select, Vec::new())?;
        let field = &select.entity.fields[select.columns[0]];
        // Equal decimals may differ in text, so the core must see them all; bytes are sorted by two keys.
        let alone = field.kind.is_scalar() && !matches!(field.kind, FieldType::Decimal | FieldType::Bytes);
        if !tail.exact || !alone || select.limit.is_some() || select.skip > 0 {
            let mut compiled = self.select(select)?;
            compiled.residual.get_or_insert(Filter::All);
            return Ok(compiled);
        }
        let name = self.dialect.quote(&field.name);
        let order = self.dialect.ordered(&name, false, field.nullable);
        let table = self.dialect.table(&select.entity.name);
        let text = format!("SELECT DISTINCT {name} FROM {table}{} ORDER BY {order}", tail.sql);
        Ok(statement(select.entity, text, tail.parameters, &select.columns))
    }

    fn insert(&self, insert: &Insert<'_>) -> Result<Statement> {
        let entity = insert.entity;
        let columns = all_columns(entity);
        let value = |(index, field): (usize, &crate::schema::Field)| {
            self.dialect.inserted(entity, field, self.dialect.mark(index + 1, &field.kind))
        };
        let values: Vec<_> = entity.fields.iter().enumerate().map(value).collect();
        let (table, list) = (self.dialect.table(&entity.name), self.column_list(entity, &columns));
        let into = format!("INSERT INTO {table} ({list}) VALUES ({})", values.join(", "));
        match &insert.conflict {
            None => Ok(statement(entity, into + &self.dialect.after_insert(entity), Vec::new(), &columns)),
            Some(conflict) => self.upsert(entity, &into, conflict, &columns),
        }
    }

    fn upsert(&self, entity: &Entity, into: &str, conflict: &Conflict, columns: &Arc<[usize]>) -> Result<Statement> {
        if !self.dialect.returns_writes() {
            return Err(self.refuse_write());
        }
        let row = entity.fields.iter().zip(&conflict.row);
        let mut parameters = row.map(|(field, value)| for_column(&field.kind, value).into_owned()).collect();
        let target = self.column_list(entity, &conflict.on);
        let living = match entity.automatic.deleted {
            Some(deleted) if conflict.on != entity.key => {
                format!(" WHERE {} IS NULL", self.dialect.quote(&entity.fields[deleted].name))
            }
            _ => String::new(),
        };
        let set = self.assignments(entity, &conflict.changes, &mut parameters)?;
        let list = self.column_list(entity, columns);
        let text = format!("{into} ON CONFLICT ({target}){living} DO UPDATE SET {set} RETURNING {list}");
        Ok(statement(entity, text, parameters, columns))
    }

    fn assignments(&self, entity: &Entity, changes: &Changes, parameters: &mut Vec<Value>) -> Result<String> {
        let parts = changes.0.iter().map(|(column, set)| {
            let field = &entity.fields[*column];
            let name = self.dialect.quote(&field.name);
            match set {
                SetTo::Value(value) => {
                    let mark = self.parameter(parameters, &field.kind, for_column(&field.kind, value).into_owned());
                    Ok(format!("{name} = {mark}"))
                }
                SetTo::Plus(number) => {
                    // In an upsert a bare column name is the existing row's; the table's name makes that plain.
                    let old = format!("{}.{name}", self.dialect.table(&entity.name));
                    let mark = self.parameter(parameters, &field.kind, number.clone());
                    let sum = self.dialect.plus(&old, &field.kind, &mark).ok_or_else(|| self.refuse_write())?;
                    Ok(format!("{name} = {sum}"))
                }
            }
        });
        Ok(parts.collect::<Result<Vec<_>>>()?.join(", "))
    }

    /// Makes the core read, change and write the rows by their keys.
    fn refuse_write(&self) -> Error {
        let name = self.dialect.name();
        Error::unsupported(format!("{name} cannot do this write in one statement")).with("backend", name)
    }

    /// The WHERE of a write: the exact condition, or the first row's key.
    fn write_where(&self, write: &Write<'_>, parameters: &mut Vec<Value>) -> Result<String> {
        let entity = write.entity;
        if write.returning && !self.dialect.returns_writes() {
            return Err(self.refuse_write());
        }
        let select = Select {
            entity,
            filter: write.filter,
            sort: write.sort,
            after: None,
            limit: write.one.then_some(1),
            skip: 0,
            scan: 0,
            columns: entity.key.clone().into(),
            for_update: true,
        };
        let tail = self.tail(&select, std::mem::take(parameters))?;
        if !tail.exact || !tail.sorted {
            return Err(self.refuse_write());
        }
        *parameters = tail.parameters;
        if !write.one || self.dialect.limits_writes() {
            return Ok(tail.sql);
        }
        let key = self.column_list(entity, &entity.key);
        let left = if entity.key.len() == 1 { key.clone() } else { format!("({key})") };
        let (table, lock) = (self.dialect.table(&entity.name), self.dialect.row_lock());
        Ok(format!(" WHERE {left} IN (SELECT {key} FROM {table}{}{lock})", tail.sql))
    }

    fn update(&self, write: &Write<'_>, changes: &Changes) -> Result<Statement> {
        let entity = write.entity;
        let mut parameters = Vec::new();
        let set = self.assignments(entity, changes, &mut parameters)?;
        let condition = self.write_where(write, &mut parameters)?;
        let text = format!("UPDATE {} SET {set}{condition}", self.dialect.table(&entity.name));
        Ok(self.returning(write, text, parameters))
    }

    fn delete(&self, write: &Write<'_>) -> Result<Statement> {
        let mut parameters = Vec::new();
        let condition = self.write_where(write, &mut parameters)?;
        let text = format!("DELETE FROM {}{condition}", self.dialect.table(&write.entity.name));
        Ok(self.returning(write, text, parameters))
    }

    fn returning(&self, write: &Write<'_>, mut text: String, parameters: Vec<Value>) -> Statement {
        let columns = if write.returning { all_columns(write.entity) } else { Arc::new([]) };
        if write.returning {
            text += &format!(" RETURNING {}", self.column_list(write.entity, &columns));
        }
        statement(write.entity, text, parameters, &columns)
    }
}

fn path_is_nullable(entity: &Entity, path: &Path) -> bool {
    !path.is_column() || entity.fields[path.column].nullable
}
