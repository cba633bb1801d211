//! Values as text and children: what the shape of a type alone says. Libraries' types are in `language`.
//!
//! Every limit that cuts something leaves a mark in its place, and every text passes the redactor here, before anything
//! else sees it.

use std::rc::Rc;

use freezeframe_model::{Value, Variable, VariableRole};
use freezeframe_redact::Redactor;

use crate::decoded::{
    Budget, Decoded, Form, NUMBER_BYTES_MAX, is_signed, mark_cut, not_decoded, quote, show_address,
    signed_value, size_of, truncate, unsigned,
};
use crate::dwarf::location::Spot;
use crate::dwarf::types::{Member, Record, Shape, Type, Variants};
use crate::dwarf::{Die, View};
use crate::expression::{Absent, Environment, Reader, evaluate_address};
use crate::inspect::Listing;
use crate::language;
use crate::memory::Memory;

/// Hard end of recursion, whatever the options say: each level costs our own stack.
pub(crate) const DEPTH_MAX: usize = 32;

/// How much of a key is read to name an entry in a listing.
const LISTED_KEY_DEPTH: usize = 3;
const LISTED_KEY_BREADTH: usize = 16;
const LISTED_KEY_VARIABLES: usize = 64;

/// Bounds of one value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) depth: usize,
    /// Elements and fields up to this one are shown.
    pub(crate) breadth: usize,
    pub(crate) string_bytes: usize,
}

/// An expression's surroundings where there is no frame.
struct OfMemory<'m>(&'m dyn Memory);

impl<'a> Environment<'a> for OfMemory<'_> {
    fn memory(&self) -> &dyn Memory {
        self.0
    }
    fn register(&self, _: u16) -> Option<u64> {
        None
    }
    fn bias(&self) -> u64 {
        0
    }
}

/// Names of single bits that together are the value.
fn flags(value: u128, names: &[(i128, String)], size: usize) -> Option<String> {
    let mut rest = value;
    let mut found = Vec::new();
    for (number, name) in names {
        let bit = truncate(*number as u128, size);
        if bit.is_power_of_two() && rest & bit != 0 {
            rest &= !bit;
            found.push(name.as_str());
        }
    }
    (rest == 0 && found.len() > 1).then(|| found.join(" | "))
}

/// Decodes values of one module's types.
pub(crate) struct Decoder<'d, 'a> {
    pub(crate) view: &'d View<'a>,
    pub(crate) memory: &'d dyn Memory,
    /// Without one, nothing is redacted: for a person who asked to see behind it.
    pub(crate) redactor: Option<&'d Redactor>,
    pub(crate) budget: &'d mut Budget,
    pub(crate) bounds: Bounds,
    /// The concrete type whose vtable lies at an address in the process.
    pub(crate) type_of_vtable: &'d dyn Fn(u64) -> Option<Die>,
    /// Names a function by an address in the process.
    pub(crate) function_at: &'d dyn Fn(u64) -> Option<String>,
    /// Where given, direct children are entered here instead of being decoded.
    pub(crate) listing: Option<Listing>,
}

impl Decoder<'_, '_> {
    /// A variable with everything below it.
    pub(crate) fn variable(
        &mut self,
        name: &str,
        role: VariableRole,
        kind: Option<Die>,
        spot: Result<Spot, Absent>,
        depth: usize,
    ) -> Variable {
        let mut variable = Variable { name: name.to_owned(), role, ..Variable::default() };
        if let Some(listing) = &mut self.listing {
            variable.value = listing.enter(name, kind, spot);
            return variable;
        }
        if let Err(cut) = self.budget.take() {
            variable.value = cut;
            return variable;
        }
        let Some(kind) = kind else {
            variable.value = Value::Unavailable("its type is not recorded".to_owned());
            return variable;
        };
        let kind = self.view.read_type(kind);
        variable.type_name.clone_from(&kind.name);
        let spot = match spot {
            Ok(spot) => spot,
            Err(absent) => {
                variable.value = absent.into();
                return variable;
            }
        };
        if let Some(reason) = self.redactor.and_then(|redactor| redactor.type_path(kind.plain_path())) {
            variable.value = Value::Redacted(reason);
            return variable;
        }
        let decoded = self.decode(&kind, &spot, depth);
        self.finish(variable, decoded)
    }

