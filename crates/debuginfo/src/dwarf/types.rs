//! Types as values need them (DWARF 5, chapter 5): shape, members, names. Knows no language's standard library.

use std::rc::Rc;

use gimli::{AttributeValue, DwAte};

use super::{Attribute, Die, Entry, Patience, Unit, View};
use crate::language::{self, Language};

/// Members, enumerators or variants of one type that are read.
const CHILDREN_MAX: usize = 10_000;
/// Entries below one type that are passed over to find its members.
const ENTRIES_MAX: usize = 100_000;
/// `const` of `typedef` of `volatile` of …
const WRAPPERS_MAX: usize = 32;
/// Types that need each other to be read.
const NESTING_MAX: usize = 24;
/// Nesting up to which a type's name is spelled out.
const NAME_DEPTH_MAX: usize = 12;

/// A type without its `const`, `volatile` and `typedef`.
#[derive(Debug)]
pub(crate) struct Type {
    /// The entry that describes the shape.
    pub(crate) die: Die,
    /// As the language writes it, with `typedef` names kept.
    pub(crate) name: String,
    /// Name within its scopes, where it has one.
    pub(crate) path: String,
    pub(crate) size: Option<u64>,
    pub(crate) language: Language,
    pub(crate) shape: Shape,
}

#[derive(Debug)]
pub(crate) enum Shape {
    Number(DwAte),
    /// Also references.
    Pointer(Option<Die>),
    Record(Record),
    /// Element and length of each dimension, outermost first; `None` where the length is open.
    Array(Die, Vec<Option<u64>>),
    Enumeration {
        signed: bool,
        names: Vec<(i128, String)>,
    },
    Function,
    /// C++'s pointers to members; to functions where the flag says so.
    MemberPointer(bool),
    /// `void` and `nullptr_t`.
    Nothing,
    /// A type of this kind is not read.
    Other,
}

/// Structs, classes, unions, tuples; and Rust's enums.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) members: Vec<Member>,
    /// Type parameters by name.
    pub(crate) parameters: Vec<(String, Die)>,
    /// Those of a parameter pack.
    pack: Vec<Die>,
    pub(crate) variants: Option<Variants>,
    pub(crate) is_declaration: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) kind: Option<Die>,
    /// Bytes from the beginning of the record; `None` where it depends on the value (virtual bases).
    pub(crate) offset: Option<u64>,
    /// What computes the place from the record's address, where it depends on the value.
    pub(crate) computed: Option<(Vec<u8>, gimli::Encoding)>,
    /// Bits from the beginning of the record, and how many.
    pub(crate) bits: Option<(u64, u64)>,
    pub(crate) is_base: bool,
    /// The compiler's own: a pointer to a table of virtual functions.
    pub(crate) is_artificial: bool,
}

/// Alternatives of which one is active (`DW_TAG_variant_part`).
#[derive(Debug, Default)]
pub(crate) struct Variants {
    /// What tells them apart; `None` where there is but one.
    pub(crate) discriminant: Option<Member>,
    pub(crate) cases: Vec<Case>,
}

#[derive(Debug)]
pub(crate) struct Case {
    /// Values of the discriminant; `None` for "all others".
    pub(crate) value: Option<u128>,
    pub(crate) member: Option<Member>,
    /// Where the variant was declared: in a coroutine, the point of suspension.
    pub(crate) line: u32,
    /// Number of that line's file in the unit's line table.
    pub(crate) file: u64,
}

impl Type {
    fn unread(die: Die, why: &str) -> Self {
        let (name, path) = (why.to_owned(), String::new());
        Self { die, name, path, size: None, language: Language::Other, shape: Shape::Other }
    }

    /// Whether this is text's or memory's smallest unit, and which.
    pub(crate) fn is_byte(&self) -> bool {
        self.size == Some(1)
            && matches!(self.shape, Shape::Number(gimli::DW_ATE_unsigned | gimli::DW_ATE_unsigned_char))
    }

    /// Whether this is a character of C.
    pub(crate) fn is_char(&self) -> bool {
        self.size == Some(1)
            && matches!(self.shape, Shape::Number(gimli::DW_ATE_signed_char | gimli::DW_ATE_unsigned_char))
    }

