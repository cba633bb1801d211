//! Values as a bounded tree. What is cut off has the path by which it is asked for.

use freezeframe_api::dto::{ValueAnswer, VariableShape};
use freezeframe_model::{path_of, step};
use serde_json::{Map, Value};

use super::answer::{Room, text};
use crate::render::base;

/// Values within values that are shown at once.
const DEPTH_MAX: usize = 6;
/// What the names of the keys of a value and its marks take, about.
const KEYS_BYTES: usize = 60;

/// Bytes of one variable where all of a frame are shown, so that the first does not take the room of the others.
const VARIABLE_BYTES: usize = 4 << 10;

/// A variable of a frame.
pub(super) fn of_frame(variable: &VariableShape) -> Value {
    shape(variable, &path_of(&[&variable.name]), 0, &mut Room::of(VARIABLE_BYTES), DEPTH_MAX)
}

/// A value that was asked for, from its part `offset` on.
pub(super) fn of_answer(answer: &ValueAnswer, offset: usize) -> Value {
    shape(&answer.value, &base(&answer.expression), offset, &mut Room::new(), DEPTH_MAX)
}

fn shape(variable: &VariableShape, path: &str, offset: usize, room: &mut Room, depth: usize) -> Value {
    let mut shape = Map::new();
    shape.insert("name".to_owned(), text(&variable.name).into());
    if !variable.type_name.is_empty() {
        shape.insert("type".to_owned(), text(&variable.type_name).into());
    }
    match (&variable.value, &variable.unavailable) {
        (Some(value), _) => drop(shape.insert("value".to_owned(), text(value).into())),
        (None, Some(why)) => drop(shape.insert("unavailable".to_owned(), text(why).into())),
        (None, None) => {}
    }
    let own = Value::Object(shape.clone()).to_string().len() + KEYS_BYTES;
    room.take(own);
    if variable.expandable {
        shape.insert("more_by_path".to_owned(), text(path).into());
    }
    let Some(depth) = depth.checked_sub(1) else {
        if !variable.children.is_empty() {
            shape.insert("more_by_path".to_owned(), text(path).into());
        }
        return shape.into();
    };
    let mut children = Vec::new();
    for (at, child) in variable.children.iter().enumerate() {
        // The rest of a list, which the capture left out or which was not asked for.
        let is_rest = child.name == "…" && child.expandable;
        if is_rest || room.is_full() {
            shape.insert("parts_left_out".to_owned(), left_out(variable, at, is_rest));
            shape.insert("more_by_path".to_owned(), text(path).into());
            shape.insert("more_from_offset".to_owned(), offset.saturating_add(at).into());
            break;
        }
        let mut path = path.to_owned();
        step(&mut path, &child.name);
        children.push(self::shape(child, &path, 0, room, depth));
    }
    if !children.is_empty() {
        shape.insert("parts".to_owned(), children.into());
    }
    shape.into()
}

fn left_out(variable: &VariableShape, at: usize, is_rest: bool) -> Value {
    match variable.children.get(at).and_then(|child| child.unavailable.as_deref()) {
        Some(why) if is_rest => text(why).into(),
        _ => (variable.children.len() - at).into(),
    }
}
