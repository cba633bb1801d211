//! What expressions are evaluated over, a stopped process or a stored capture, and the steps of a path over either.

use freezeframe_model::{Value, Variable};

use super::Bounds;
use super::error::{Failure, Obstacle};
use super::listing::LISTED_MAX;
use super::scalar::Scalar;

/// Pointers that a step looks through by itself.
const POINTERS_MAX: usize = 16;
/// Unnamed members and base classes within each other.
const BASES_MAX: usize = 6;
/// Fields of one record.
const FIELDS_MAX: u64 = 10_000;

/// A child by the name that it is shown under.
#[derive(Clone, Debug)]
pub(super) struct Child<P> {
    pub(super) name: String,
    pub(super) place: P,
    /// A base class or an unnamed member: its fields are the parent's.
    pub(super) is_inherited: bool,
}

/// A value's direct children, or some of them.
#[derive(Clone, Debug)]
pub(super) struct Children<P> {
    pub(super) children: Vec<Child<P>>,
    /// Why there are more, where there are.
    pub(super) cut: Option<String>,
    /// Elements in all, of sequences and texts.
    pub(super) count: Option<u64>,
    /// What stands for the value itself: a variant's name, an address.
    pub(super) value: Value,
}

/// A stopped frame.
pub(super) trait Ground {
    /// Where a value is.
    type Place: Clone;
    /// Variables of the frame, inner scopes last.
    fn roots(&self) -> &[Child<Self::Place>];
    /// A variable that no frame owns, by its path or the end of it; `None` where there is none or none can be had.
    fn global(&self, path: &str) -> Result<Option<Self::Place>, Failure>;
    /// Children from number `first` up to `end`; sequences can begin anywhere at no cost.
    fn children(&self, place: &Self::Place, first: u64, end: u64) -> Result<Children<Self::Place>, Failure>;
    /// What a pointer points to; `None` where it is none, or to nothing that is described.
    fn pointee(&self, place: &Self::Place) -> Result<Option<Self::Place>, Failure>;
    /// The element behind a pointer of C, or a raw one of Rust.
    fn element(&self, place: &Self::Place, number: u64) -> Result<Option<Self::Place>, Failure>;
    /// Where it lies in the process.
    fn address(&self, place: &Self::Place) -> Result<u64, Failure>;
    /// Names of the alternatives of its type, where they are known.
    fn variants(&self, place: &Self::Place) -> Vec<String>;
    /// Why it must not be looked into.
    fn hidden(&self, place: &Self::Place) -> Option<String>;
    /// With what is below it.
    fn show(&self, place: &Self::Place, name: &str, bounds: &Bounds) -> Variable;
    /// In the words of the language.
    fn type_name(&self, place: &Self::Place) -> String;
    /// Says of something that is missing whether asking elsewhere helps.
    fn missing(&self, failure: Failure) -> Failure;
}

/// A variable by its name; of several, that of the innermost scope.
pub(super) fn root<G: Ground>(ground: &G, name: &str) -> Result<G::Place, Failure> {
    if let Some(found) = ground.roots().iter().rev().find(|child| child.name == name) {
        return Ok(found.place.clone());
    }
    ground.global(name)?.ok_or_else(|| {
        let names = ground.roots().iter().map(|child| child.name.as_str());
        let failure = Failure::new(Obstacle::NotFound, format!("no variable {name:?} in this frame"));
        ground.missing(failure.instead(name, names))
    })
}

/// A field, through as many pointers as lie in between.
pub(super) fn field<G: Ground>(ground: &G, place: &G::Place, name: &str) -> Result<Found<G>, Failure> {
    let mut at = place.clone();
    for _ in 0..POINTERS_MAX {
        refuse_hidden(ground, &at)?;
        let listed = ground.children(&at, 0, FIELDS_MAX)?;
        if let Some(found) = among(ground, &listed, name, 0)? {
            return Ok(Found::Place(found));
        }
        if name == "len"
            && let Some(count) = length(&listed)
        {
            return Ok(Found::Length(count));
        }
        let Some(next) = behind(ground, &at, &listed)? else {
            return Err(no_such(ground, &at, &listed, "field", name));
        };
        at = next;
    }
    Err(Failure::new(Obstacle::Limit, format!("more than {POINTERS_MAX} pointers behind each other")))
}