    pub(crate) fn record(&self) -> Option<&Record> {
        match &self.shape {
            Shape::Record(record) => Some(record),
            _ => None,
        }
    }

    /// The path without its generic arguments: `alloc::vec::Vec`.
    pub(crate) fn plain_path(&self) -> &str {
        self.path.split('<').next().unwrap_or_default()
    }
}

impl Record {
    /// The types of a parameter pack, in order.
    pub(crate) fn pack(&self) -> impl Iterator<Item = Die> {
        self.pack.iter().copied()
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<Die> {
        self.parameters.iter().find(|(parameter, _)| parameter == name).map(|(_, kind)| *kind)
    }
}

impl<'a> View<'a> {
    /// The type of a variable or member; `None` where the entry names none.
    pub(crate) fn type_of(&self, die: Die) -> Option<Die> {
        let (from, reference) = self.inherited(die, gimli::DW_AT_type)?;
        self.resolve(from.unit, reference)
    }

    /// Reads a type, or takes it from those that were read before.
    pub(crate) fn read_type(&self, die: Die) -> Rc<Type> {
        if let Some(known) = self.types.borrow().get(&die) {
            return known.clone();
        }
        let depth = self.nesting.get();
        if depth > NESTING_MAX {
            return Rc::new(Type::unread(die, "of types without end"));
        }
        self.nesting.set(depth.saturating_add(1));
        let read = Rc::new(self.build(die));
        self.nesting.set(depth);
        self.types.borrow_mut().insert(die, read.clone());
        read
    }

    fn build(&self, named: Die) -> Type {
        let name = self.type_name(Some(named), 0);
        let mut at = named;
        for _ in 0..WRAPPERS_MAX {
            let Some((unit, entry)) = self.entry(at) else { return Type::unread(named, "unreadable") };
            // Described in a unit of its own; what stands here is a declaration, if anything.
            if let Some(described) = self.elsewhere(at, &entry) {
                at = described;
                continue;
            }
            if !is_wrapper(entry.tag()) {
                return self.build_plain(at, &unit, &entry, name);
            }
            let inner = entry.attr_value(gimli::DW_AT_type).and_then(|inner| self.resolve(at.unit, inner));
            match inner {
                Some(inner) => at = inner,
                None => return Type { shape: Shape::Nothing, ..Type::unread(named, &name) },
            }
        }
        Type::unread(named, "of types without end")
    }