    /// A text that stands for itself, without the secrets in it.
    pub(crate) fn redacted(&self, text: &str) -> String {
        self.redactor.map_or_else(|| text.to_owned(), |redactor| redactor.text(text).into_owned())
    }

    /// A map's key, which names the entry: decoded also where children are only listed.
    pub(crate) fn key(&mut self, kind: Die, spot: Spot, depth: usize) -> Variable {
        let listing = self.listing.take();
        let bounds = self.bounds;
        if listing.is_some() {
            self.bounds = Bounds { depth: depth + LISTED_KEY_DEPTH, breadth: LISTED_KEY_BREADTH, ..bounds };
            self.budget.begin_root(LISTED_KEY_VARIABLES);
        }
        let key = self.variable("", VariableRole::Member, Some(kind), Ok(spot), depth + 1);
        (self.listing, self.bounds) = (listing, bounds);
        key
    }

    /// Redacts and shows.
    pub(crate) fn finish(&self, mut variable: Variable, decoded: Decoded) -> Variable {
        let name = variable.name.as_str();
        let hidden = |text: &str| self.redactor.and_then(|redactor| redactor.variable(name, text));
        variable.value = match decoded.form {
            Form::Composite => match self.redactor.and_then(|redactor| redactor.name(name)) {
                Some(reason) => Value::Redacted(reason),
                None => Value::Composite,
            },
            Form::Absent(why) => Value::Unavailable(why),
            Form::Cut(why) => Value::Cut(why),
            Form::Plain(text) => hidden(&text).map_or_else(|| Value::Text(text), Value::Redacted),
            Form::Quoted { prefix, text, cut } => hidden(&text).map_or_else(
                || {
                    let clean = self.redactor.map_or_else(|| text.as_str().into(), |r| r.text(&text));
                    Value::Text(quote(prefix, &clean, cut))
                },
                Value::Redacted,
            ),
        };
        if !matches!(variable.value, Value::Redacted(_)) {
            variable.children = decoded.children;
            self.redact_pair(&mut variable.children);
        }
        variable
    }

    /// A pair of a text and something is taken for a named value: headers, form fields, map entries.
    fn redact_pair(&self, children: &mut [Variable]) {
        let (Some(redactor), [first, second]) = (self.redactor, children) else { return };
        let Value::Text(key) = &first.value else { return };
        let Some(key) = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')) else { return };
        if let Some(reason) = redactor.name(key) {
            second.value = Value::Redacted(reason);
            second.children = Vec::new();
        }
    }

    /// The value of a type at a place.
    pub(crate) fn decode(&mut self, kind: &Rc<Type>, spot: &Spot, depth: usize) -> Decoded {
        if depth > DEPTH_MAX {
            return Decoded::cut("deeper than can be shown");
        }
        if let Some(decoded) = language::decode(self, kind, spot, depth) {
            return decoded;
        }
        match &kind.shape {
            Shape::Number(encoding) => self.number(kind, *encoding, spot).unwrap_or_else(Decoded::from),
            Shape::Pointer(target) => self.pointer(*target, spot, depth),
            Shape::Record(record) => self.record(kind, record, spot, depth),
            Shape::Array(element, counts) => self.array(*element, counts, spot, depth),
            Shape::Enumeration { signed, names } => {
                self.enumeration(kind, *signed, names, spot).unwrap_or_else(Decoded::from)
            }
            Shape::Function => Decoded::plain("function"),
            Shape::MemberPointer(to_function) => {
                language::member_pointer(self, *to_function, spot).unwrap_or_else(Decoded::from)
            }
            Shape::Nothing => Decoded::plain("()"),
            Shape::Other => not_decoded(&kind.name),
        }
    }

