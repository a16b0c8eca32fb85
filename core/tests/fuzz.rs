//! The fuzz targets (`core/fuzz`) with their seeds and with random changes of them, the same ones in every run.
//!
//! What libFuzzer finds is found by coverage, in `make fuzz`; this finds again what was found before, and what breaks at
//! once. `FARM_FUZZ_ROUNDS` makes it go on for longer.

#[path = "../fuzz/src/lib.rs"]
pub mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

use farm_db_core::Value;
use farm_db_core::value::tagged;

/// Changes of the seeds a target, unless the environment says otherwise.
const ROUNDS: usize = 5000;
/// Pieces that mean something to somebody.
const HOSTILE: &[&str] = &[
    "'",
    "\"",
    "`",
    "\\",
    "--",
    "/*",
    ";",
    "?",
    "$1",
    "$",
    "$$",
    "%",
    "\0",
    "\u{202e}",
    "\u{ffff}",
    ".",
    "..",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "(?",
    "{65535}",
    "[[:",
    "*",
    "+",
    "|",
    "^",
    "@",
    ":",
    "//",
    "#",
    "&",
    "=",
    ",",
    "$where",
    "$expr",
    "__proto__",
    "$[]",
    "$[a]",
    "id",
    "name",
    "attrs.",
    "extra.0",
    "' OR 1=1 --",
    "-0",
    "1e400",
    "9223372036854775808",
    "NaN",
];

/// A small generator of numbers (xorshift), so that every run does the same.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap_or_default()
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// One place of a text is changed.
fn change_text(text: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(text.len() + 1);
    let end = (at + random.below(9)).min(text.len());
    let piece = match random.below(4) {
        0 => Vec::new(),
        1 => vec![random.below(256) as u8],
        2 => random.of(HOSTILE).as_bytes().to_vec(),
        _ => {
            let other = random.of(seeds);
            let start = random.below(other.len() + 1);
            other[start..(start + random.below(20)).min(other.len())].to_vec()
        }
    };
    text.splice(at..end, piece);
}

/// One place of a document gets another value or another name.
fn change_value(value: &mut Value, pool: &[Value], random: &mut Random) {
    match value {
        Value::List(list) if !list.is_empty() && random.below(4) > 0 => {
            let at = random.below(list.len());
            change_value(&mut list[at], pool, random);
        }
        Value::Map(map) if !map.is_empty() && random.below(5) > 0 => {
            let at = random.below(map.len());
            if random.below(3) > 0 {
                return change_value(&mut map[at], pool, random);
            }
            let (name, inner) = map.shift_remove_index(at).unwrap();
            let name = match random.below(3) {
                0 => format!("{name}{}", random.of(HOSTILE)),
                1 => (*random.of(HOSTILE)).to_owned(),
                _ => match random.of(pool) {
                    Value::Map(other) if !other.is_empty() => other.get_index(0).unwrap().0.clone(),
                    _ => name,
                },
            };
            map.insert(name, inner);
        }
        Value::Text(text) if random.below(2) == 0 => text.push_str(random.of::<&str>(HOSTILE)),
        other => *other = random.of(pool).clone(),
    }
}

/// Every value in a value.
fn collect(value: &Value, pool: &mut Vec<Value>) {
    pool.push(value.clone());
    match value {
        Value::List(list) => list.iter().for_each(|item| collect(item, pool)),
        Value::Map(map) => map.values().for_each(|item| collect(item, pool)),
        _ => {}
    }
}

fn check(run: fn(&[u8]), input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(input))) {
        eprintln!("the input was \"{}\"", input.escape_ascii());
        resume_unwind(panic);
    }
}

fn fuzz(target: &str, run: fn(&[u8])) {
    let seeds = seeds(target);
    assert!(seeds.len() >= 5, "{target} has no seeds");
    let mut pool =
        vec![Value::Null, Value::Int(i64::MIN), Value::Float(-0.0), Value::Float(1e300), Value::List(vec![])];
    pool.extend(HOSTILE.iter().map(|text| Value::from(*text)));
    for seed in &seeds {
        check(run, seed);
        if let Ok(value) = tagged::read(seed) {
            collect(&value, &mut pool);
        }
    }
    let rounds = std::env::var("FARM_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let mut random = Random(0x5eed);
    for _ in 0..rounds {
        let mut input = random.of(&seeds).clone();
        for _ in 0..=random.below(3) {
            match tagged::read(&input) {
                Ok(mut value) if random.below(8) > 0 => {
                    change_value(&mut value, &pool, &mut random);
                    input = tagged::to_string(&value).into_bytes();
                }
                _ => change_text(&mut input, &seeds, &mut random),
            }
        }
        check(run, &input);
    }
}

/// A test of each target.
macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { fuzz(stringify!($name), targets::$name::run); })*

        #[test]
        fn every_target_is_here() {
            let mut names: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/fuzz_targets")).unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
            names.sort();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

targets!(contract, cursor, filter, pattern, sort, tagged, update, url);
