//! Containers of GNU's C++ library, pointers to members, and the dynamic type of objects with virtual functions.

use std::rc::Rc;

use freezeframe_model::{Variable, VariableRole};

use super::c::{inherited, owned};
use crate::decoded::{Decoded, show_address, signed_value, size_of, unsigned};
use crate::dwarf::Die;
use crate::dwarf::location::Spot;
use crate::dwarf::types::{Member, Shape, Type};
use crate::expression::Absent;
use crate::values::Decoder;

/// Nodes of one tree or list that are followed, at most.
const NODES_MAX: u64 = 100_000;
/// Nodes of a tree on the way to one of its ends: a balanced one of this height fills all memory twice.
const HEIGHT_MAX: usize = 128;
/// Elements of a tuple, alternatives of a variant.
const PARTS_MAX: usize = 64;

pub(super) fn decode(
    decoder: &mut Decoder<'_, '_>,
    kind: &Rc<Type>,
    spot: &Spot,
    depth: usize,
) -> Option<Decoded> {
    if !kind.path.starts_with("std::") {
        return None;
    }
    let read: Result<Option<Decoded>, Absent> = match kind.plain_path() {
        "std::vector" => bits(decoder, kind, spot),
        "std::array" => Ok(shown_as(decoder, kind, "_M_elems", spot, depth)),
        "std::shared_ptr" | "std::weak_ptr" => shared(decoder, kind, spot, depth),
        "std::atomic" => {
            let held = shown_as(decoder, kind, "_M_i", spot, depth);
            Ok(held.or_else(|| {
                let (inner, place) = decoder.member(kind, "_M_base", spot)?;
                shown_as(decoder, &inner, "_M_i", &place, depth)
            }))
        }
        "std::map" | "std::multimap" | "std::set" | "std::multiset" => tree(decoder, kind, spot, depth),
        "std::unordered_map"
        | "std::unordered_multimap"
        | "std::unordered_set"
        | "std::unordered_multiset" => hash_table(decoder, kind, spot, depth),
        "std::__cxx11::list" => list(decoder, kind, spot, depth),
        "std::forward_list" => forward_list(decoder, kind, spot, depth),
        "std::deque" => deque(decoder, kind, spot, depth),
        "std::optional" => optional(decoder, kind, spot, depth),
        "std::variant" => variant(decoder, kind, spot, depth),
        "std::tuple" => tuple(decoder, kind, spot, depth),
        "std::filesystem::__cxx11::path" => Ok(shown_as(decoder, kind, "_M_pathname", spot, depth)),
        "std::chrono::duration" => Ok(shown_as(decoder, kind, "__r", spot, depth)),
        _ => return None,
    };
    read.unwrap_or_else(|absent| Some(absent.into()))
}

/// Shown as a member of the class or of one of its bases.
fn shown_as(
    decoder: &mut Decoder<'_, '_>,
    kind: &Type,
    name: &str,
    spot: &Spot,
    depth: usize,
) -> Option<Decoded> {
    let (inner, place) = inherited(decoder, kind, name, spot, 0)?;
    // Bounded like any other step inwards.
    Some(decoder.decode(&inner, &place, depth + 1))
}

/// A member along a path of members, each in the class or one of its bases.
fn along(decoder: &Decoder<'_, '_>, kind: &Rc<Type>, path: &[&str], spot: &Spot) -> Option<(Rc<Type>, Spot)> {
    path.iter().try_fold((kind.clone(), spot.clone()), |(kind, spot), name| {
        inherited(decoder, &kind, name, &spot, 0)
    })
}

fn word(decoder: &Decoder<'_, '_>, kind: &Rc<Type>, path: &[&str], spot: &Spot) -> Result<u64, Absent> {
    let missing = || Absent::NotDecoded(format!("this layout of {}", kind.name));
    let (kind, place) = along(decoder, kind, path, spot).ok_or_else(missing)?;
    decoder.word(&kind, &place)
}

/// Elements that each have a place of their own.
struct Elements {
    children: Vec<Variable>,
    count: u64,
}

impl Elements {
    fn new(count: u64) -> Self {
        Self { children: Vec::new(), count }
    }

    fn is_full(&self, decoder: &Decoder<'_, '_>) -> bool {
        let shown = self.children.len() as u64;
        shown >= self.count || shown >= decoder.bounds.breadth as u64
    }

