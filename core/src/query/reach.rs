//! The places of a document that an update is about: the paths of its assignments as one tree, as in mongod, and the walk
//! of that tree through a document, which turns positional legs into the positions of elements.
//!
//! Invariant: no place is reached twice and none below another one; what could do so is refused, by its paths alone or, where
//! array filters decide, by the document. Not for: what happens at a place (`apply`). Source: mongod's `UpdateObjectNode`
//! and `UpdateArrayNode`.

use std::cmp::Ordering;
use std::mem::discriminant;

use indexmap::IndexMap;

use super::array_filters::{identifier, is_positional};
use super::filter::Filter;
use super::matcher::{index, named_matches};
use crate::error::{Error, Result};
use crate::value::{Map, Value};

/// What paths say about the place that they have reached.
#[derive(Clone, Debug)]
enum Node {
    /// A path ends: that of the assignment at this position, or (`None`) that which a `$rename` takes away.
    End(Option<usize>),
    /// They go on by names, or positions, in the order in which mongod works through them.
    Fields(IndexMap<String, Node>),
    /// They go on by positional legs, each for the elements that satisfy its filter.
    Elements(IndexMap<String, (Filter, Node)>),
}

impl Node {
    /// What a path makes of a place that it has reached, from the next leg on.
    fn new(next: Option<&&str>, end: Option<usize>) -> Self {
        match next {
            None => Self::End(end),
            Some(leg) if is_positional(leg) => Self::Elements(IndexMap::new()),
            Some(_) => Self::Fields(IndexMap::new()),
        }
    }

    /// What the leg leads to, made if need be; whether it was made. `None` where this node takes no such leg.
    fn child(&mut self, leg: &str, filters: &mut impl Iterator<Item = Filter>, new: Self) -> Option<(&mut Self, bool)> {
        match self {
            Self::End(_) => None,
            Self::Fields(fields) => {
                let is_new = !fields.contains_key(leg);
                if is_new {
                    let at = fields.partition_point(|name, _| order_legs(name, leg) == Ordering::Less);
                    fields.shift_insert(at, leg.to_owned(), new);
                }
                fields.get_mut(leg).map(|node| (node, is_new))
            }
            Self::Elements(choices) => {
                let is_new = !choices.contains_key(leg);
                let filter = filters.next().unwrap_or(Filter::All);
                Some((&mut choices.entry(leg.to_owned()).or_insert((filter, new)).1, is_new))
            }
        }
    }
}

