//! A frame of a stopped process as ground for expressions. Places are types and addresses; the decoders of values list and
//! show them.

use std::rc::Rc;
use std::time::Instant;

use freezeframe_model::{Value, Variable, VariableRole};
use freezeframe_redact::Redactor;

use super::Bounds;
use super::error::{Failure, Obstacle};
use super::ground::{Child, Children, Ground};
use super::listing::{Kind, LISTED_MAX, Listed, Listing};
use crate::decoded::{Budget, mark_cut, unsigned};
use crate::dwarf::location::Spot;
use crate::dwarf::types::{Shape, Type};
use crate::dwarf::{Die, View};
use crate::expression::Absent;
use crate::frames::Session;
use crate::language::Language;
use crate::memory::Memory;
use crate::values::{self, DEPTH_MAX, Decoder};

/// Variables of one name that are told apart.
const GLOBALS_NAMED: usize = 8;

/// A value in the process.
#[derive(Clone, Debug)]
pub(super) enum Place {
    At {
        kind: Kind,
        spot: Spot,
        /// What redaction by name goes by.
        name: String,
        /// Why it is a secret although neither its name nor its type says so.
        hidden: Option<String>,
    },
    /// Of no place: a bit field, or why there is no value.
    Ready(Variable),
}

/// One frame.
pub(super) struct Live<'l, 'a> {
    pub(super) session: &'l Session<'a>,
    pub(super) memory: &'l dyn Memory,
    pub(super) redactor: Option<&'l Redactor>,
    pub(super) view: Rc<View<'a>>,
    /// Difference between addresses in the process and in the module's file.
    pub(super) bias: u64,
    pub(super) roots: Vec<Child<Place>>,
    /// The unit that the frame's function is in.
    pub(super) unit: Option<usize>,
    /// Variables that one answer may hold.
    pub(super) variables_max: usize,
    pub(super) deadline: Instant,
}

/// The variables of a listing as places.
pub(super) fn places(view: &View<'_>, variables: Vec<Variable>, listing: &Listing) -> Vec<Child<Place>> {
    // A base class goes by the name of its type.
    let is_base = |variable: &Variable| match listing.place(&variable.value) {
        Some(Listed { kind: Kind::Whole(die), name, .. }) if !name.starts_with('[') => {
            view.type_name(Some(*die), 0) == *name
        }
        _ => false,
    };
    let place = |variable: Variable| {
        let is_inherited = variable.name.is_empty() || is_base(&variable);
        let name = variable.name.clone();
        let place = match listing.place(&variable.value) {
            Some(listed) => Place::At {
                kind: listed.kind.clone(),
                spot: listed.spot.clone(),
                name: listed.name.clone(),
                hidden: None,
            },
            None => Place::Ready(variable),
        };
        Child { name, place, is_inherited }
    };
    variables.into_iter().map(place).collect()
}

impl Live<'_, '_> {
    fn decoding<T>(
        &self,
        bounds: values::Bounds,
        variables: usize,
        listing: Option<Listing>,
        run: impl FnOnce(&mut Decoder<'_, '_>) -> T,
    ) -> (T, Option<Listing>) {
        let function_at = |address| self.session.name_at(address, self.memory);
        let type_of_vtable = |address: u64| self.view.type_of_vtable(address.wrapping_sub(self.bias));
        let mut budget = Budget::new(variables, self.deadline);
        let mut decoder = Decoder {
            view: &self.view,
            memory: self.memory,
            redactor: self.redactor,
            budget: &mut budget,
            bounds,
            type_of_vtable: &type_of_vtable,
            function_at: &function_at,
            listing,
        };
        let result = run(&mut decoder);
        (result, decoder.listing)
    }

    fn whole(&self, kind: &Kind) -> Option<Rc<Type>> {
        match kind {
            Kind::Whole(die) => Some(self.view.read_type(*die)),
            Kind::Row(..) => None,
        }
    }

    /// Target type of a pointer and the address in it.
    fn pointer(&self, place: &Place) -> Result<Option<(Rc<Type>, Die, u64)>, Failure> {
        let Place::At { kind, spot, .. } = place else { return Ok(None) };
        let Some(kind) = self.whole(kind) else { return Ok(None) };
        let Shape::Pointer(Some(target)) = kind.shape else { return Ok(None) };
        let address = match spot.read(self.memory, 8, 8) {
            Ok(bytes) => unsigned(&bytes) as u64,
            Err(absent) => return Err(unavailable(&absent)),
        };
        let shape = &self.view.read_type(target).shape;
        if matches!(shape, Shape::Function | Shape::Nothing) {
            return Ok(None);
        }
        if address == 0 {
            return Err(Failure::new(Obstacle::Unavailable, "this is a null pointer"));
        }
        Ok(Some((kind, target, address)))
    }

    /// A pair of a secret's name and a value: the value is the secret.
    fn hide_pair(&self, children: &mut [Child<Place>]) {
        let (Some(redactor), [first, second]) = (self.redactor, children) else { return };
        let shown = self.show(&first.place, "", &Bounds { depth: 1, ..Bounds::default() });
        let Value::Text(key) = &shown.value else { return };
        let Some(key) = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')) else { return };
        if let (Some(why), Place::At { hidden, .. }) = (redactor.name(key), &mut second.place) {
            *hidden = Some(why);
        }
    }