    fn push(&mut self, decoder: &mut Decoder<'_, '_>, element: Die, address: u64, depth: usize) {
        let name = format!("[{}]", self.children.len());
        let place = Ok(Spot::Memory(address));
        self.children.push(decoder.variable(&name, VariableRole::Member, Some(element), place, depth + 1));
    }

    /// A `pair` is a named value, as in a map.
    fn push_entry(&mut self, decoder: &mut Decoder<'_, '_>, pair: &Rc<Type>, address: u64, depth: usize) {
        let place = Spot::Memory(address);
        let parts = decoder.member(pair, "first", &place).zip(decoder.member(pair, "second", &place));
        match parts {
            Some(((key_type, key), (value_type, value))) => {
                let entry = decoder.entry((&key_type, &key), (&value_type, &value), depth);
                self.children.push(entry);
            }
            None => self.push(decoder, pair.die, address, depth),
        }
    }

    fn decoded(mut self, decoder: &Decoder<'_, '_>) -> Decoded {
        if self.count == 0 {
            return Decoded::plain("{}");
        }
        decoder.mark_rest(&mut self.children, self.count);
        Decoded::composite(self.children)
    }
}

type Read = Result<Option<Decoded>, Absent>;

fn too_deep(decoder: &Decoder<'_, '_>, depth: usize) -> Option<Decoded> {
    (depth >= decoder.bounds.depth).then(|| Decoded::cut("deeper than the limit"))
}

fn parameter(kind: &Type, name: &str) -> Result<Die, Absent> {
    let found = kind.record().and_then(|record| record.parameter(name));
    found.ok_or_else(|| Absent::NotDecoded(format!("this layout of {}", kind.name)))
}

/// `vector<bool>`: one bit each, 64 to a word.
fn bits(decoder: &mut Decoder<'_, '_>, kind: &Rc<Type>, spot: &Spot) -> Read {
    let start = word(decoder, kind, &["_M_impl", "_M_start", "_M_p"], spot)?;
    let end = word(decoder, kind, &["_M_impl", "_M_finish", "_M_p"], spot)?;
    let last = word(decoder, kind, &["_M_impl", "_M_finish", "_M_offset"], spot)?;
    let count = end.saturating_sub(start).saturating_mul(8).saturating_add(last);
    let shown = usize::try_from(count).unwrap_or(usize::MAX).min(decoder.bounds.string_bytes);
    let bytes = decoder.memory.read_bytes(start, shown.div_ceil(8), shown.div_ceil(8))?;
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
    let text: String = (0..shown).map(|at| if bit(at) { '1' } else { '0' }).collect();
    Ok(Some(Decoded::plain(format!("{count} bits: {text}{}", if (shown as u64) < count { "…" } else { "" }))))
}

/// `shared_ptr` and `weak_ptr`, with how many share the object.
fn shared(decoder: &mut Decoder<'_, '_>, kind: &Rc<Type>, spot: &Spot, depth: usize) -> Read {
    let counts = word(decoder, kind, &["_M_refcount", "_M_pi"], spot)?;
    let (holder, _) = along(decoder, kind, &["_M_refcount", "_M_pi"], spot).ok_or(Absent::Damaged)?;
    let uses = match holder.shape {
        Shape::Pointer(Some(block)) if counts != 0 => {
            let block = decoder.view.read_type(block);
            let uses = along(decoder, &block, &["_M_use_count"], &Spot::Memory(counts));
            uses.map(|(kind, place)| decoder.word(&kind, &place)).transpose()?
        }
        _ => None,
    };
    if uses == Some(0) {
        return Ok(Some(Decoded::plain("(its object is gone)")));
    }
    let mut decoded = owned(decoder, kind, "_M_ptr", spot, depth);
    if let (Some(Decoded { form: crate::decoded::Form::Plain(text), .. }), Some(uses)) = (&mut decoded, uses)
    {
        text.push_str(&format!(" (shared by {uses})"));
    }
    Ok(decoded)
}

