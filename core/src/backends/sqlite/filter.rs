//! Filters as SQL conditions, where SQLite's answer is exactly the matcher's; anything else is left to the residual.
//!
//! A condition may be null for a row; it then does not hold. Negations are written `IS NOT TRUE`, so that they hold
//! exactly where the condition does not.

use super::functions::DECIMAL;
use super::names::{json_path, path_expression, quote};
use crate::query::{Comparison, Filter, Test, TypeName};
use crate::schema::{Entity, FieldType, Path};
use crate::value::{BigDecimal, Value, tagged, type_rank};

/// A condition, and whether it holds for no row that the filter does not match.
pub(super) struct Condition {
    pub(super) sql: String,
    pub(super) exact: bool,
}

impl Condition {
    #[expect(clippy::unnecessary_wraps, reason = "a condition is always one answer of a function that may have none")]
    fn exact(sql: impl Into<String>) -> Option<Self> {
        Some(Self { sql: sql.into(), exact: true })
    }

    fn constant(truth: bool) -> Option<Self> {
        Self::exact(if truth { "1" } else { "0" })
    }
}

/// Compiles filters of one entity and collects their parameters in order.
pub(super) struct FilterCompiler<'a> {
    pub(super) entity: &'a Entity,
    pub(super) parameters: Vec<Value>,
}

/// What an operand is compared with.
struct Operand<'a> {
    sql: &'a str,
    kind: &'a FieldType,
    /// Whether operands are bound as tagged JSON text, as they lie in a list.
    tagged: bool,
    /// The JSON type of the place, null where it is missing; `None` for what is always present.
    json_type: Option<String>,
}