    fn number(&self, kind: &Type, encoding: gimli::DwAte, spot: &Spot) -> Result<Decoded, Absent> {
        let size = size_of(kind)?;
        if size == 0 {
            return Ok(Decoded::plain("()"));
        }
        let bytes = spot.read(self.memory, size, NUMBER_BYTES_MAX).map_err(|absent| match absent {
            Absent::Unreadable(_) if size > NUMBER_BYTES_MAX => {
                Absent::NotDecoded(format!("type {}", kind.name))
            }
            other => other,
        })?;
        language::number(kind, encoding, &bytes)
            .ok_or_else(|| Absent::NotDecoded(format!("type {}", kind.name)))
    }

    /// An unsigned number of at most 8 bytes, or an address.
    pub(crate) fn word(&self, kind: &Type, spot: &Spot) -> Result<u64, Absent> {
        let bytes = spot.read(self.memory, size_of(kind)?, 8)?;
        u64::try_from(unsigned(&bytes)).map_err(|_| Absent::Damaged)
    }

    fn pointer(&mut self, target: Option<Die>, spot: &Spot, depth: usize) -> Decoded {
        if let (Some(implied), Some(target)) = (spot.implied(), target) {
            let mut decoded = Decoded::plain("(the pointer itself is optimised out)");
            if depth < self.bounds.depth {
                let pointee = self.variable("*", VariableRole::Member, Some(target), Ok(implied), depth + 1);
                decoded.children = vec![pointee];
            }
            return decoded;
        }
        let address = match spot.read(self.memory, 8, 8) {
            Ok(bytes) => unsigned(&bytes) as u64,
            Err(absent) => return absent.into(),
        };
        let Some(target) = target else { return Decoded::plain(show_address(address)) };
        let kind = self.view.read_type(target);
        if let Shape::Function = kind.shape {
            let name = (self.function_at)(address).map(|name| format!(" <{name}>")).unwrap_or_default();
            return Decoded::plain(format!("{}{name}", show_address(address)));
        }
        if address == 0 || matches!(kind.shape, Shape::Nothing) {
            return Decoded::plain(show_address(address));
        }
        let mut decoded = Decoded::plain(show_address(address));
        let (target, address) = language::dynamic_object(self, &kind, address).unwrap_or((target, address));
        decoded.children = self.pointee(target, address, depth);
        decoded
    }

    /// What a pointer points to, as its only child.
    pub(crate) fn pointee(&mut self, target: Die, address: u64, depth: usize) -> Vec<Variable> {
        if depth >= self.bounds.depth {
            return vec![mark_cut("*", "deeper than the limit")];
        }
        vec![self.variable("*", VariableRole::Member, Some(target), Ok(Spot::Memory(address)), depth + 1)]
    }

    /// A struct's members.
    pub(crate) fn record(&mut self, kind: &Type, record: &Record, spot: &Spot, depth: usize) -> Decoded {
        if record.is_declaration {
            return Decoded::absent(format!("type {} is only declared in this module", kind.name));
        }
        if let Some(variants) = &record.variants {
            return self.variants(record, variants, spot, depth);
        }
        if record.members.is_empty() {
            return Decoded::plain(if kind.name == "()" { "()" } else { "{}" });
        }
        if depth >= self.bounds.depth {
            return Decoded::cut("deeper than the limit");
        }
        Decoded::composite(self.members(&record.members, spot, depth))
    }

    pub(crate) fn members(&mut self, members: &[Member], spot: &Spot, depth: usize) -> Vec<Variable> {
        self.each(members, |decoder, member| decoder.of_member(member, spot, depth + 1))
    }

