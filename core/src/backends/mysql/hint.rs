//! The index that gives an order, named to the server.
//!
//! Its planner would rather sort all rows by themselves, also for the first thousand of them, and with `longtext` columns
//! it then reads each of them twice. Named only where nothing else could be better: there is a limit and no condition.

use super::dialect::quote;
use crate::backend::Select;
use crate::query::Filter;

const HINT: &str = " FORCE INDEX FOR ORDER BY (";

/// What stands behind the table; nothing where no index of the contract begins with the order.
pub(super) fn order_hint(select: &Select<'_>) -> String {
    let sort = select.sort;
    let is_plain = matches!(select.filter, Filter::All) && select.after.is_none();
    if !is_plain || select.limit.is_none() || sort.fields.is_empty() {
        return String::new();
    }
    let found = select.entity.indexes.iter().find(|index| {
        let mut turned = sort.fields.iter().zip(&index.fields).map(|(wanted, has)| wanted.descending != has.descending);
        let first = turned.next();
        index.condition.is_none()
            && index.fields.len() >= sort.fields.len()
            && turned.all(|turned| Some(turned) == first)
            && sort.fields.iter().zip(&index.fields).all(|(a, b)| a.path.is_column() && a.path.text == b.path.text)
    });
    found.map_or_else(String::new, |index| format!("{HINT}{})", quote(&index.name)))
}

/// The same statement for a database in which that index is missing; `None` where no index is named.
pub(super) fn without_hint(text: &str) -> Option<String> {
    let start = text.find(HINT)?;
    let end = start + text[start..].find("`)")? + 2;
    Some(format!("{}{}", &text[..start], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_taken_out_whole() {
        let hinted = "SELECT `a` FROM `t` FORCE INDEX FOR ORDER BY (`ix`) ORDER BY `a` LIMIT ?";
        assert_eq!(without_hint(hinted).unwrap(), "SELECT `a` FROM `t` ORDER BY `a` LIMIT ?");
        assert!(without_hint("SELECT 1").is_none());
    }
}