impl FilterCompiler<'_> {
    /// `None` where nothing of the filter can be pushed down.
    pub(super) fn compile(&mut self, filter: &Filter) -> Option<Condition> {
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
            false => Some(Condition { sql: pushed.join(" AND "), exact }),
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
        Some(Condition { sql: pushed.join(" OR "), exact })
    }

    fn at(&mut self, path: &Path, test: &Test) -> Option<Condition> {
        let column = &self.entity.fields[path.column];
        if path.is_column() && column.kind.is_scalar() {
            let sql = quote(&column.name);
            return self.whole(|this| {
                this.scalar(&Operand { sql: &sql, kind: &column.kind, tagged: false, json_type: None }, test)
            });
        }
        if path.is_column()
            && let FieldType::List(items) = &column.kind
        {
            let sql = quote(&column.name);
            return self.whole(|this| this.list(&sql, &items.kind, items.nullable, test));
        }
        let kind = path.single_scalar()?;
        let (sql, kind) = (path_expression(self.entity, path)?, kind.clone());
        let json_type = format!("json_type({}, {})", quote(&column.name), json_path(&path.legs)?);
        let operand = Operand { sql: &sql, kind: &kind, tagged: false, json_type: Some(json_type) };
        self.whole(|this| this.scalar(&operand, test))
    }

    /// A test of a single value.
    fn scalar(&mut self, operand: &Operand<'_>, test: &Test) -> Option<Condition> {
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
                self.parameters.extend([Value::Int(*divisor), Value::Int(*remainder)]);
                Condition::exact(format!("{} % ? = ?", operand.sql))
            }
            Test::Modulo(..) => None,
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
        Condition::exact(if parts.is_empty() { "1".to_owned() } else { parts.join(" AND ") })
    }

    fn compare(&mut self, operand: &Operand<'_>, comparison: Comparison, value: &Value) -> Option<Condition> {
        let Operand { sql, kind, .. } = operand;
        if value.is_null() {
            return match comparison {
                Comparison::Eq | Comparison::Gte | Comparison::Lte => Condition::exact(format!("{sql} IS NULL")),
                Comparison::Gt | Comparison::Lt => Condition::constant(false),
            };
        }
        let sign = match comparison {
            Comparison::Eq => "=",
            Comparison::Gt => ">",
            Comparison::Gte => ">=",
            Comparison::Lt => "<",
            Comparison::Lte => "<=",
        };
        if !Self::comparable(kind, value)? {
            return Condition::constant(false);
        }
        if matches!(kind, FieldType::Bytes) && comparison != Comparison::Eq {
            // BinData compares by length first.
            self.parameters.extend([value.clone(), value.clone()]);
            return Condition::exact(format!("(length({sql}), {sql}) {sign} (length(?), ?)"));
        }
        self.push(operand, value);
        Condition::exact(format!("{} {sign} ?", collated(sql, kind)))
    }

    /// Whether values of this column and the operand are of one class; `None` where SQLite would not compare exactly.
    #[expect(clippy::match_same_arms, reason = "the order of the arms is the order of the question")]
    fn comparable(kind: &FieldType, value: &Value) -> Option<bool> {
        match (kind, value) {
            (FieldType::Int | FieldType::Float, Value::Int(_) | Value::Float(_))
            | (FieldType::Decimal, Value::Decimal(_) | Value::Int(_)) => Some(true),
            (FieldType::Int | FieldType::Float | FieldType::Decimal, other) if type_rank(other) == 2 => None,
            (FieldType::Text, Value::Text(_))
            | (FieldType::Bytes, Value::Bytes(_))
            | (FieldType::Bool, Value::Bool(_))
            | (FieldType::Uuid, Value::Uuid(_))
            | (FieldType::ObjectId, Value::ObjectId(_))
            | (FieldType::DateTime, Value::DateTime(_))
            | (FieldType::Date, Value::Date(_))
            | (FieldType::Time, Value::Time(_)) => Some(true),
            // Text beside dates, bytes beside uuids: one class in the order, but stored differently here.
            (FieldType::Text | FieldType::Date | FieldType::Time, other) if type_rank(other) == 3 => None,
            (FieldType::Bytes | FieldType::Uuid, other) if type_rank(other) == 6 => None,
            _ => Some(false),
        }
    }

    fn push(&mut self, operand: &Operand<'_>, value: &Value) {
        let value = match (operand.kind, value) {
            (_, value) if operand.tagged => Value::Text(tagged::to_string(value)),
            (FieldType::Decimal, Value::Int(number)) => decimal(*number),
            (_, value) => value.clone(),
        };
        self.parameters.push(value);
    }

    fn one_of(&mut self, operand: &Operand<'_>, values: &[Value]) -> Option<Condition> {
        let mut candidates = Vec::new();
        let mut with_null = false;
        for value in values {
            if value.is_null() {
                with_null = true;
            } else if Self::comparable(operand.kind, value)? {
                candidates.push(match value {
                    value if operand.tagged => Value::Text(tagged::to_string(value)),
                    Value::Int(number) if matches!(operand.kind, FieldType::Decimal) => decimal(*number),
                    value => value.clone(),
                });
            }
        }
        self.parameters.push(Value::List(candidates));
        let is_in = format!("{} IN rarray(?)", collated(operand.sql, operand.kind));
        Condition::exact(if with_null { format!("{is_in} OR {} IS NULL", operand.sql) } else { is_in })
    }

    fn has_type(operand: &Operand<'_>, names: &[TypeName]) -> Option<Condition> {
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
        let sql = operand.sql;
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

    fn regex(&mut self, operand: &Operand<'_>, regex: &regex::Regex) -> Option<Condition> {
        if !matches!(operand.kind, FieldType::Text) {
            return None;
        }
        self.parameters.push(Value::Text(regex.as_str().to_owned()));
        Condition::exact(format!("farm_regexp(?, {})", operand.sql))
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
                self.parameters.push(Value::Int(i64::try_from(*length).ok()?));
                Condition::exact(format!("json_array_length({column}) = ?"))
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
            Test::Type(_) | Test::ElementFilter(_) | Test::Modulo(..) => None,
        }
    }

    /// One element satisfies all tests. Elements lie in JSON: text, int and bool as themselves, others tagged, with text
    /// forms of fixed width, so that comparing the tagged text is comparing the value.
    fn element(&mut self, column: &str, items: &FieldType, tests: &[&Test]) -> Option<Condition> {
        let (sql, tagged) = match items {
            FieldType::Text | FieldType::Int => ("value", false),
            FieldType::Bool => ("(CASE \"type\" WHEN 'true' THEN 1 WHEN 'false' THEN 0 END)", false),
            FieldType::Uuid | FieldType::ObjectId | FieldType::DateTime | FieldType::Date | FieldType::Time => {
                ("value", true)
            }
            _ => return None,
        };
        let operand = Operand { sql, kind: items, tagged, json_type: None };
        let parts = tests.iter().map(|test| Some(format!("({})", self.scalar(&operand, test)?.sql)));
        let parts = parts.collect::<Option<Vec<_>>>()?;
        Condition::exact(format!("EXISTS (SELECT 1 FROM json_each({column}) WHERE {})", parts.join(" AND ")))
    }
}

/// Decimals compare by value.
fn collated(sql: &str, kind: &FieldType) -> String {
    if matches!(kind, FieldType::Decimal) { format!("{sql} COLLATE {DECIMAL}") } else { sql.to_owned() }
}

/// An int as a decimal parameter.
fn decimal(number: i64) -> Value {
    Value::Decimal(BigDecimal::from(number))
}