    /// Members that are the locals of a frame: each is a root, and a large one leaves room for the others.
    pub(crate) fn locals(&mut self, members: &[Member], spot: &Spot, variables_each: usize) -> Vec<Variable> {
        self.each(members, |decoder, member| {
            decoder.budget.begin_root(variables_each);
            Variable { role: VariableRole::Local, ..decoder.of_member(member, spot, 0) }
        })
    }

    /// Of the members that say something as many as may be; then how many more there are.
    fn each(
        &mut self,
        members: &[Member],
        mut read: impl FnMut(&mut Self, &Member) -> Variable,
    ) -> Vec<Variable> {
        let members: Vec<&Member> = members.iter().filter(|member| !self.says_nothing(member)).collect();
        let shown = members.iter().take(self.bounds.breadth);
        let mut children: Vec<Variable> = shown.map(|member| read(self, member)).collect();
        self.mark_rest(&mut children, members.len() as u64);
        children
    }

    fn of_member(&mut self, member: &Member, spot: &Spot, depth: usize) -> Variable {
        let name = language::member_name(&member.name);
        if let Some(bits) = member.bits {
            return self.bit_field(name, member, bits, spot);
        }
        let place = self.place(member, spot);
        self.variable(name, VariableRole::Member, member.kind, place, depth)
    }

    /// The compiler's own members, and base classes that are there for their functions alone.
    fn says_nothing(&self, member: &Member) -> bool {
        let is_empty = |kind: Die| {
            self.view.read_type(kind).record().is_some_and(|record| {
                record.members.is_empty() && record.variants.is_none() && !record.is_declaration
            })
        };
        member.is_artificial || (member.is_base && member.kind.is_some_and(is_empty))
    }

    /// Where a member of the record at `spot` is.
    pub(crate) fn place(&self, member: &Member, spot: &Spot) -> Result<Spot, Absent> {
        if let Some(offset) = member.offset {
            return Ok(spot.at(offset));
        }
        let absent = || Absent::NotDecoded("a member in a place of this kind".to_owned());
        let (expression, encoding) = member.computed.as_ref().ok_or_else(absent)?;
        // Virtual bases lie where the object's table says, so the object must lie in memory.
        let Spot::Memory(address) = spot else { return Err(absent()) };
        let expression = gimli::Expression(Reader::new(expression, gimli::LittleEndian));
        evaluate_address(expression, *encoding, &OfMemory(self.memory), Some(*address)).map(Spot::Memory)
    }

    fn bit_field(&mut self, name: &str, member: &Member, (begin, size): (u64, u64), spot: &Spot) -> Variable {
        let kind = member.kind.map(|kind| self.view.read_type(kind));
        let type_name = kind.as_ref().map(|kind| kind.name.clone()).unwrap_or_default();
        let read = || {
            let kind = kind.as_ref().ok_or(Absent::Damaged)?;
            if size == 0 || size > 64 {
                return Err(Absent::Damaged);
            }
            let length = usize::try_from((begin % 8 + size).div_ceil(8)).map_err(|_| Absent::Damaged)?;
            let bytes = spot.at(begin / 8).read(self.memory, length, NUMBER_BYTES_MAX)?;
            let value = (unsigned(&bytes) >> (begin % 8)) & (u128::MAX >> (128 - size));
            let negative = is_signed(kind) && value >> (size - 1) == 1;
            let value = if negative { value | !(u128::MAX >> (128 - size)) } else { value };
            let bytes = value.to_le_bytes();
            let bytes = Spot::of_bytes(bytes.get(..size_of(kind)?).ok_or(Absent::Damaged)?.to_vec());
            match &kind.shape {
                Shape::Number(encoding) => self.number(kind, *encoding, &bytes),
                Shape::Enumeration { signed, names } => self.enumeration(kind, *signed, names, &bytes),
                _ => Err(Absent::Damaged),
            }
        };
        let decoded = read().unwrap_or_else(Decoded::from);
        let variable =
            Variable { name: name.to_owned(), type_name, role: VariableRole::Member, ..Variable::default() };
        match self.budget.take() {
            Ok(()) => self.finish(variable, decoded),
            Err(cut) => Variable { value: cut, ..variable },
        }
    }