    fn build_plain(&self, die: Die, unit: &Unit<'a>, entry: &Entry<'a>, name: String) -> Type {
        let number =
            |attribute| entry.attr_value(attribute).and_then(|value: Attribute<'a>| value.udata_value());
        let inner = entry.attr_value(gimli::DW_AT_type).and_then(|inner| self.resolve(die.unit, inner));
        let mut size = number(gimli::DW_AT_byte_size);
        let shape = match entry.tag() {
            gimli::DW_TAG_base_type => match entry.attr_value(gimli::DW_AT_encoding) {
                Some(AttributeValue::Encoding(encoding)) => Shape::Number(encoding),
                _ => Shape::Other,
            },
            gimli::DW_TAG_pointer_type
            | gimli::DW_TAG_reference_type
            | gimli::DW_TAG_rvalue_reference_type => {
                size = size.or(Some(u64::from(crate::arch::ADDRESS_SIZE)));
                Shape::Pointer(inner)
            }
            gimli::DW_TAG_structure_type | gimli::DW_TAG_class_type | gimli::DW_TAG_union_type => {
                Shape::Record(self.record(die, unit, entry))
            }
            gimli::DW_TAG_array_type => match inner {
                Some(element) => Shape::Array(element, self.dimensions(die, unit)),
                None => Shape::Other,
            },
            gimli::DW_TAG_enumeration_type => {
                let signed = inner.is_some_and(|inner| self.is_signed(inner));
                Shape::Enumeration { signed, names: self.enumerators(die, unit) }
            }
            gimli::DW_TAG_subroutine_type => Shape::Function,
            gimli::DW_TAG_ptr_to_member_type => {
                let to_function = inner.is_some_and(|inner| self.is_function(inner));
                size = size.or(Some(if to_function { 16 } else { 8 }));
                Shape::MemberPointer(to_function)
            }
            gimli::DW_TAG_unspecified_type => Shape::Nothing,
            _ => Shape::Other,
        };
        if let (None, Shape::Array(element, counts)) = (size, &shape) {
            let count = counts.iter().try_fold(1u64, |all, count| all.checked_mul((*count)?));
            size = count.and_then(|count| count.checked_mul(self.read_type(*element).size?));
        }
        let path = self.qualified_name(die).unwrap_or_default();
        Type { die, name, path, size, language: unit.language(), shape }
    }

    /// The entry in a type unit that an entry stands for.
    fn elsewhere(&self, die: Die, entry: &Entry<'a>) -> Option<Die> {
        let described = self.resolve(die.unit, entry.attr_value(gimli::DW_AT_signature)?)?;
        (described != die).then_some(described)
    }

    fn is_signed(&self, die: Die) -> bool {
        let encoding = self.inherited(die, gimli::DW_AT_encoding).map(|(_, encoding)| encoding);
        matches!(encoding, Some(AttributeValue::Encoding(gimli::DW_ATE_signed | gimli::DW_ATE_signed_char)))
    }

    /// The children of an entry that `take` accepts, with their depth below it.
    fn children<T>(
        &self,
        die: Die,
        unit: &Unit<'a>,
        deepest: isize,
        mut take: impl FnMut(isize, &Entry<'a>) -> Option<T>,
    ) -> Vec<T> {
        let mut found = Vec::new();
        let Ok(mut entries) = unit.unit.entries_at_offset(die.offset) else { return found };
        let mut base = None;
        let mut patience = Patience::new();
        for _ in 0..ENTRIES_MAX {
            let Ok(Some(entry)) = entries.next_dfs() else { break };
            if patience.is_over() {
                break;
            }
            let depth = entry.depth();
            let Some(base) = base else {
                base = Some(depth);
                continue;
            };
            let below = depth.saturating_sub(base);
            if below <= 0 || found.len() >= CHILDREN_MAX {
                break;
            }
            if below <= deepest {
                found.extend(take(below, entry));
            }
        }
        found
    }

    fn record(&self, die: Die, unit: &Unit<'a>, entry: &Entry<'a>) -> Record {
        let mut record =
            Record { is_declaration: entry.has_attr(gimli::DW_AT_declaration), ..Record::default() };
        let mut variants: Option<Variants> = None;
        let mut discriminant = None;
        let mut part_depth = None;
        let mut in_pack = false;
        self.children(die, unit, 3, |depth, entry| {
            // Members of nested types are theirs: only a variant part is looked into.
            if depth == 1 {
                part_depth = None;
                in_pack = false;
            }
            match (depth, entry.tag()) {
                // Static members have no place in the record.
                (1, gimli::DW_TAG_member | gimli::DW_TAG_inheritance)
                    if !entry.has_attr(gimli::DW_AT_external)
                        && !entry.has_attr(gimli::DW_AT_declaration) =>
                {
                    record.members.push(self.member(die.unit, unit, entry));
                }
                (1, gimli::DW_TAG_template_type_parameter) => {
                    let name = entry.attr_value(gimli::DW_AT_name).and_then(|name| self.text(unit, name));
                    let kind =
                        entry.attr_value(gimli::DW_AT_type).and_then(|kind| self.resolve(die.unit, kind));
                    record.parameters.extend(name.zip(kind));
                }
                (1, gimli::DW_TAG_GNU_template_parameter_pack) => in_pack = true,
                (2, gimli::DW_TAG_template_type_parameter) if in_pack => {
                    let kind = entry.attr_value(gimli::DW_AT_type);
                    record.pack.extend(kind.and_then(|kind| self.resolve(die.unit, kind)));
                }
                (1, gimli::DW_TAG_variant_part) => {
                    part_depth = Some(1);
                    variants = Some(Variants::default());
                    discriminant = match entry.attr_value(gimli::DW_AT_discr) {
                        Some(AttributeValue::UnitRef(offset)) => Some(offset),
                        _ => None,
                    };
                }
                (2, gimli::DW_TAG_member) if part_depth.is_some() => {
                    if let Some(variants) = &mut variants
                        && discriminant == Some(entry.offset())
                    {
                        variants.discriminant = Some(self.member(die.unit, unit, entry));
                    }
                }
                (2, gimli::DW_TAG_variant) if part_depth.is_some() => {
                    let value = entry.attr_value(gimli::DW_AT_discr_value).and_then(wide_constant);
                    if let Some(variants) = &mut variants {
                        variants.cases.push(Case { value, member: None, line: 0, file: 0 });
                    }
                }
                (3, gimli::DW_TAG_member) if part_depth.is_some() => {
                    if let Some(case) = variants.as_mut().and_then(|variants| variants.cases.last_mut()) {
                        let line =
                            entry.attr_value(gimli::DW_AT_decl_line).and_then(|line| line.udata_value());
                        case.line = line.and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
                        case.file = match entry.attr_value(gimli::DW_AT_decl_file) {
                            Some(AttributeValue::FileIndex(file)) => file,
                            _ => 0,
                        };
                        case.member = Some(self.member(die.unit, unit, entry));
                    }
                }
                _ => {}
            }
            // Counted, so that the bound on children holds.
            Some(())
        });
        record.variants = variants;
        record
    }

    fn member(&self, number: usize, unit: &Unit<'a>, entry: &Entry<'a>) -> Member {
        let value = |attribute| entry.attr_value(attribute);
        let count = |attribute| value(attribute).and_then(|value: Attribute<'a>| value.udata_value());
        let kind = value(gimli::DW_AT_type).and_then(|kind| self.resolve(number, kind));
        let is_base = entry.tag() == gimli::DW_TAG_inheritance;
        let name = value(gimli::DW_AT_name).and_then(|name| self.text(unit, name));
        let name = name.unwrap_or_else(|| match kind {
            Some(kind) if is_base => self.type_name(Some(kind), 0),
            _ => String::new(),
        });
        let offset = match value(gimli::DW_AT_data_member_location) {
            None => Some(0),
            Some(AttributeValue::Exprloc(expression)) => {
                match expression.operations(unit.unit.encoding()).next() {
                    Ok(Some(gimli::Operation::PlusConstant { value })) => Some(value),
                    _ => None,
                }
            }
            Some(constant) => constant.udata_value(),
        };
        let computed = match value(gimli::DW_AT_data_member_location) {
            Some(AttributeValue::Exprloc(expression)) if offset.is_none() => {
                Some((expression.0.slice().to_vec(), unit.unit.encoding()))
            }
            _ => None,
        };
        let bits = count(gimli::DW_AT_bit_size).map(|size| {
            let begin = match (count(gimli::DW_AT_data_bit_offset), count(gimli::DW_AT_bit_offset)) {
                (Some(begin), _) => begin,
                // DWARF 3 counts from the most significant bit of the storage unit.
                (None, Some(from_top)) => {
                    let unit =
                        count(gimli::DW_AT_byte_size).or_else(|| self.read_type(kind?).size).unwrap_or(4);
                    let top = unit.saturating_mul(8).saturating_sub(from_top).saturating_sub(size);
                    offset.unwrap_or(0).saturating_mul(8).saturating_add(top)
                }
                (None, None) => offset.unwrap_or(0).saturating_mul(8),
            };
            (begin, size)
        });
        let is_artificial = name.starts_with("_vptr");
        Member { name, kind, offset, computed, bits, is_base, is_artificial }
    }

    fn dimensions(&self, die: Die, unit: &Unit<'a>) -> Vec<Option<u64>> {
        let counts = self.children(die, unit, 1, |_, entry| {
            let count = |attribute| entry.attr_value(attribute).and_then(|value| value.udata_value());
            let upper = || {
                let bound = entry.attr_value(gimli::DW_AT_upper_bound)?;
                // An upper bound of -1 is how some compilers write "no elements".
                match bound.sdata_value() {
                    Some(-1) => Some(0),
                    _ => bound.udata_value()?.checked_add(1),
                }
            };
            (entry.tag() == gimli::DW_TAG_subrange_type).then(|| count(gimli::DW_AT_count).or_else(upper))
        });
        if counts.is_empty() { vec![None] } else { counts }
    }

    fn enumerators(&self, die: Die, unit: &Unit<'a>) -> Vec<(i128, String)> {
        self.children(die, unit, 1, |_, entry| {
            let value = entry.attr_value(gimli::DW_AT_const_value)?;
            let number = match value {
                AttributeValue::Udata(number) => i128::from(number),
                value => {
                    value.sdata_value().map(i128::from).or_else(|| value.udata_value().map(i128::from))?
                }
            };
            Some((number, self.text(unit, entry.attr_value(gimli::DW_AT_name)?)?))
        })
    }

    /// A type's name in the words of its language; C's pointers and arrays have none of their own in the entry.
    pub(crate) fn type_name(&self, die: Option<Die>, depth: usize) -> String {
        let Some(die) = die else { return "void".to_owned() };
        let Some((unit, entry)) = self.entry(die) else { return "?".to_owned() };
        if depth > NAME_DEPTH_MAX {
            return "…".to_owned();
        }
        if let Some(name) = entry.attr_value(gimli::DW_AT_name).and_then(|name| self.text(&unit, name)) {
            return match unit.language() {
                Language::Rust => language::without_defaults(&name),
                _ => language::with_short_strings(name),
            };
        }
        if let Some(described) = self.elsewhere(die, &entry) {
            return self.type_name(Some(described), depth.saturating_add(1));
        }
        let inner = entry.attr_value(gimli::DW_AT_type).and_then(|inner| self.resolve(die.unit, inner));
        let inner_name = || self.type_name(inner, depth.saturating_add(1));
        match entry.tag() {
            gimli::DW_TAG_pointer_type => match inner {
                Some(inner) if self.is_function(inner) => inner_name().replacen("()", "(*)()", 1),
                _ => format!("{} *", inner_name()),
            },
            gimli::DW_TAG_reference_type => format!("{} &", inner_name()),
            gimli::DW_TAG_rvalue_reference_type => format!("{} &&", inner_name()),
            gimli::DW_TAG_ptr_to_member_type => {
                let of = entry.attr_value(gimli::DW_AT_containing_type);
                let of = of.and_then(|of| self.resolve(die.unit, of));
                format!("{} {}::*", inner_name(), self.type_name(of, depth.saturating_add(1)))
            }
            gimli::DW_TAG_const_type => format!("const {}", inner_name()),
            gimli::DW_TAG_volatile_type => format!("volatile {}", inner_name()),
            gimli::DW_TAG_atomic_type => format!("_Atomic {}", inner_name()),
            gimli::DW_TAG_restrict_type => inner_name(),
            gimli::DW_TAG_array_type => {
                let counts = self.dimensions(die, &unit);
                if unit.language() == Language::Rust {
                    let count = |count: &Option<u64>| count.map_or("_".to_owned(), |count| count.to_string());
                    return counts
                        .iter()
                        .rev()
                        .fold(inner_name(), |inner, n| format!("[{inner}; {}]", count(n)));
                }
                let count = |count: &Option<u64>| count.map_or("[]".to_owned(), |count| format!("[{count}]"));
                format!("{}{}", inner_name(), counts.iter().map(count).collect::<String>())
            }
            gimli::DW_TAG_subroutine_type => format!("{} ()", inner_name()),
            gimli::DW_TAG_structure_type => "struct {…}".to_owned(),
            gimli::DW_TAG_union_type => "union {…}".to_owned(),
            gimli::DW_TAG_enumeration_type => "enum {…}".to_owned(),
            _ => "?".to_owned(),
        }
    }

    fn is_function(&self, die: Die) -> bool {
        self.entry(die).is_some_and(|(_, entry)| entry.tag() == gimli::DW_TAG_subroutine_type)
    }
}

fn is_wrapper(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_restrict_type
            | gimli::DW_TAG_atomic_type
            | gimli::DW_TAG_immutable_type
    )
}

/// A constant of up to 128 bits, without its sign.
fn wide_constant(value: Attribute<'_>) -> Option<u128> {
    match value {
        AttributeValue::Block(block) if block.len() <= 16 => {
            let mut bytes = [0; 16];
            bytes.get_mut(..block.len())?.copy_from_slice(block.slice());
            Some(u128::from_le_bytes(bytes))
        }
        AttributeValue::Data1(number) => Some(u128::from(number)),
        AttributeValue::Data2(number) => Some(u128::from(number)),
        AttributeValue::Data4(number) => Some(u128::from(number)),
        AttributeValue::Data8(number) | AttributeValue::Udata(number) => Some(u128::from(number)),
        AttributeValue::Sdata(number) => Some(number as u128),
        _ => None,
    }
}