/// A red-black tree: nodes are colour, parent, left, right, and then the value.
fn tree(decoder: &mut Decoder<'_, '_>, kind: &Rc<Type>, spot: &Spot, depth: usize) -> Read {
    const LEFT: u64 = 16;
    const RIGHT: u64 = 24;
    const VALUE: u64 = 32;
    let Some((tree, place)) = decoder.member(kind, "_M_t", spot) else { return Ok(None) };
    let value = decoder.view.read_type(parameter(&tree, "_Val")?);
    let count = word(decoder, &tree, &["_M_impl", "_M_node_count"], &place)?;
    if let Some(deep) = too_deep(decoder, depth).filter(|_| count > 0) {
        return Ok(Some(deep));
    }
    let mut elements = Elements::new(count);
    // In order, by a stack of the nodes whose left sides are done.
    let mut above = Vec::new();
    let mut node =
        if count > 0 { word(decoder, &tree, &["_M_impl", "_M_header", "_M_parent"], &place)? } else { 0 };
    let mut steps = 0;
    while !elements.is_full(decoder) && (node != 0 || !above.is_empty()) {
        steps += 1;
        if steps > NODES_MAX || above.len() > HEIGHT_MAX {
            return Err(Absent::Damaged);
        }
        if node != 0 {
            above.push(node);
            node = decoder.memory.read_u64(node.wrapping_add(LEFT))?;
        } else if let Some(next) = above.pop() {
            let address = next.wrapping_add(VALUE);
            if kind.plain_path().ends_with("map") {
                elements.push_entry(decoder, &value, address, depth);
            } else {
                elements.push(decoder, value.die, address, depth);
            }
            node = decoder.memory.read_u64(next.wrapping_add(RIGHT))?;
        }
    }
    Ok(Some(elements.decoded(decoder)))
}

/// All nodes of a hash table hang on one list; the value follows the link.
fn hash_table(decoder: &mut Decoder<'_, '_>, kind: &Rc<Type>, spot: &Spot, depth: usize) -> Read {
    let Some((table, place)) = decoder.member(kind, "_M_h", spot) else { return Ok(None) };
    let value = decoder.view.read_type(parameter(&table, "_Value")?);
    let count = word(decoder, &table, &["_M_element_count"], &place)?;
    let first = word(decoder, &table, &["_M_before_begin", "_M_nxt"], &place)?;
    let entries = kind.plain_path().ends_with("map");
    linked(decoder, &value, (first, 8), count, entries, depth)
}

fn list(decoder: &mut Decoder<'_, '_>, kind: &Rc<Type>, spot: &Spot, depth: usize) -> Read {
    let value = decoder.view.read_type(parameter(kind, "_Tp")?);
    let first = word(decoder, kind, &["_M_impl", "_M_node", "_M_next"], spot)?;
    let count = word(decoder, kind, &["_M_impl", "_M_node", "_M_size"], spot)?;
    linked(decoder, &value, (first, 16), count, false, depth)
}

/// It has no count: its end is a null pointer.
fn forward_list(decoder: &mut Decoder<'_, '_>, kind: &Rc<Type>, spot: &Spot, depth: usize) -> Read {
    let value = decoder.view.read_type(parameter(kind, "_Tp")?);
    let first = word(decoder, kind, &["_M_impl", "_M_head", "_M_next"], spot)?;
    let (mut node, mut count) = (first, 0);
    while node != 0 && count < NODES_MAX {
        count += 1;
        node = decoder.memory.read_u64(node)?;
    }
    linked(decoder, &value, (first, 8), count, false, depth)
}

/// Nodes that begin with the address of the next one; the value is `offset` bytes in.
fn linked(
    decoder: &mut Decoder<'_, '_>,
    value: &Rc<Type>,
    (first, offset): (u64, u64),
    count: u64,
    entries: bool,
    depth: usize,
) -> Read {
    if let Some(deep) = too_deep(decoder, depth).filter(|_| count > 0) {
        return Ok(Some(deep));
    }
    let mut elements = Elements::new(count);
    let mut node = first;
    while !elements.is_full(decoder) && node != 0 {
        let address = node.wrapping_add(offset);
        if entries {
            elements.push_entry(decoder, value, address, depth);
        } else {
            elements.push(decoder, value.die, address, depth);
        }
        node = decoder.memory.read_u64(node)?;
    }
    Ok(Some(elements.decoded(decoder)))
}