    /// The active alternative's name, with its members as children.
    fn variants(&mut self, record: &Record, variants: &Variants, spot: &Spot, depth: usize) -> Decoded {
        let member = match self.active_case(variants, spot) {
            Ok(member) => member,
            Err(absent) => return absent.into(),
        };
        let mut decoded = Decoded::plain(member.name.clone());
        let Some(kind) = member.kind.map(|kind| self.view.read_type(kind)) else { return decoded };
        let place = spot.at(member.offset.unwrap_or(0));
        let members = kind.record().map(|record| record.members.as_slice()).unwrap_or_default();
        if !members.is_empty() || !record.members.is_empty() {
            if depth >= self.bounds.depth {
                decoded.children = vec![mark_cut("…", "deeper than the limit")];
            } else {
                decoded.children = self.members(members, &place, depth);
                decoded.children.extend(self.members(&record.members, spot, depth));
            }
        }
        decoded
    }

    /// The member of the alternative that the discriminant selects.
    pub(crate) fn active_case(&self, variants: &Variants, spot: &Spot) -> Result<Member, Absent> {
        let selected = match &variants.discriminant {
            None => variants.cases.first(),
            Some(discriminant) => {
                let kind = self.view.read_type(discriminant.kind.ok_or(Absent::Damaged)?);
                let size = size_of(&kind)?;
                let place = spot.at(discriminant.offset.unwrap_or(0));
                let value = unsigned(&place.read(self.memory, size, NUMBER_BYTES_MAX)?);
                let exact = variants
                    .cases
                    .iter()
                    .find(|case| case.value.is_some_and(|wanted| truncate(wanted, size) == value));
                exact.or_else(|| variants.cases.iter().find(|case| case.value.is_none()))
            }
        };
        let member = selected.and_then(|case| case.member.clone());
        member.ok_or_else(|| Absent::NotDecoded("a value that is none of the enum's variants".to_owned()))
    }

    fn enumeration(
        &self,
        kind: &Type,
        signed: bool,
        names: &[(i128, String)],
        spot: &Spot,
    ) -> Result<Decoded, Absent> {
        let size = size_of(kind)?;
        let value = unsigned(&spot.read(self.memory, size, NUMBER_BYTES_MAX)?);
        let named = names.iter().find(|(number, _)| truncate(*number as u128, size) == value);
        Ok(Decoded::plain(match named {
            Some((_, name)) => name.clone(),
            None if let Some(flags) = flags(value, names, size) => flags,
            None if signed => format!("{} (none of its names)", signed_value(value, size)),
            None => format!("{value} (none of its names)"),
        }))
    }

    pub(crate) fn array(
        &mut self,
        element: Die,
        counts: &[Option<u64>],
        spot: &Spot,
        depth: usize,
    ) -> Decoded {
        let kind = self.view.read_type(element);
        let (count, inner) = counts.split_first().map_or((None, counts), |(count, inner)| (*count, inner));
        let Some(count) = count else { return Decoded::absent("its length is not recorded") };
        let is_text = kind.is_char() || kind.is_byte();
        if inner.is_empty() && is_text && self.listing.is_none() {
            return self.bytes(&kind, spot, count);
        }
        let Some(stride) =
            inner.iter().try_fold(kind.size.unwrap_or(0), |all, count| all.checked_mul((*count)?))
        else {
            return Decoded::absent("its length is not recorded");
        };
        if depth >= self.bounds.depth && count > 0 {
            return Decoded::cut("deeper than the limit");
        }
        let mut children = Vec::new();
        for index in self.window(count) {
            let place = spot.at(index.wrapping_mul(stride));
            let name = format!("[{index}]");
            if inner.is_empty() {
                children.push(self.variable(
                    &name,
                    VariableRole::Member,
                    Some(element),
                    Ok(place),
                    depth + 1,
                ));
            } else if let Some(listing) = &mut self.listing {
                let value = listing.enter_row(&name, element, inner, place);
                children.push(Variable { name, role: VariableRole::Member, value, ..Variable::default() });
            } else {
                let decoded = self.array(element, inner, &place, depth + 1);
                let variable = Variable { name, role: VariableRole::Member, ..Variable::default() };
                children.push(self.finish(variable, decoded));
            }
        }
        self.mark_rest(&mut children, count);
        Decoded::composite(children)
    }

