//! Filters as SQL conditions, where the engine's answer is exactly the matcher's; anything else is left to the residual.
//!
//! A condition may be null for a row; it then does not hold. Negations are written `IS NOT TRUE`, so that they hold
//! exactly where the condition does not.

use super::numbers::{self, Question};
use super::{Bound, Dialect, Elements, plain_text};
use crate::error::{Error, Result};
use crate::query::{Comparison, Filter, Test, TypeName};
use crate::schema::{Entity, FieldType, Index, Path};
use crate::value::{Value, tagged, type_rank};

/// A condition, and whether it holds for no row that the filter does not match.
pub(in crate::backends) struct Condition {
    pub(in crate::backends) sql: String,
    pub(in crate::backends) exact: bool,
}

impl Condition {
    #[expect(clippy::unnecessary_wraps, reason = "a condition is always one answer of a function that may have none")]
    pub(super) fn exact(sql: impl Into<String>) -> Option<Self> {
        Some(Self { sql: sql.into(), exact: true })
    }

    pub(super) fn constant(truth: bool) -> Option<Self> {
        Self::exact(if truth { "TRUE" } else { "FALSE" })
    }
}

/// Conditions beside each other that are written without more parentheses.
const FLAT: usize = 8;

/// Conditions as one, as a tree with short branches: databases read `a AND b AND c` as a chain, and have a depth at which
/// they give up.
fn joined(parts: &[String], word: &str) -> String {
    if parts.len() <= FLAT {
        return parts.join(&format!(" {word} "));
    }
    let (left, right) = parts.split_at(parts.len() / 2);
    format!("({}) {word} ({})", joined(left, word), joined(right, word))
}

/// Compiles filters of one entity and collects their parameters in order.
pub(in crate::backends) struct FilterCompiler<'a> {
    pub(in crate::backends) dialect: &'a dyn Dialect,
    pub(in crate::backends) entity: &'a Entity,
    pub(in crate::backends) parameters: Vec<Value>,
    /// Whether values are written as constants, for DDL, where parameters are not allowed.
    pub(in crate::backends) constant: bool,
    /// Whether the full-text index has been asked already.
    pub(in crate::backends) searched: bool,
}

/// What is compared: a column, a place inside a JSON column, or an element of a list.
pub(super) struct Operand {
    pub(super) sql: String,
    pub(super) kind: FieldType,
    pub(super) bound: Bound,
    /// The JSON type of the place, null where it is missing; `None` for what is always present.
    json_type: Option<String>,
}

impl Operand {
    /// The single scalar at a path; `None` where SQL comparing would not be comparing the value.
    pub(super) fn at(dialect: &dyn Dialect, entity: &Entity, path: &Path) -> Option<Self> {
        let field = &entity.fields[path.column];
        if path.is_column() {
            let column = || Self {
                sql: dialect.quote(&field.name),
                kind: field.kind.clone(),
                bound: Bound::Native,
                json_type: None,
            };
            return field.kind.is_scalar().then(column);
        }
        let place = dialect.place(entity, path)?;
        let kind = path.single_scalar()?.clone();
        Some(Self { sql: place.sql, kind, bound: place.bound, json_type: Some(place.json_type) })
    }

    /// The type as which a parameter is handed over.
    pub(super) fn bound_kind(&self) -> &FieldType {
        if self.bound == Bound::Native { &self.kind } else { &FieldType::Text }
    }

    /// An operand of this type as a parameter.
    pub(super) fn encoded(&self, value: Value) -> Value {
        match self.bound {
            Bound::Native => value,
            Bound::Text => Value::Text(plain_text(&value)),
            Bound::Tagged => Value::Text(tagged::to_string(&value)),
        }
    }
}