    fn show_at(&self, kind: &Kind, spot: &Spot, name: &str, bounds: &Bounds) -> Variable {
        let inner =
            values::Bounds { depth: bounds.depth, breadth: bounds.breadth, string_bytes: bounds.text_bytes };
        let (mut variable, _) = self.decoding(inner, self.variables_max, None, |decoder| match kind {
            Kind::Whole(die) => decoder.variable(name, VariableRole::Local, Some(*die), Ok(spot.clone()), 0),
            Kind::Row(element, counts) => {
                let decoded = decoder.array(*element, counts, spot, 0);
                decoder.finish(Variable { name: name.to_owned(), ..Variable::default() }, decoded)
            }
        });
        if let Kind::Row(..) = kind {
            variable.type_name = self.kind_name(kind);
        }
        variable
    }

    fn kind_name(&self, kind: &Kind) -> String {
        match kind {
            Kind::Whole(die) => self.view.type_name(Some(*die), 0),
            Kind::Row(element, counts) => {
                let count = |count: &Option<u64>| count.map_or("[]".to_owned(), |n| format!("[{n}]"));
                let counts: String = counts.iter().map(count).collect();
                format!("{}{counts}", self.view.type_name(Some(*element), 0))
            }
        }
    }

    /// A part of the children, each shown by itself.
    fn show_page(&self, place: &Place, bounds: &Bounds) -> Result<Variable, Failure> {
        let first = bounds.offset as u64;
        let end = first.saturating_add(bounds.breadth as u64);
        let listed = self.children(place, first, end)?;
        let inner = Bounds { depth: bounds.depth.saturating_sub(1), offset: 0, ..*bounds };
        let mut children = Vec::new();
        let mut left = self.variables_max;
        for child in &listed.children {
            if left == 0 || Instant::now() >= self.deadline {
                children.push(mark_cut("…", "time or the limit of variables ran out"));
                break;
            }
            let shown = self.show(&child.place, &child.name, &inner);
            left = left.saturating_sub(count(&shown));
            children.push(Variable { role: VariableRole::Member, ..shown });
        }
        children.extend(listed.cut.map(|why| mark_cut("…", &why)));
        Ok(Variable {
            type_name: self.type_name(place),
            value: listed.value,
            children,
            ..Variable::default()
        })
    }
}

impl Ground for Live<'_, '_> {
    type Place = Place;

    fn roots(&self) -> &[Child<Place>] {
        &self.roots
    }

    fn global(&self, path: &str) -> Result<Option<Place>, Failure> {
        let found = self.view.statics(path, self.unit, GLOBALS_NAMED, self.deadline);
        let whole = |(_, _, own): &&(Die, u64, String)| own == path;
        let (die, address, own) = match (found.iter().find(whole), found.as_slice()) {
            (Some(found), _) | (None, [found]) => found,
            (None, []) => return Ok(None),
            (None, several) => {
                let mut paths: Vec<&str> = several.iter().map(|(_, _, own)| own.as_str()).collect();
                paths.sort_unstable();
                let failure = Failure::new(Obstacle::Unfit, format!("several variables are called {path:?}"));
                return Err(failure.why(format!("write one of {}", paths.join(", "))));
            }
        };
        let Some(kind) = self.view.type_of(*die) else { return Ok(None) };
        let name = own.rsplit("::").next().unwrap_or(own).to_owned();
        let spot = Spot::Memory(address.wrapping_add(self.bias));
        Ok(Some(Place::At { kind: Kind::Whole(kind), spot, name, hidden: None }))
    }

    fn children(&self, place: &Place, first: u64, end: u64) -> Result<Children<Place>, Failure> {
        let (kind, spot, name) = match place {
            Place::At { kind, spot, name, .. } => (kind, spot, name),
            Place::Ready(variable) => {
                let children = places(&self.view, variable.children.clone(), &Listing::default());
                return Ok(Children { children, cut: None, count: None, value: variable.value.clone() });
            }
        };
        if Instant::now() >= self.deadline {
            return Err(Failure::new(Obstacle::Limit, "time ran out"));
        }
        let breadth = usize::try_from(end).unwrap_or(usize::MAX);
        let first = first.min(end);
        let breadth = breadth.min(usize::try_from(first).unwrap_or(usize::MAX).saturating_add(LISTED_MAX));
        let bounds = values::Bounds { depth: DEPTH_MAX, breadth, string_bytes: Bounds::default().text_bytes };
        let listing = Some(Listing::from(first));
        let (variable, listing) = self.decoding(bounds, usize::MAX, listing, |decoder| {
            let decoded = match kind {
                Kind::Whole(die) => {
                    let kind = decoder.view.read_type(*die);
                    decoder.decode(&kind, spot, 0)
                }
                Kind::Row(element, counts) => decoder.array(*element, counts, spot, 0),
            };
            decoder.finish(Variable { name: name.clone(), ..Variable::default() }, decoded)
        });
        let listing = listing.unwrap_or_default();
        let (marks, mut children): (Vec<_>, Vec<_>) = variable.children.into_iter().partition(|child| {
            child.name == "…" && matches!(child.value, Value::Cut(_)) && listing.place(&child.value).is_none()
        });
        let surplus = usize::try_from(listing.surplus()).unwrap_or(usize::MAX).min(children.len());
        children.drain(..surplus);
        let mut children = places(&self.view, children, &listing);
        self.hide_pair(&mut children);
        let cut = marks.into_iter().find_map(|mark| match mark.value {
            Value::Cut(why) => Some(why),
            _ => None,
        });
        Ok(Children { children, cut, count: listing.count.get(), value: variable.value })
    }

