//! Operations as SQL. Pure: takes no connection.

use std::sync::Arc;

use super::encode::for_column;
use super::filter::FilterCompiler;
use super::functions::DECIMAL;
use super::names::{path_expression, quote};
use crate::backend::{Changes, Insert, Operation, Select, SetTo, Statement, Write};
use crate::error::{Error, Result};
use crate::query::Sort;
use crate::schema::{Entity, FieldType, Path};
use crate::value::Value;

/// What to order by; `None` where SQLite's order would not be ours.
pub(super) fn sort_expression(entity: &Entity, path: &Path) -> Option<Vec<String>> {
    let field = &entity.fields[path.column];
    let (sql, kind) = if path.is_column() && field.kind.is_scalar() {
        (quote(&field.name), &field.kind)
    } else {
        (path_expression(entity, path)?, path.single_scalar()?)
    };
    Some(match kind {
        FieldType::Bytes => vec![format!("length({sql})"), sql],
        FieldType::Decimal => vec![format!("{sql} COLLATE {DECIMAL}")],
        _ => vec![sql],
    })
}

pub(super) fn compile(operation: &Operation<'_>) -> Result<Statement> {
    match operation {
        Operation::Select(select) => compile_select(select),
        Operation::Count(select) => compile_count(select),
        Operation::Distinct(select) => compile_distinct(select),
        Operation::Insert(insert) => Ok(compile_insert(insert)),
        Operation::Update(write, changes) => compile_update(write, changes),
        Operation::Delete(write) => compile_delete(write),
    }
}

fn statement(entity: &Entity, text: String, parameters: Vec<Value>, columns: &Arc<[usize]>) -> Statement {
    let kinds = columns.iter().map(|column| entity.fields[*column].kind.clone()).collect();
    Statement { text: text.into(), parameters, columns: Arc::clone(columns), residual: None, unsorted: false, kinds }
}

fn column_list(entity: &Entity, columns: &[usize]) -> String {
    let names = columns.iter().map(|column| quote(&entity.fields[*column].name));
    names.collect::<Vec<_>>().join(", ")
}

fn all_columns(entity: &Entity) -> Arc<[usize]> {
    (0..entity.fields.len()).collect()
}

/// A select without its column list: what stands from WHERE on.
struct Tail {
    sql: String,
    parameters: Vec<Value>,
    exact: bool,
    sorted: bool,
}

fn tail(select: &Select<'_>) -> Result<Tail> {
    let mut compiler = FilterCompiler { entity: select.entity, parameters: Vec::new() };
    let condition = compiler.compile(select.filter);
    let exact = condition.as_ref().is_some_and(|condition| condition.exact);
    let mut sql = String::new();
    let mut parameters = compiler.parameters;
    if let Some(condition) = condition.filter(|condition| condition.sql != "1") {
        sql += &format!(" WHERE ({})", condition.sql);
    }
    let order = order_by(select.entity, select.sort);
    let sorted = order.is_some();
    if let Some(after) = select.after {
        let condition = after_condition(select.entity, select.sort, after, &mut parameters)?;
        sql += if sql.is_empty() { " WHERE " } else { " AND " };
        sql += &condition;
    }
    if let Some(order) = order.filter(|order| !order.is_empty()) {
        sql += &format!(" ORDER BY {}", order.join(", "));
    }
    if exact && sorted && (select.limit.is_some() || select.skip > 0) {
        let limit = select.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        sql += " LIMIT ? OFFSET ?";
        parameters.extend([Value::Int(limit), Value::Int(i64::try_from(select.skip).unwrap_or(i64::MAX))]);
    } else if !(exact && sorted) {
        sql += " LIMIT ?";
        parameters.push(Value::Int(i64::try_from(select.scan).unwrap_or(i64::MAX)));
    }
    Ok(Tail { sql, parameters, exact, sorted })
}

fn order_by(entity: &Entity, sort: &Sort) -> Option<Vec<String>> {
    let mut order = Vec::new();
    for field in &sort.fields {
        let direction = if field.descending { " DESC" } else { "" };
        order.extend(sort_expression(entity, &field.path)?.into_iter().map(|sql| sql + direction));
    }
    Some(order)
}