impl FilterCompiler<'_> {
    /// `None` where nothing of the filter can be pushed down.
    pub(in crate::backends) fn compile(&mut self, filter: &Filter) -> Option<Condition> {
        match filter {
            Filter::All => Condition::constant(true),
            Filter::And(parts) => self.all_of(parts),
            Filter::Or(parts) => self.any_of(parts),
            Filter::Nor(parts) => {
                let any = self.whole(|this| this.any_of(parts))?;
                Condition::exact(format!("({}) IS NOT TRUE", any.sql))
            }
            Filter::At(path, test) => self.at(path, test),
        }
    }

    /// Runs `part` and takes its parameters back when it is not exact.
    fn whole(&mut self, part: impl FnOnce(&mut Self) -> Option<Condition>) -> Option<Condition> {
        let mark = self.parameters.len();
        let condition = part(self).filter(|condition| condition.exact);
        if condition.is_none() {
            self.parameters.truncate(mark);
        }
        condition
    }

    /// The parts that can be pushed; exact when all could be.
    fn all_of(&mut self, parts: &[Filter]) -> Option<Condition> {
        let mut pushed = Vec::new();
        let mut exact = true;
        for part in parts {
            let mark = self.parameters.len();
            if let Some(condition) = self.compile(part) {
                exact &= condition.exact;
                pushed.push(format!("({})", condition.sql));
            } else {
                self.parameters.truncate(mark);
                exact = false;
            }
        }
        match pushed.is_empty() {
            true if exact => Condition::constant(true),
            true => None,
            false => Some(Condition { sql: joined(&pushed, "AND"), exact }),
        }
    }

    /// Every part must be pushed.
    fn any_of(&mut self, parts: &[Filter]) -> Option<Condition> {
        let mark = self.parameters.len();
        let mut pushed = Vec::new();
        let mut exact = true;
        for part in parts {
            let Some(condition) = self.compile(part) else {
                self.parameters.truncate(mark);
                return None;
            };
            exact &= condition.exact;
            pushed.push(format!("({})", condition.sql));
        }
        if pushed.is_empty() {
            return Condition::constant(false);
        }
        Some(Condition { sql: joined(&pushed, "OR"), exact })
    }

    fn at(&mut self, path: &Path, test: &Test) -> Option<Condition> {
        let column = &self.entity.fields[path.column];
        if path.is_column()
            && let FieldType::List(items) = &column.kind
        {
            let sql = self.dialect.quote(&column.name);
            return self.whole(|this| this.list(&sql, &items.kind, items.nullable, test));
        }
        let operand = Operand::at(self.dialect, self.entity, path)?;
        self.whole(|this| this.scalar(&operand, test))
    }

    /// Adds a parameter of this type; its placeholder, or the constant.
    pub(super) fn parameter(&mut self, kind: &FieldType, value: Value) -> Option<String> {
        if self.constant {
            return self.dialect.literal(kind, &value).ok();
        }
        self.parameters.push(value);
        Some(self.dialect.mark(self.parameters.len(), kind))
    }

    /// A test of a single value.
    fn scalar(&mut self, operand: &Operand, test: &Test) -> Option<Condition> {
        match test {
            Test::Compare(comparison, value) => self.compare(operand, *comparison, value),
            Test::In(values) => self.one_of(operand, values),
            Test::Exists(wanted) => match &operand.json_type {
                None => Condition::constant(*wanted),
                Some(place) if *wanted => Condition::exact(format!("{place} IS NOT NULL")),
                Some(place) => Condition::exact(format!("{place} IS NULL")),
            },
            Test::Type(names) => Self::has_type(operand, names),
            Test::Regex(regex, _) => self.regex(operand, regex),
            Test::Size(_) | Test::ElementTests(_) | Test::ElementFilter(_) => Condition::constant(false),
            Test::AllOf(tests) if tests.is_empty() => Condition::constant(false),
            Test::AllOf(tests) | Test::Both(tests) => self.every(tests, |this, test| this.scalar(operand, test)),
            Test::Modulo(divisor, remainder) if matches!(operand.kind, FieldType::Int) => {
                let divisor = self.parameter(&FieldType::Int, Value::Int(*divisor))?;
                let remainder = self.parameter(&FieldType::Int, Value::Int(*remainder))?;
                Condition::exact(format!("{} % {divisor} = {remainder}", operand.sql))
            }
            Test::Modulo(..) => None,
            Test::Words(words) => self.words(operand, words),
            Test::Not(inner) => {
                let inner = self.whole(|this| this.scalar(operand, inner))?;
                Condition::exact(format!("({}) IS NOT TRUE", inner.sql))
            }
        }
    }

    fn every(
        &mut self,
        tests: &[Test],
        mut compile: impl FnMut(&mut Self, &Test) -> Option<Condition>,
    ) -> Option<Condition> {
        let parts = tests.iter().map(|test| Some(format!("({})", compile(self, test)?.sql)));
        let parts = parts.collect::<Option<Vec<_>>>()?;
        Condition::exact(if parts.is_empty() { "TRUE".to_owned() } else { joined(&parts, "AND") })
    }

    fn compare(&mut self, operand: &Operand, comparison: Comparison, value: &Value) -> Option<Condition> {
        let Operand { sql, kind, .. } = operand;
        if value.is_null() {
            return match comparison {
                Comparison::Eq | Comparison::Gte | Comparison::Lte => Condition::exact(format!("{sql} IS NULL")),
                Comparison::Gt | Comparison::Lt => Condition::constant(false),
            };
        }
        let (comparison, value) = match question(kind, comparison, value)? {
            Question::Never => return Condition::constant(false),
            Question::Always => return Condition::exact(format!("{sql} IS NOT NULL")),
            Question::Compare(comparison, value) if self.dialect.holds(&value) => (comparison, value),
            Question::Compare(..) => return None,
        };
        let sign = match comparison {
            Comparison::Eq => "=",
            Comparison::Gt => ">",
            Comparison::Gte => ">=",
            Comparison::Lt => "<",
            Comparison::Lte => "<=",
        };
        if matches!(kind, FieldType::Bytes) && comparison != Comparison::Eq {
            // BinData compares by length first.
            let length = Value::from(if let Value::Bytes(bytes) = &value { bytes.len() } else { 0 });
            let length = self.parameter(&FieldType::Int, length)?;
            let mark = self.parameter(kind, value)?;
            return Condition::exact(format!("({}, {sql}) {sign} ({length}, {mark})", self.dialect.byte_length(sql)));
        }
        let mark = self.parameter(operand.bound_kind(), operand.encoded(value))?;
        Condition::exact(format!("{} {sign} {mark}", self.dialect.collated(sql, kind)))
    }

    fn one_of(&mut self, operand: &Operand, values: &[Value]) -> Option<Condition> {
        let mut candidates = Vec::new();
        let mut with_null = false;
        for value in values {
            if value.is_null() {
                with_null = true;
                continue;
            }
            match question(&operand.kind, Comparison::Eq, value)? {
                Question::Compare(_, value) if self.dialect.holds(&value) => candidates.push(operand.encoded(value)),
                Question::Compare(..) => return None,
                Question::Always | Question::Never => {}
            }
        }
        let is_null = format!("{} IS NULL", operand.sql);
        if candidates.is_empty() {
            return if with_null { Condition::exact(is_null) } else { Condition::constant(false) };
        }
        if self.constant {
            return None;
        }
        let sql = self.dialect.collated(&operand.sql, &operand.kind);
        let is_in = self.dialect.one_of(&sql, operand.bound_kind(), candidates, &mut self.parameters);
        Condition::exact(if with_null { format!("{is_in} OR {is_null}") } else { is_in })
    }

    fn has_type(operand: &Operand, names: &[TypeName]) -> Option<Condition> {
        let fits = |name: &TypeName| match operand.kind {
            FieldType::Int => matches!(name, TypeName::Int | TypeName::Number),
            FieldType::Float => matches!(name, TypeName::Float | TypeName::Number),
            FieldType::Decimal => matches!(name, TypeName::Decimal | TypeName::Number),
            FieldType::Text | FieldType::Date | FieldType::Time => *name == TypeName::Text,
            FieldType::Bytes | FieldType::Uuid => *name == TypeName::Bytes,
            FieldType::Bool => *name == TypeName::Bool,
            FieldType::ObjectId => *name == TypeName::ObjectId,
            FieldType::DateTime => *name == TypeName::DateTime,
            _ => false,
        };
        let sql = &operand.sql;
        let is_null = match &operand.json_type {
            Some(place) => format!("{place} = 'null'"),
            None => format!("{sql} IS NULL"),
        };
        match (names.iter().any(fits), names.contains(&TypeName::Null)) {
            (true, true) => Condition::exact(format!("{sql} IS NOT NULL OR {is_null}")),
            (true, false) => Condition::exact(format!("{sql} IS NOT NULL")),
            (false, true) => Condition::exact(is_null),
            (false, false) => Condition::constant(false),
        }
    }

    fn regex(&mut self, operand: &Operand, regex: &regex::Regex) -> Option<Condition> {
        if !matches!(operand.kind, FieldType::Text) {
            return None;
        }
        let mark = self.parameter(&FieldType::Text, Value::Text(regex.as_str().to_owned()))?;
        Condition::exact(self.dialect.regex(&operand.sql, &mark)?)
    }

    /// A test of a list of scalars.
    #[expect(clippy::match_same_arms, reason = "the order of the arms is the order of the question")]
    fn list(&mut self, column: &str, items: &FieldType, nullable: bool, test: &Test) -> Option<Condition> {
        match test {
            Test::Compare(Comparison::Eq, Value::Null) if !nullable => Condition::exact(format!("{column} IS NULL")),
            Test::Compare(_, Value::Null | Value::List(_) | Value::Map(_)) => None,
            Test::In(values)
                if values.iter().any(|value| matches!(value, Value::Null | Value::List(_) | Value::Map(_))) =>
            {
                None
            }
            // A list compares as a whole too, but only with lists; elements decide for scalars.
            Test::Compare(..) | Test::Regex(..) | Test::In(_) => self.element(column, items, &[test]),
            Test::Exists(wanted) => Condition::constant(*wanted),
            Test::Size(length) => {
                let mark = self.parameter(&FieldType::Int, Value::Int(i64::try_from(*length).ok()?))?;
                Condition::exact(format!("{} = {mark}", self.dialect.list_length(column, items)?))
            }
            Test::AllOf(tests) if tests.is_empty() => Condition::constant(false),
            Test::AllOf(tests) | Test::Both(tests) => {
                self.every(tests, |this, test| this.list(column, items, nullable, test))
            }
            Test::ElementTests(tests) => {
                let simple = tests.iter().all(|test| match test {
                    Test::Compare(_, value) => !value.is_null(),
                    Test::In(values) => !values.iter().any(Value::is_null),
                    Test::Regex(..) => true,
                    _ => false,
                });
                if !simple {
                    return None;
                }
                self.element(column, items, &tests.iter().collect::<Vec<_>>())
            }
            Test::Not(inner) => {
                let inner = self.whole(|this| this.list(column, items, nullable, inner))?;
                Condition::exact(format!("({}) IS NOT TRUE", inner.sql))
            }
            Test::Type(_) | Test::ElementFilter(_) | Test::Modulo(..) | Test::Words(_) => None,
        }
    }

    /// One element satisfies all tests.
    fn element(&mut self, column: &str, items: &FieldType, tests: &[&Test]) -> Option<Condition> {
        let Elements { from, value, bound } = self.dialect.elements(column, items)?;
        if self.constant {
            return None;
        }
        if let [Test::Compare(Comparison::Eq, value)] = tests
            && let Some(condition) = self.contains(column, items, value)
        {
            return Some(condition);
        }
        let operand = Operand { sql: value, kind: items.clone(), bound, json_type: None };
        let parts = tests.iter().map(|test| Some(format!("({})", self.scalar(&operand, test)?.sql)));
        let parts = parts.collect::<Option<Vec<_>>>()?;
        Condition::exact(format!("EXISTS (SELECT 1 FROM {from} WHERE {})", parts.join(" AND ")))
    }

    /// Equality with one element, where an index can find it.
    fn contains(&mut self, column: &str, items: &FieldType, value: &Value) -> Option<Condition> {
        let mark = self.dialect.mark(self.parameters.len() + 1, &FieldType::Text);
        let sql = self.dialect.contains(column, items, &mark)?;
        match question(items, Comparison::Eq, value)? {
            Question::Compare(_, value) => {
                self.parameters.push(Value::Text(tagged::to_string(&Value::List(vec![value]))));
                Condition::exact(sql)
            }
            Question::Always | Question::Never => Condition::constant(false),
        }
    }
}

