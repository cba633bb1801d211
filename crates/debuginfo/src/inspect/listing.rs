//! A value's direct children by name and place, without decoding them: how a path finds its way through any type that can
//! be shown.
//!
//! The decoders of libraries' types know nothing of paths: they ask for their children as ever, and where a listing lies in
//! wait, each child is entered here and stands in the answer as a token. So whatever is shown can also be stepped into,
//! under the very name it is shown by.

use std::cell::Cell;

use freezeframe_model::Value;

use crate::dwarf::Die;
use crate::dwarf::location::Spot;
use crate::expression::Absent;

/// Children of one value that are listed.
pub(crate) const LISTED_MAX: usize = 100_000;

/// What lies at a place.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A value of this type.
    Whole(Die),
    /// A row of an array of several dimensions: element type, lengths of the inner dimensions.
    Row(Die, Vec<Option<u64>>),
}

/// Where a child is.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// The name that redaction goes by: the bare key of a map's entry.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) spot: Spot,
}

/// Children on their way out of a decoder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    places: Vec<Listed>,
    /// The first element that is wanted, of sequences that can begin there; taken by those that do.
    first: Option<u64>,
    /// Elements in all, where the value is a sequence.
    pub(crate) count: Cell<Option<u64>>,
}

impl Listing {
    pub(crate) fn from(first: u64) -> Self {
        Self { first: Some(first), ..Self::default() }
    }

    /// The element to begin with; only the first sequence that asks is the one that is meant.
    pub(crate) fn begin(&mut self) -> u64 {
        self.first.take().unwrap_or(0)
    }

    /// How many of the listed children stand before the first that is wanted.
    pub(crate) fn surplus(&self) -> u64 {
        self.first.unwrap_or(0)
    }

    /// The token of a child; why it has no place, where it has none.
    pub(crate) fn enter(&mut self, name: &str, kind: Option<Die>, spot: Result<Spot, Absent>) -> Value {
        match (kind, spot) {
            (_, Err(absent)) => absent.into(),
            (None, _) => Value::Unavailable("its type is not recorded".to_owned()),
            (Some(kind), Ok(spot)) => self.add(name, Kind::Whole(kind), spot),
        }
    }

    pub(crate) fn enter_row(&mut self, name: &str, element: Die, inner: &[Option<u64>], spot: Spot) -> Value {
        self.add(name, Kind::Row(element, inner.to_vec()), spot)
    }

    fn add(&mut self, name: &str, kind: Kind, spot: Spot) -> Value {
        if self.places.len() >= LISTED_MAX {
            return Value::Cut(format!("more than {LISTED_MAX} elements"));
        }
        self.places.push(Listed { name: name.to_owned(), kind, spot });
        Value::Cut(format!("{TOKEN}{}", self.places.len() - 1))
    }

    /// The place that a token stands for.
    pub(crate) fn place(&self, value: &Value) -> Option<&Listed> {
        let Value::Cut(token) = value else { return None };
        self.places.get(token.strip_prefix(TOKEN)?.parse::<usize>().ok()?)
    }
}

/// No reason of ours begins like this.
const TOKEN: char = '\u{1}';