/// A field, or the number of elements.
pub(super) enum Found<G: Ground> {
    Place(G::Place),
    Length(u64),
}

fn among<G: Ground>(
    ground: &G,
    listed: &Children<G::Place>,
    name: &str,
    depth: usize,
) -> Result<Option<G::Place>, Failure> {
    if let Some(child) = listed.children.iter().find(|child| child.name == name) {
        return Ok(Some(child.place.clone()));
    }
    if depth >= BASES_MAX {
        return Ok(None);
    }
    for base in listed.children.iter().filter(|child| child.is_inherited) {
        let inherited = ground.children(&base.place, 0, FIELDS_MAX)?;
        if let Some(found) = among(ground, &inherited, name, depth + 1)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// An element by its number, or by its name as it is shown.
pub(super) fn element<G: Ground>(
    ground: &G,
    place: &G::Place,
    written: &str,
    value: Option<&Scalar>,
) -> Result<G::Place, Failure> {
    let number = value.and_then(|value| value.index().ok());
    let shown = value.map(|value| value.show(""));
    let mut names = vec![format!("[{written}]")];
    if let Some(Variable { value: Value::Text(text), .. }) = shown {
        names.push(format!("[{text}]"));
    }
    let mut at = place.clone();
    for _ in 0..POINTERS_MAX {
        refuse_secret_text(ground, &at)?;
        if let Some(number) = number {
            if let Some(found) = ground.element(&at, number)? {
                return Ok(found);
            }
            let listed = ground.children(&at, number, number.saturating_add(1))?;
            let name = format!("[{number}]");
            if let Some(child) = listed.children.into_iter().find(|child| child.name == name) {
                return Ok(child.place);
            }
        }
        let listed = ground.children(&at, 0, LISTED_MAX as u64)?;
        if let Some(child) = listed.children.iter().find(|child| names.contains(&child.name)) {
            return Ok(child.place.clone());
        }
        let Some(next) = behind(ground, &at, &listed)? else {
            let failure = no_such(ground, &at, &listed, "element", written);
            let sequence = length(&listed).filter(|_| number.is_some());
            return Err(match sequence {
                Some(count) => failure.why(format!("there are {count}")),
                None => failure,
            });
        };
        at = next;
    }
    Err(Failure::new(Obstacle::Limit, format!("more than {POINTERS_MAX} pointers behind each other")))
}

/// Elements `from..to` with their names; why there are more, where they were cut off at `most`.
pub(super) fn slice<G: Ground>(
    ground: &G,
    place: &G::Place,
    (from, to): (u64, Option<u64>),
    most: u64,
) -> Result<Children<G::Place>, Failure> {
    let end = to.unwrap_or(u64::MAX);
    if from > end {
        return Err(Failure::new(Obstacle::Unfit, format!("the range {from}..{end} runs backwards")));
    }
    let shown = end.min(from.saturating_add(most));
    let mut at = place.clone();
    for _ in 0..POINTERS_MAX {
        refuse_secret_text(ground, &at)?;
        if ground.element(&at, from)?.is_some() {
            let to = to.ok_or_else(|| {
                let failure = Failure::new(Obstacle::Unfit, "a pointer does not tell where its elements end");
                failure.why("write an end")
            })?;
            let mut children = Vec::new();
            for number in from..shown {
                let Some(place) = ground.element(&at, number)? else { break };
                children.push(Child { name: format!("[{number}]"), place, is_inherited: false });
            }
            let cut = (shown < to).then(|| format!("{} more", to - shown));
            return Ok(Children { children, cut, count: Some(to - from), value: Value::Composite });
        }
        let mut listed = ground.children(&at, from, shown)?;
        let has_elements = listed.children.iter().all(|child| child.name.starts_with('['));
        if has_elements && length(&listed).is_some() {
            let end = listed.count.map_or(end, |count| count.min(end));
            listed.cut = (shown < end).then(|| format!("{} more", end - shown));
            return Ok(listed);
        }
        let Some(next) = behind(ground, &at, &listed)? else {
            let what = format!("{} has no elements", ground.type_name(&at));
            return Err(ground.missing(Failure::new(Obstacle::Unfit, what)));
        };
        at = next;
    }
    Err(Failure::new(Obstacle::Limit, format!("more than {POINTERS_MAX} pointers behind each other")))
}

/// What a pointer, reference or smart pointer leads to.
pub(super) fn dereference<G: Ground>(ground: &G, place: &G::Place) -> Result<G::Place, Failure> {
    refuse_hidden(ground, place)?;
    if let Some(found) = ground.pointee(place)? {
        return Ok(found);
    }
    let listed = ground.children(place, 0, FIELDS_MAX)?;
    behind(ground, place, &listed)?.ok_or_else(|| {
        let what = format!("{} does not point to anything that is described", ground.type_name(place));
        ground.missing(Failure::new(Obstacle::Unfit, what))
    })
}

/// Whether the value is the alternative of that name.
pub(super) fn is_variant<G: Ground>(ground: &G, place: &G::Place, name: &str) -> Result<bool, Failure> {
    let mut at = place.clone();
    for _ in 0..POINTERS_MAX {
        refuse_hidden(ground, &at)?;
        let last = |text: &str| text.rsplit("::").next().unwrap_or_default().to_owned();
        let known = ground.variants(&at);
        let listed = ground.children(&at, 0, 1)?;
        if let Some(next) = behind(ground, &at, &listed)?.filter(|_| known.is_empty()) {
            at = next;
            continue;
        }
        if !known.is_empty() && !known.iter().any(|variant| last(variant) == last(name)) {
            let what = format!("{} has no variant {name:?}", ground.type_name(&at));
            let names = known.iter().map(String::as_str);
            return Err(Failure::new(Obstacle::NotFound, what).instead(name, names));
        }
        return match &listed.value {
            Value::Text(text) => Ok(last(text.split([' ', '(']).next().unwrap_or_default()) == last(name)),
            Value::Unavailable(why) => Err(Failure::new(Obstacle::Unavailable, why.clone())),
            Value::Cut(why) => Err(ground.missing(Failure::new(Obstacle::Limit, why.clone()))),
            _ => Err(Failure::new(Obstacle::Unfit, format!("{} has no variants", ground.type_name(&at)))),
        };
    }
    Err(Failure::new(Obstacle::Limit, format!("more than {POINTERS_MAX} pointers behind each other")))
}

/// Number of elements of a sequence, map or text.
fn length<P>(listed: &Children<P>) -> Option<u64> {
    let is_sequence = listed.children.first().is_none_or(|child| child.name.starts_with('['));
    let is_empty = matches!(&listed.value, Value::Text(text) if text == "{}");
    listed.count.or(is_empty.then_some(0)).filter(|_| is_sequence)
}

fn behind<G: Ground>(
    ground: &G,
    place: &G::Place,
    listed: &Children<G::Place>,
) -> Result<Option<G::Place>, Failure> {
    if let Some(found) = ground.pointee(place)? {
        return Ok(Some(found));
    }
    Ok(listed.children.iter().find(|child| child.name == "*").map(|child| child.place.clone()))
}

fn no_such<G: Ground>(
    ground: &G,
    place: &G::Place,
    listed: &Children<G::Place>,
    kind: &str,
    name: &str,
) -> Failure {
    if let (Value::Unavailable(why), []) = (&listed.value, listed.children.as_slice()) {
        return Failure::new(Obstacle::Unavailable, "this has no value").why(why.clone());
    }
    let name = if kind == "element" { format!("[{name}]") } else { name.to_owned() };
    let failure =
        Failure::new(Obstacle::NotFound, format!("no {kind} {name} in {}", ground.type_name(place)));
    let names = listed.children.iter().map(|child| child.name.as_str());
    ground.missing(failure.instead(&name, names))
}

fn refuse_hidden<G: Ground>(ground: &G, place: &G::Place) -> Result<(), Failure> {
    match ground.hidden(place) {
        Some(why) => Err(Failure::new(Obstacle::Redacted, format!("this is redacted: {why}"))),
        None => Ok(()),
    }
}

/// A part of a secret text does not look like one: the whole decides.
fn refuse_secret_text<G: Ground>(ground: &G, place: &G::Place) -> Result<(), Failure> {
    refuse_hidden(ground, place)?;
    let bounds = Bounds { depth: 0, breadth: 1, ..Bounds::default() };
    match ground.show(place, "", &bounds).value {
        Value::Redacted(why) => Err(Failure::new(Obstacle::Redacted, format!("this is redacted: {why}"))),
        _ => Ok(()),
    }
}