/// mongod works through names in lexicographic order, positions by number; new keys are appended in it.
fn order_legs(left: &str, right: &str) -> Ordering {
    match (index(left), index(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}

/// All paths of an update.
#[derive(Clone, Debug)]
pub(super) struct Reach(Node);

impl Default for Reach {
    fn default() -> Self {
        Self(Node::Fields(IndexMap::new()))
    }
}

impl Reach {
    /// Adds a path with the filters of its positional legs; refused where it meets another one.
    pub(super) fn insert(&mut self, text: &str, filters: Vec<Filter>, end: Option<usize>) -> Result<()> {
        let legs: Vec<&str> = text.split('.').collect();
        let mut filters = filters.into_iter();
        let mut node = &mut self.0;
        for (at, leg) in legs.iter().enumerate() {
            let new = Node::new(legs.get(at + 1), end);
            let kind = discriminant(&new);
            node = match node.child(leg, &mut filters, new) {
                Some((child, true)) => child,
                Some((child, false)) if at + 1 < legs.len() && discriminant(child) == kind => child,
                _ => {
                    let met = legs[..=at].join(".");
                    return Err(conflict(&met).with("path", text));
                }
            };
        }
        Ok(())
    }

    /// The places in this document in mongod's order, each with the position of its assignment.
    pub(super) fn places(&self, document: &Map) -> Result<Vec<(String, usize)>> {
        let mut walk = Walk { path: Vec::new(), found: Vec::new() };
        let Node::Fields(columns) = &self.0 else { return Ok(walk.found) };
        for (name, node) in columns {
            walk.step(name, &[node], document.get(name))?;
        }
        Ok(walk.found)
    }
}

pub(super) fn conflict(place: &str) -> Error {
    Error::invalid_query(format!("two changes of one update conflict at {place:?}"))
}

/// A walk through one document.
struct Walk {
    path: Vec<String>,
    found: Vec<(String, usize)>,
}

impl Walk {
    /// Goes on by one leg. Several nodes are what several array filters say about one element.
    fn step(&mut self, leg: &str, nodes: &[&Node], value: Option<&Value>) -> Result<()> {
        self.path.push(leg.to_owned());
        match nodes {
            [Node::End(end)] => self.found.extend(end.map(|end| (self.path.join("."), end))),
            [Node::Elements(_), ..] => self.elements(nodes, value)?,
            _ => {
                for (name, below) in fields_of(nodes) {
                    self.step(name, &below, value.and_then(|value| inner(value, name)))?;
                }
            }
        }
        self.path.pop();
        Ok(())
    }

    fn elements(&mut self, nodes: &[&Node], value: Option<&Value>) -> Result<()> {
        let list = match value {
            Some(Value::List(list)) => list,
            other => return Err(self.no_list(other)),
        };
        for (at, element) in list.iter().enumerate() {
            let choices = choices_of(nodes);
            let meant =
                choices.filter(|(leg, filter, _)| named_matches(filter, identifier(leg).unwrap_or_default(), element));
            let meant: Vec<&Node> = meant.map(|(_, _, node)| node).collect();
            if !meant.is_empty() {
                self.check_merge(&meant, &at.to_string())?;
                self.step(&at.to_string(), &meant, Some(element))?;
            }
        }
        Ok(())
    }

    fn no_list(&self, value: Option<&Value>) -> Error {
        let place = self.path.join(".");
        let message = match value {
            None => format!("there is nothing at {place:?}, so it has no elements to change"),
            Some(value) => format!("{place:?} has no elements to change: it is of type {}", value.type_name()),
        };
        Error::invalid_value(message).with("path", place).with("expected", "list")
    }

    /// Refuses several nodes that cannot all be done at one place.
    fn check_merge(&mut self, nodes: &[&Node], leg: &str) -> Result<()> {
        let [first, others @ ..] = nodes else { return Ok(()) };
        if others.is_empty() {
            return Ok(());
        }
        self.path.push(leg.to_owned());
        let is_end = matches!(first, Node::End(_));
        if is_end || others.iter().any(|node| discriminant(*node) != discriminant(*first)) {
            let place = self.path.join(".");
            return Err(conflict(&place).with("path", place));
        }
        for (name, below) in fields_of(nodes) {
            self.check_merge(&below, name)?;
        }
        let mut by_leg: IndexMap<&str, Vec<&Node>> = IndexMap::new();
        choices_of(nodes).for_each(|(leg, _, node)| by_leg.entry(leg).or_default().push(node));
        for (leg, below) in by_leg {
            self.check_merge(&below, leg)?;
        }
        self.path.pop();
        Ok(())
    }
}

/// The names below several nodes in mongod's order, with what they lead to.
fn fields_of<'n>(nodes: &[&'n Node]) -> IndexMap<&'n str, Vec<&'n Node>> {
    let mut merged: IndexMap<&str, Vec<&Node>> = IndexMap::new();
    for node in nodes {
        let Node::Fields(fields) = node else { continue };
        for (name, below) in fields {
            if let Some(known) = merged.get_mut(name.as_str()) {
                known.push(below);
                continue;
            }
            let at = merged.partition_point(|known, _| order_legs(known, name) == Ordering::Less);
            merged.shift_insert(at, name, vec![below]);
        }
    }
    merged
}

/// The positional legs below several nodes.
fn choices_of<'n>(nodes: &[&'n Node]) -> impl Iterator<Item = (&'n str, &'n Filter, &'n Node)> {
    let elements = nodes.iter().filter_map(|node| match node {
        Node::Elements(choices) => Some(choices),
        _ => None,
    });
    elements.flat_map(|choices| choices.iter().map(|(leg, (filter, node))| (leg.as_str(), filter, node)))
}

/// What stands in a value under a name or a position.
fn inner<'v>(value: &'v Value, leg: &str) -> Option<&'v Value> {
    match value {
        Value::Map(map) => map.get(leg),
        Value::List(list) => index(leg).and_then(|at| list.get(at)),
        _ => None,
    }
}