/// A table of blocks of 512 bytes, or of one element where that is larger.
fn deque(decoder: &mut Decoder<'_, '_>, kind: &Rc<Type>, spot: &Spot, depth: usize) -> Read {
    const BLOCK_BYTES: u64 = 512;
    let element = parameter(kind, "_Tp")?;
    let size = size_of(&decoder.view.read_type(element))? as u64;
    if size == 0 {
        return Ok(None);
    }
    let per_block = (BLOCK_BYTES / size).max(1);
    let start = |name| word(decoder, kind, &["_M_impl", "_M_start", name], spot);
    let finish = |name| word(decoder, kind, &["_M_impl", "_M_finish", name], spot);
    let blocks = finish("_M_node")?.saturating_sub(start("_M_node")?) / 8;
    let skipped = start("_M_cur")?.saturating_sub(start("_M_first")?) / size;
    let in_last = finish("_M_cur")?.saturating_sub(finish("_M_first")?) / size;
    let count = blocks.saturating_mul(per_block).saturating_add(in_last).saturating_sub(skipped);
    let table = start("_M_node")?;
    if let Some(deep) = too_deep(decoder, depth).filter(|_| count > 0) {
        return Ok(Some(deep));
    }
    let mut elements = Elements::new(count);
    while !elements.is_full(decoder) {
        let at = skipped.saturating_add(elements.children.len() as u64);
        let block = decoder.memory.read_u64(table.wrapping_add((at / per_block).wrapping_mul(8)))?;
        elements.push(decoder, element, block.wrapping_add((at % per_block).wrapping_mul(size)), depth);
    }
    Ok(Some(elements.decoded(decoder)))
}

fn optional(decoder: &mut Decoder<'_, '_>, kind: &Rc<Type>, spot: &Spot, depth: usize) -> Read {
    if word(decoder, kind, &["_M_payload", "_M_engaged"], spot)? == 0 {
        return Ok(Some(Decoded::plain("nullopt")));
    }
    let Some((holder, place)) = along(decoder, kind, &["_M_payload", "_M_payload"], spot) else {
        return Ok(None);
    };
    Ok(shown_as(decoder, &holder, "_M_value", &place, depth))
}

/// The alternatives lie over each other; the index tells which one is there.
fn variant(decoder: &mut Decoder<'_, '_>, kind: &Rc<Type>, spot: &Spot, depth: usize) -> Read {
    let Some((index_type, place)) = along(decoder, kind, &["_M_index"], spot) else { return Ok(None) };
    let bytes = place.read(decoder.memory, size_of(&index_type)?, 8)?;
    if bytes.iter().all(|byte| *byte == 0xff) {
        return Ok(Some(Decoded::plain("(valueless by exception)")));
    }
    let index = usize::try_from(unsigned(&bytes)).map_err(|_| Absent::Damaged)?;
    let alternative = kind.record().and_then(|record| record.pack().take(PARTS_MAX).nth(index));
    let Some(alternative) = alternative else { return Ok(None) };
    let Some((_, storage)) = along(decoder, kind, &["_M_u"], spot) else { return Ok(None) };
    let mut decoded = Decoded::plain(decoder.view.read_type(alternative).name.clone());
    if let Some(deep) = too_deep(decoder, depth) {
        return Ok(Some(deep));
    }
    decoded.children = vec![decoder.variable(
        &format!("[{index}]"),
        VariableRole::Member,
        Some(alternative),
        Ok(storage),
        depth + 1,
    )];
    Ok(Some(decoded))
}