/// Rows behind a position: by the first field, or equal there and by the second, and so on. Null sorts first.
fn after_condition(entity: &Entity, sort: &Sort, after: &[Value], parameters: &mut Vec<Value>) -> Result<String> {
    let mut alternatives = Vec::new();
    for (index, field) in sort.fields.iter().enumerate() {
        let mut parts = Vec::new();
        for (equal, value) in sort.fields[..index].iter().zip(after) {
            let sql = page_expression(entity, &equal.path)?;
            parts.push(format!("{sql} IS ?"));
            parameters.push(value.clone());
        }
        let sql = page_expression(entity, &field.path)?;
        let nullable = path_is_nullable(entity, &field.path);
        let beyond = match (after[index].is_null(), field.descending) {
            (true, false) => format!("{sql} IS NOT NULL"),
            (true, true) => "0".to_owned(),
            (false, descending) => {
                parameters.push(after[index].clone());
                match (descending, nullable) {
                    (false, _) => format!("{sql} > ?"),
                    (true, false) => format!("{sql} < ?"),
                    (true, true) => format!("({sql} < ? OR {sql} IS NULL)"),
                }
            }
        };
        parts.push(beyond);
        alternatives.push(format!("({})", parts.join(" AND ")));
    }
    Ok(format!("({})", alternatives.join(" OR ")))
}

fn path_is_nullable(entity: &Entity, path: &Path) -> bool {
    !path.is_column() || entity.fields[path.column].nullable
}

fn page_expression(entity: &Entity, path: &Path) -> Result<String> {
    let mut parts = sort_expression(entity, path).unwrap_or_default();
    if parts.len() == 1 {
        return Ok(parts.remove(0));
    }
    Err(Error::unsupported(format!("sqlite cannot page by {:?}", path.text))
        .with("operator", "page")
        .with("path", path.text.as_str())
        .with("backend", "sqlite"))
}

fn compile_select(select: &Select<'_>) -> Result<Statement> {
    let entity = select.entity;
    let tail = tail(select)?;
    // The matcher needs every column that it looks at; the simplest that is right is all of them.
    let columns = if tail.exact && tail.sorted { Arc::clone(&select.columns) } else { all_columns(entity) };
    let text = format!("SELECT {} FROM {}{}", column_list(entity, &columns), quote(&entity.name), tail.sql);
    let mut compiled = statement(entity, text, tail.parameters, &columns);
    compiled.residual = (!tail.exact).then(|| select.filter.clone());
    compiled.unsorted = !tail.sorted;
    Ok(compiled)
}

fn compile_count(select: &Select<'_>) -> Result<Statement> {
    let tail = tail(select)?;
    if !tail.exact {
        return compile_select(select);
    }
    let table = quote(&select.entity.name);
    let text = if select.limit.is_some() || select.skip > 0 {
        format!("SELECT count(*) FROM (SELECT 1 FROM {table}{})", tail.sql)
    } else {
        format!("SELECT count(*) FROM {table}{}", tail.sql)
    };
    let nothing: Arc<[usize]> = Arc::new([]);
    Ok(Statement { kinds: Arc::new([FieldType::Int]), ..statement(select.entity, text, tail.parameters, &nothing) })
}

fn compile_distinct(select: &Select<'_>) -> Result<Statement> {
    let tail = tail(select)?;
    let field = &select.entity.fields[select.columns[0]];
    // Equal decimals may differ in text, so the core must see them all.
    if !tail.exact || !field.kind.is_scalar() || matches!(field.kind, FieldType::Decimal) {
        let mut compiled = compile_select(select)?;
        compiled.residual.get_or_insert(crate::query::Filter::All);
        return Ok(compiled);
    }
    let name = quote(&field.name);
    let order = if matches!(field.kind, FieldType::Bytes) { format!("length({name}), {name}") } else { name.clone() };
    let text = format!("SELECT DISTINCT {name} FROM {}{} ORDER BY {order}", quote(&select.entity.name), tail.sql);
    Ok(statement(select.entity, text, tail.parameters, &select.columns))
}

