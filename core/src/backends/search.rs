//! The words of rows that were written before their search field was what it is now.

use super::sql::compile::all_columns;
use crate::backend::{Changes, Operation, Select, Session, SetTo, Statement, Write};
use crate::error::Result;
use crate::query::{Comparison, Filter, Sort, Test};
use crate::schema::{Contract, Entity, Path};
use crate::value::Value;

/// Rows that are read at a time.
const BATCH: usize = 500;

/// Whether rows may be there whose words were taken from other fields, or from none.
pub(super) fn is_new(entity: &Entity, known: Option<&Contract>) -> bool {
    let sources = |entity: &Entity| {
        let field = &entity.fields[entity.automatic.search?];
        Some((field.name.clone(), field.search.clone()))
    };
    let before = known.and_then(|known| known.entity(&entity.name).ok());
    entity.automatic.search.is_some() && before.and_then(|before| sources(before)) != sources(entity)
}

/// Writes the words of every row, soft-deleted ones too, where they are not what they should be. Nothing else of a row is
/// changed, not even its version: nobody who reads it sees another row.
pub(super) async fn fill(
    session: &mut dyn Session,
    compile: &(dyn Fn(&Operation<'_>) -> Result<Statement> + Sync),
    entity: &Entity,
) -> Result<()> {
    let Some(position) = entity.automatic.search else { return Ok(()) };
    let sort = Sort::default().with_key(entity);
    let mut after: Option<Vec<Value>> = None;
    loop {
        let select = Select {
            entity,
            filter: &Filter::All,
            sort: &sort,
            after: after.as_deref(),
            limit: Some(BATCH as u64),
            skip: 0,
            scan: u64::MAX,
            columns: all_columns(entity),
            for_update: false,
        };
        let rows = session.query(compile(&Operation::Select(select))?).await?;
        for row in 0..rows.len() {
            let values = (0..entity.fields.len())
                .map(|column| rows.cell(row, column)?.to_value())
                .collect::<Result<Vec<_>>>()?;
            let key = entity.key_of(&values);
            let text = entity.search_text(|column| &values[column]);
            if text != values[position] {
                let filter = key_filter(entity, &key)?;
                let write = Write { entity, filter: &filter, sort: &Sort::default(), one: false, returning: false };
                let changes = Changes(vec![(position, SetTo::Value(text))]);
                session.execute(compile(&Operation::Update(write, changes))?).await?;
            }
            after = Some(key);
        }
        if rows.len() < BATCH {
            return Ok(());
        }
    }
}

fn key_filter(entity: &Entity, key: &[Value]) -> Result<Filter> {
    let parts = entity.key.iter().zip(key).map(|(position, value)| {
        let path = Path::resolve(entity, &entity.fields[*position].name)?;
        Ok(Filter::At(path, Test::Compare(Comparison::Eq, value.clone())))
    });
    parts.collect::<Result<Vec<_>>>().map(Filter::And)
}