/// A chain of base classes, each with one element: `_Tuple_impl<0, …>`, `_Head_base<0, …>`.
fn tuple(decoder: &mut Decoder<'_, '_>, kind: &Rc<Type>, spot: &Spot, depth: usize) -> Read {
    if let Some(deep) = too_deep(decoder, depth) {
        return Ok(Some(deep));
    }
    let bases = |kind: &Type| -> Vec<Member> {
        let members = kind.record().map(|record| record.members.as_slice()).unwrap_or_default();
        members.iter().filter(|member| member.is_base).cloned().collect()
    };
    let mut children = Vec::new();
    let mut level = bases(kind).into_iter().next().map(|base| (base, spot.clone()));
    while let Some((base, spot)) = level.take()
        && children.len() < PARTS_MAX
    {
        let Some(kind) = base.kind.map(|kind| decoder.view.read_type(kind)) else { break };
        let place = decoder.place(&base, &spot)?;
        for inner in bases(&kind) {
            if inner.name.starts_with("_Head_base<") {
                let Some(head) = inner.kind.map(|kind| decoder.view.read_type(kind)) else { continue };
                let head_place = decoder.place(&inner, &place)?;
                let name = format!("[{}]", children.len());
                // An empty class is the base itself.
                let (element, at) = match decoder.member(&head, "_M_head_impl", &head_place) {
                    Some((element, at)) => (element.die, at),
                    None => (parameter(&head, "_Head")?, head_place),
                };
                children.push(decoder.variable(
                    &name,
                    VariableRole::Member,
                    Some(element),
                    Ok(at),
                    depth + 1,
                ));
            } else {
                level = Some((inner, place.clone()));
            }
        }
    }
    Ok(Some(Decoded::composite(children)))
}

/// Pointers to members (Itanium C++ ABI, section 2.3): an offset, -1 for null; or an address or place in the table of virtual
/// functions, and an adjustment of `this`.
pub(crate) fn member_pointer(
    decoder: &Decoder<'_, '_>,
    to_function: bool,
    spot: &Spot,
) -> Result<Decoded, Absent> {
    let first = unsigned(&spot.read(decoder.memory, 8, 8)?) as u64;
    if !to_function {
        let text = if first == u64::MAX { "null".to_owned() } else { format!("offset {first}") };
        return Ok(Decoded::plain(text));
    }
    if first & 1 == 1 {
        return Ok(Decoded::plain(format!("virtual function {}", first / 8)));
    }
    let name = (decoder.function_at)(first).map(|name| format!(" <{name}>")).unwrap_or_default();
    Ok(Decoded::plain(format!("{}{name}", show_address(first))))
}

/// The whole object that a pointer to a base class leads into, and its type: its table of virtual functions names them
/// (Itanium C++ ABI, section 2.5.2). `None` where the static type says it already, or the type is not described.
pub(crate) fn dynamic_object(decoder: &Decoder<'_, '_>, kind: &Type, address: u64) -> Option<(Die, u64)> {
    let place = Spot::Memory(address);
    let (_, pointer) = virtual_table(decoder, kind, &place, 0)?;
    let table = unsigned(&pointer.read(decoder.memory, 8, 8).ok()?) as u64;
    let name = (decoder.function_at)(table)?;
    let class = name.strip_prefix("{vtable(")?.strip_suffix(")}")?.to_owned();
    if same_name(&class, &kind.path) {
        return None;
    }
    let from_top = decoder.memory.read_u64(table.checked_sub(16)?).ok()?;
    let from_top = i64::try_from(signed_value(u128::from(from_top), 8)).ok()?;
    let concrete = decoder.view.type_named(&class)?;
    Some((concrete, address.wrapping_add_signed(from_top)))
}

/// The pointer to the table of virtual functions, of the class or of its first base that has one.
fn virtual_table(
    decoder: &Decoder<'_, '_>,
    kind: &Type,
    spot: &Spot,
    depth: usize,
) -> Option<(Rc<Type>, Spot)> {
    const BASES_MAX: usize = 8;
    let record = kind.record().filter(|_| depth < BASES_MAX)?;
    record.members.iter().find_map(|member| {
        let inner = decoder.view.read_type(member.kind?);
        if member.is_artificial {
            return Some((inner, spot.at(member.offset?)));
        }
        if !member.is_base {
            return None;
        }
        virtual_table(decoder, &inner, &decoder.place(member, spot).ok()?, depth + 1)
    })
}

/// Demanglers and compilers differ in where they put spaces.
pub(crate) fn same_name(one: &str, other: &str) -> bool {
    let letters = |name: &str| name.chars().filter(|c| *c != ' ').collect::<String>();
    letters(one) == letters(other)
}

/// A type's name with `std::string` as people write it.
pub(crate) fn with_short_strings(name: String) -> String {
    const LONG: &str = "basic_string<char, std::char_traits<char>, std::allocator<char> >";
    if !name.contains(LONG) {
        return name;
    }
    name.replace(&format!("__cxx11::{LONG}"), "string").replace(LONG, "string")
}