fn compile_insert(insert: &Insert<'_>) -> Statement {
    let entity = insert.entity;
    let columns = all_columns(entity);
    let marks = vec!["?"; columns.len()].join(", ");
    let into = format!("INSERT INTO {} ({}) VALUES ({marks})", quote(&entity.name), column_list(entity, &columns));
    let Some(conflict) = &insert.conflict else {
        return statement(entity, into, Vec::new(), &columns);
    };
    let mut parameters: Vec<Value> =
        entity.fields.iter().zip(&conflict.row).map(|(field, value)| for_column(&field.kind, value.clone())).collect();
    let target = column_list(entity, &conflict.on);
    let living = match entity.automatic.deleted {
        Some(deleted) if conflict.on != entity.key => format!(" WHERE {} IS NULL", quote(&entity.fields[deleted].name)),
        _ => String::new(),
    };
    let set = assignments(entity, &conflict.changes, &mut parameters);
    let text = format!(
        "{into} ON CONFLICT ({target}){living} DO UPDATE SET {set} RETURNING {}",
        column_list(entity, &columns)
    );
    statement(entity, text, parameters, &columns)
}

fn assignments(entity: &Entity, changes: &Changes, parameters: &mut Vec<Value>) -> String {
    let parts = changes.0.iter().map(|(column, set)| {
        let field = &entity.fields[*column];
        // In an upsert a bare column name is the existing row's; the table's name makes that plain.
        let name = quote(&field.name);
        match set {
            SetTo::Value(value) => {
                parameters.push(for_column(&field.kind, value.clone()));
                format!("{name} = ?")
            }
            SetTo::Plus(number) => {
                parameters.push(number.clone());
                format!("{name} = farm_add({}.{name}, ?)", quote(&entity.name))
            }
        }
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// The WHERE of a write: the exact condition, or the first row's key.
fn write_where(write: &Write<'_>, parameters: &mut Vec<Value>) -> Result<String> {
    let entity = write.entity;
    let select = Select {
        entity,
        filter: write.filter,
        sort: write.sort,
        after: None,
        limit: write.one.then_some(1),
        skip: 0,
        scan: 0,
        columns: entity.key.clone().into(),
    };
    let tail = tail(&select)?;
    if !tail.exact || !tail.sorted {
        return Err(Error::unsupported("sqlite cannot do this write in one statement").with("backend", "sqlite"));
    }
    parameters.extend(tail.parameters);
    if !write.one {
        return Ok(tail.sql);
    }
    let key = column_list(entity, &entity.key);
    let (left, right) = if entity.key.len() == 1 { (key.clone(), key) } else { (format!("({key})"), key) };
    Ok(format!(" WHERE {left} IN (SELECT {right} FROM {}{})", quote(&entity.name), tail.sql))
}

fn compile_update(write: &Write<'_>, changes: &Changes) -> Result<Statement> {
    let entity = write.entity;
    let mut parameters = Vec::new();
    let set = assignments(entity, changes, &mut parameters);
    let condition = write_where(write, &mut parameters)?;
    let text = format!("UPDATE {} SET {set}{condition}", quote(&entity.name));
    Ok(returning(write, text, parameters))
}

fn compile_delete(write: &Write<'_>) -> Result<Statement> {
    let mut parameters = Vec::new();
    let condition = write_where(write, &mut parameters)?;
    let text = format!("DELETE FROM {}{condition}", quote(&write.entity.name));
    Ok(returning(write, text, parameters))
}

fn returning(write: &Write<'_>, mut text: String, parameters: Vec<Value>) -> Statement {
    let columns = if write.returning { all_columns(write.entity) } else { Arc::new([]) };
    if write.returning {
        text += &format!(" RETURNING {}", column_list(write.entity, &columns));
    }
    statement(write.entity, text, parameters, &columns)
}