/// The rows that an index covers, with constants in place of parameters: the declared condition, and that a row is not
/// soft-deleted where the index is unique. `None` for all rows.
pub(in crate::backends) fn index_condition(
    dialect: &dyn Dialect,
    entity: &Entity,
    index: &Index,
) -> Result<Option<String>> {
    let mut conditions = Vec::new();
    if let Some(condition) = &index.condition {
        let filter = Filter::parse(condition, entity).map_err(|error| Error::invalid_schema(error.to_string()))?;
        let mut compiler = FilterCompiler { dialect, entity, parameters: Vec::new(), constant: true, searched: false };
        let compiled = compiler.compile(&filter).filter(|condition| condition.exact).ok_or_else(|| {
            let (name, backend) = (&index.name, dialect.name());
            Error::invalid_schema(format!("the condition of index {name:?} is more than {backend} allows there"))
                .with("entity", entity.name.as_str())
        })?;
        conditions.push(compiled.sql);
    }
    let living = entity.automatic.deleted.filter(|_| index.unique).map(|deleted| &entity.fields[deleted].name);
    if let Some(deleted) = living
        && !index.condition.as_ref().is_some_and(|condition| condition.contains_key(deleted))
    {
        conditions.push(format!("{} IS NULL", dialect.quote(deleted)));
    }
    Ok((!conditions.is_empty()).then(|| conditions.join(" AND ")))
}

