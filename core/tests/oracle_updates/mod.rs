//! Random updates: what every backend makes of a row is what mongod makes of the same document.
//!
//! Where mongod refuses an update, or its result does not fit the contract, ours must refuse it too. Ours may refuse more
//! (operands are checked before any element is looked at); those cases are counted. A case that fails is made smaller.

mod generate;
mod plain;

use farm_db_core::query::Update;
use farm_db_core::schema::Entity;
use farm_db_core::value::tagged;
use farm_db_core::{Contract, Error, Kind, Map, Reply, Value, Verb, document};
use proptest::strategy::{Strategy, ValueTree};

use self::generate::{CONTRACT, Case, a_case};
use self::plain::Plain;
use crate::backends::Fresh;
use crate::{seeded, share};

/// How one case ended where nothing is wrong.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Changed,
    Unchanged,
    /// mongod refuses it as well.
    Refused,
    /// The contract refuses what mongod would store.
    ByContract,
    /// The contract refuses an operand, whatever it would have changed.
    Operand,
}

struct Sides {
    fresh: Fresh,
    plain: Plain,
    /// Whether a decimal keeps its zeros here.
    keeps_scale: bool,
}

impl Sides {
    /// The row as tagged JSON; moments that `$currentDate` has set are all alike.
    fn text(&self, row: &Map) -> String {
        tagged::to_string(&self.settled(&Value::Map(row.clone())))
    }

    fn settled(&self, value: &Value) -> Value {
        match value {
            Value::DateTime(moment) if moment.micros() > 1_000_000_000_000_000 => Value::from("now"),
            Value::Decimal(number) if !self.keeps_scale => Value::Decimal(number.normalized()),
            Value::List(list) => Value::List(list.iter().map(|item| self.settled(item)).collect()),
            Value::Map(map) => {
                Value::Map(map.iter().map(|(name, value)| (name.clone(), self.settled(value))).collect())
            }
            other => other.clone(),
        }
    }

    /// The row after the update through the repository; nothing stays behind.
    async fn ours(&self, case: &Case) -> Result<Map, Error> {
        let things = self.fresh.database.repository("things").unwrap();
        things.call(Verb::Create, document! { "record" => case.row.clone() }, None).await.unwrap();
        let arguments = document! {
            "filter" => document! { "id" => 1 },
            "update" => case.update.clone(),
            "array_filters" => case.array_filters.clone(),
        };
        let done = things.call(Verb::UpdateOne, arguments, None).await;
        let reply = things.call(Verb::Get, document! { "id" => 1 }, None).await.unwrap();
        things.call(Verb::Delete, document! { "id" => 1 }, None).await.unwrap();
        let Reply::Row(Some(rows)) = reply else { panic!("a row") };
        let row = rows.document(0).unwrap();
        match done {
            Ok(Reply::Count(1)) => Ok(row),
            Ok(_) => panic!("one row"),
            Err(error) => {
                assert_eq!(self.text(&row), self.text(&case.row), "a refused update has changed something");
                Err(error)
            }
        }
    }

    /// How the case ends, or what is different.
    async fn compare(&self, case: &Case) -> Result<End, String> {
        let things = self.fresh.database.repository("things").unwrap();
        let (ours, theirs) = (self.ours(case).await, self.plain.update(case).await);
        if let Err(error) = &ours
            && !matches!(error.kind(), Kind::InvalidQuery | Kind::InvalidValue | Kind::UnknownField | Kind::Unsupported)
        {
            return Err(format!("ours fails: {error:?}"));
        }
        let wanted = match &theirs {
            Err(_) if ours.is_err() => return Ok(End::Refused),
            Err(error) => return Err(format!("mongod refuses: {error}")),
            Ok(row) => by_contract(things.entity(), row),
        };
        match (wanted, ours) {
            (Err(_), Err(_)) => Ok(End::ByContract),
            (Err(error), Ok(row)) => {
                Err(format!("ours stores what the contract refuses ({error:?}): {}", self.text(&row)))
            }
            (Ok(wanted), Ok(row)) if self.text(&wanted) == self.text(&row) => {
                Ok(if self.text(&row) == self.text(&case.row) { End::Unchanged } else { End::Changed })
            }
            (Ok(_), Err(_)) if Update::parse_filtered(&case.update, &case.array_filters, things.entity()).is_err() => {
                Ok(End::Operand)
            }
            (Ok(_), Err(error)) if is_inexact(&error) => Ok(End::ByContract),
            (Ok(wanted), Err(error)) => Err(format!("mongod makes {}\nours fails: {error:?}", self.text(&wanted))),
            (Ok(wanted), Ok(row)) => {
                Err(format!("mongod makes {}\nours makes   {}", self.text(&wanted), self.text(&row)))
            }
        }
    }
}

/// Whether a sum or a product was refused that mongod rounds.
fn is_inexact(error: &Error) -> bool {
    ["no exact result", "digit", "infinite float"].iter().any(|words| error.to_string().contains(words))
}

/// What mongod has made as the contract stores it: what is missing is filled in, and everything is checked.
fn by_contract(entity: &Entity, row: &Map) -> Result<Map, Error> {
    let columns = entity.fields.iter().map(|field| {
        let absent = || field.default.clone().unwrap_or_default();
        let value = entity.check_field(field, row.get(&field.name).cloned().unwrap_or_else(absent))?;
        Ok((field.name.clone(), value))
    });
    columns.collect()
}

pub(crate) async fn updates_do_what_mongod_does(backend: &'static str) {
    let mut runner = seeded();
    let fresh = Fresh::open(backend, Contract::parse(CONTRACT).unwrap()).await;
    let keeps_scale = fresh.database.capabilities()["decimal_scale"] == Value::Bool(true);
    let sides = Sides { fresh, plain: Plain::open().await, keeps_scale };
    let (cases, mut ends) = (a_case(), Vec::new());
    for number in 0..share(15) {
        let mut tree = cases.new_tree(&mut runner).unwrap();
        match sides.compare(&tree.current()).await {
            Ok(end) => ends.push(end),
            Err(difference) => panic!("{backend}, case {number}:\n{}", smallest(&sides, &mut tree, difference).await),
        }
    }
    let count = |wanted: End| ends.iter().filter(|end| **end == wanted).count();
    println!(
        "{backend}: {} updates, {} changed the row, {} did not; refused: {} by mongod too, {} by contract, {} by an operand",
        ends.len(),
        count(End::Changed),
        count(End::Unchanged),
        count(End::Refused),
        count(End::ByContract),
        count(End::Operand),
    );
    assert!(count(End::Changed) * 3 > ends.len(), "most updates must change something");
    assert!(count(End::Operand) * 10 <= ends.len(), "too many updates are refused by an operand");
    sides.plain.end().await;
    sides.fresh.end().await;
}

/// The smallest case near one that fails, with its difference.
async fn smallest(sides: &Sides, tree: &mut impl ValueTree<Value = Case>, mut difference: String) -> String {
    let mut case = tree.current();
    let mut goes_on = tree.simplify();
    while goes_on {
        let current = tree.current();
        goes_on = match sides.compare(&current).await {
            Err(found) => {
                (case, difference) = (current, found);
                tree.simplify()
            }
            Ok(_) => tree.complicate(),
        };
    }
    let filters = tagged::to_string(&Value::List(case.array_filters));
    let (row, update) = (tagged::map_to_string(&case.row), tagged::map_to_string(&case.update));
    format!("row {row}\nupdate {update}\narray filters {filters}\n{difference}")
}
