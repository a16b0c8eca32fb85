//! Full-text search as SQL: the index finds the rows that may have the words, the text itself decides.

use super::filter::{Condition, FilterCompiler, Operand};
use crate::query::{Filter, Test, Words};
use crate::schema::FieldType;

/// What a full-text search looks for; it is a part of the whole filter, never of an alternative.
pub(super) fn words_of(filter: &Filter) -> Option<&Words> {
    match filter {
        Filter::And(parts) => parts.iter().find_map(words_of),
        Filter::At(_, Test::Words(words)) => Some(words),
        _ => None,
    }
}

impl FilterCompiler<'_> {
    /// Every word stands in the text; the index finds the rows, and the text decides.
    pub(super) fn words(&mut self, operand: &Operand, words: &Words) -> Option<Condition> {
        if self.constant || !matches!(operand.kind, FieldType::Text) {
            return None;
        }
        if words.words.is_empty() {
            return Condition::constant(false);
        }
        let mut parts = Vec::new();
        if !self.searched {
            parts.extend(self.dialect.search_index(self.entity, words, &mut self.parameters));
        }
        for word in &words.words {
            let mark = self.parameter(&FieldType::Text, format!(" {word} ").into())?;
            parts.push(self.dialect.has_word(&operand.sql, &mark));
        }
        Condition::exact(parts.join(" AND "))
    }
}