/// A comparison put in the column's own type; `None` where a database would not answer it exactly.
#[expect(clippy::match_same_arms, reason = "the order of the arms is the order of the question")]
fn question(kind: &FieldType, comparison: Comparison, value: &Value) -> Option<Question> {
    let as_it_is = || Some(Question::Compare(comparison, value.clone()));
    match (kind, value) {
        (FieldType::Int, Value::Float(number)) => Some(numbers::of_int(comparison, *number)),
        (FieldType::Float, Value::Int(number)) => Some(numbers::of_float(comparison, *number)),
        (FieldType::Decimal, Value::Int(number)) => Some(numbers::of_decimal(comparison, *number)),
        (FieldType::Int, Value::Int(_)) | (FieldType::Float, Value::Float(_)) => as_it_is(),
        (FieldType::Decimal, Value::Decimal(_)) => as_it_is(),
        (FieldType::Int | FieldType::Float | FieldType::Decimal, other) if type_rank(other) == 2 => None,
        (FieldType::Text, Value::Text(_))
        | (FieldType::Bytes, Value::Bytes(_))
        | (FieldType::Bool, Value::Bool(_))
        | (FieldType::Uuid, Value::Uuid(_))
        | (FieldType::ObjectId, Value::ObjectId(_))
        | (FieldType::DateTime, Value::DateTime(_))
        | (FieldType::Date, Value::Date(_))
        | (FieldType::Time, Value::Time(_)) => as_it_is(),
        // Text beside dates, bytes beside uuids: one class in the order, but stored differently here.
        (FieldType::Text | FieldType::Date | FieldType::Time, other) if type_rank(other) == 3 => None,
        (FieldType::Bytes | FieldType::Uuid, other) if type_rank(other) == 6 => None,
        _ => Some(Question::Never),
    }
}