    /// An array of characters or bytes.
    fn bytes(&self, kind: &Type, spot: &Spot, count: u64) -> Decoded {
        let length = usize::try_from(count).unwrap_or(usize::MAX).min(self.bounds.string_bytes);
        let cut = (length as u64) < count;
        let bytes = match spot.read(self.memory, length, self.bounds.string_bytes) {
            Ok(bytes) => bytes,
            Err(absent) => return absent.into(),
        };
        if language::is_text(kind) {
            let end = bytes.iter().position(|byte| *byte == 0);
            let text = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
            return Decoded::quoted(text, cut && end.is_none());
        }
        Decoded::byte_string(&bytes, cut)
    }

    /// `count` elements that lie one behind the other at an address.
    pub(crate) fn elements(&mut self, element: Die, address: u64, count: u64, depth: usize) -> Decoded {
        self.array(element, &[Some(count)], &Spot::Memory(address), depth)
    }

    /// Text at an address, cut to the bound.
    pub(crate) fn text(&self, address: u64, length: u64) -> Decoded {
        if let Some(listing) = &self.listing {
            listing.count.set(Some(length));
        }
        let shown = usize::try_from(length).unwrap_or(usize::MAX).min(self.bounds.string_bytes);
        match self.memory.read_bytes(address, shown, self.bounds.string_bytes) {
            Ok(bytes) => Decoded::quoted(&bytes, (shown as u64) < length),
            Err(unreadable) => Absent::from(unreadable).into(),
        }
    }

    /// The elements that are to be shown, of a sequence that can begin with any of them.
    pub(crate) fn window(&mut self, count: u64) -> std::ops::Range<u64> {
        let first = self.listing.as_mut().map_or(0, Listing::begin);
        first.min(count)..count.min(self.bounds.breadth as u64)
    }

    /// One entry of a map, named by its key.
    pub(crate) fn entry(
        &mut self,
        key: (&Rc<Type>, &Spot),
        value: (&Rc<Type>, &Spot),
        depth: usize,
    ) -> Variable {
        let shown = self.key(key.0.die, key.1.clone(), depth);
        let name = match &shown.value {
            Value::Text(text) => format!("[{text}]"),
            Value::Redacted(reason) => format!("[redacted: {reason}]"),
            _ => "[…]".to_owned(),
        };
        // Redaction goes by the bare key.
        let bare = name.trim_matches(['[', ']', '"']).to_owned();
        let mut variable =
            self.variable(&bare, VariableRole::Member, Some(value.0.die), Ok(value.1.clone()), depth + 1);
        variable.name = name;
        if !shown.children.is_empty() {
            let key = Variable { name: "key".to_owned(), ..shown };
            variable.children.insert(0, key);
        }
        variable
    }

    /// Says how many elements are not shown.
    pub(crate) fn mark_rest(&self, children: &mut Vec<Variable>, count: u64) {
        if let Some(listing) = &self.listing {
            listing.count.set(Some(count));
        }
        let left = count.saturating_sub(self.bounds.breadth as u64);
        if left > 0 {
            children.push(mark_cut("…", &format!("{left} more")));
        }
    }

    /// A member by name, with its type and place.
    pub(crate) fn member(&self, kind: &Type, name: &str, spot: &Spot) -> Option<(Rc<Type>, Spot)> {
        let member = kind.record()?.member(name)?;
        Some((self.view.read_type(member.kind?), spot.at(member.offset?)))
    }
}