    fn pointee(&self, place: &Place) -> Result<Option<Place>, Failure> {
        Ok(self.pointer(place)?.map(|(_, target, address)| Place::At {
            kind: Kind::Whole(target),
            spot: Spot::Memory(address),
            name: "*".to_owned(),
            hidden: None,
        }))
    }

    fn element(&self, place: &Place, number: u64) -> Result<Option<Place>, Failure> {
        let Some((pointer, target, address)) = self.pointer(place)? else { return Ok(None) };
        let name = pointer.name.trim();
        let is_raw = match pointer.language {
            Language::Rust => name.starts_with("*const ") || name.starts_with("*mut "),
            _ => !name.ends_with('&'),
        };
        if !is_raw {
            return Ok(None);
        }
        let size = self.view.read_type(target).size.filter(|size| *size > 0).ok_or_else(|| {
            Failure::new(Obstacle::Unfit, format!("the size of what {name} points to is not known"))
        })?;
        let at =
            number.checked_mul(size).and_then(|offset| address.checked_add(offset)).ok_or_else(|| {
                Failure::new(Obstacle::Arithmetic, "the element lies behind the end of all memory")
            })?;
        let (kind, spot) = (Kind::Whole(target), Spot::Memory(at));
        Ok(Some(Place::At { kind, spot, name: format!("[{number}]"), hidden: None }))
    }

    fn address(&self, place: &Place) -> Result<u64, Failure> {
        match place {
            Place::At { spot: Spot::Memory(address), .. } => Ok(*address),
            Place::At { .. } => {
                let failure = Failure::new(Obstacle::Unavailable, "this has no address");
                Err(failure.why("it lies in registers, or was put together from parts"))
            }
            Place::Ready(_) => Err(Failure::new(Obstacle::Unavailable, "this has no address")),
        }
    }

    fn variants(&self, place: &Place) -> Vec<String> {
        let Place::At { kind, .. } = place else { return Vec::new() };
        let Some(kind) = self.whole(kind) else { return Vec::new() };
        match &kind.shape {
            Shape::Enumeration { names, .. } => names.iter().map(|(_, name)| name.clone()).collect(),
            Shape::Record(record) => {
                let cases = record.variants.iter().flat_map(|variants| &variants.cases);
                cases.filter_map(|case| Some(case.member.as_ref()?.name.clone())).collect()
            }
            _ => Vec::new(),
        }
    }

    fn hidden(&self, place: &Place) -> Option<String> {
        let redactor = self.redactor?;
        match place {
            Place::At { hidden: Some(why), .. } => Some(why.clone()),
            Place::At { name, kind, .. } => redactor.name(name).or_else(|| {
                let kind = self.whole(kind)?;
                redactor.type_path(kind.plain_path())
            }),
            Place::Ready(Variable { value: Value::Redacted(why), .. }) => Some(why.clone()),
            Place::Ready(_) => None,
        }
    }

    fn show(&self, place: &Place, name: &str, bounds: &Bounds) -> Variable {
        let shown = match place {
            Place::At { hidden: Some(why), .. } => {
                let type_name = self.type_name(place);
                Variable { type_name, value: Value::Redacted(why.clone()), ..Variable::default() }
            }
            Place::At { .. } if bounds.offset > 0 && self.hidden(place).is_none() => {
                self.show_page(place, bounds).unwrap_or_else(|failure| Variable {
                    type_name: self.type_name(place),
                    value: Value::Unavailable(failure.what),
                    ..Variable::default()
                })
            }
            Place::At { kind, spot, name, .. } => self.show_at(kind, spot, name, bounds),
            Place::Ready(variable) => variable.clone(),
        };
        Variable { name: name.to_owned(), ..shown }
    }

    fn type_name(&self, place: &Place) -> String {
        match place {
            Place::At { kind, .. } => self.kind_name(kind),
            Place::Ready(variable) => variable.type_name.clone(),
        }
    }

    fn missing(&self, failure: Failure) -> Failure {
        failure
    }
}

fn unavailable(absent: &Absent) -> Failure {
    Failure::new(Obstacle::Unavailable, "this has no value").why(absent.to_string())
}

fn count(variable: &Variable) -> usize {
    variable.children.iter().map(count).fold(1, usize::saturating_add)
}
