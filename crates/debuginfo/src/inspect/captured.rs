//! A stored capture as ground for expressions: what was not captured is not there, and is said to be so.

use freezeframe_model::{Frame, Value, Variable};

use super::Bounds;
use super::error::{Failure, Obstacle};
use super::ground::{Child, Children, Ground};

/// One frame of a capture.
pub(super) struct Captured<'c> {
    roots: Vec<Child<&'c Variable>>,
}

const ELSEWHERE: &str = "it was not captured; the live process, while it is held, or a core can tell";

impl<'c> Captured<'c> {
    pub(super) fn new(frame: &'c Frame) -> Self {
        Self { roots: frame.variables.iter().map(child).collect() }
    }
}

fn child(variable: &Variable) -> Child<&Variable> {
    let is_inherited = variable.name.is_empty() || variable.name == variable.type_name;
    Child { name: variable.name.clone(), place: variable, is_inherited }
}

/// A place that stands for what was cut off.
fn is_mark(variable: &Variable) -> bool {
    variable.name == "…" && matches!(variable.value, Value::Cut(_))
}

impl<'c> Ground for Captured<'c> {
    type Place = &'c Variable;

    fn roots(&self) -> &[Child<&'c Variable>] {
        &self.roots
    }

    fn global(&self, _: &str) -> Result<Option<&'c Variable>, Failure> {
        Ok(None)
    }

    fn children(
        &self,
        place: &&'c Variable,
        first: u64,
        end: u64,
    ) -> Result<Children<&'c Variable>, Failure> {
        if let Value::Cut(why) = &place.value {
            return Err(
                Failure::new(Obstacle::NotCaptured, format!("this was cut off: {why}")).why(ELSEWHERE)
            );
        }
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let (marks, children): (Vec<_>, Vec<_>) = place.children.iter().partition(|child| is_mark(child));
        let cut = marks.iter().find_map(|mark| match &mark.value {
            Value::Cut(why) => Some(why.clone()),
            _ => None,
        });
        let more = cut.as_deref().map_or(Some(0), |why| why.strip_suffix(" more")?.parse::<u64>().ok());
        let count = more.map(|more| more.saturating_add(children.len() as u64));
        let taken = children.into_iter().skip(number(first)).take(number(end.saturating_sub(first)));
        Ok(Children {
            children: taken.map(child).collect(),
            cut,
            count: count.filter(|_| place.children.first().is_some_and(|child| child.name.starts_with('['))),
            value: place.value.clone(),
        })
    }

    fn pointee(&self, place: &&'c Variable) -> Result<Option<&'c Variable>, Failure> {
        Ok(place.children.iter().find(|child| child.name == "*"))
    }

    fn element(&self, place: &&'c Variable, number: u64) -> Result<Option<&'c Variable>, Failure> {
        let is_pointer = place.type_name.ends_with('*') || place.type_name.starts_with('*');
        match number {
            0 if is_pointer => self.pointee(place),
            _ if is_pointer => {
                let what = format!("the element [{number}] behind this pointer was not captured");
                Err(Failure::new(Obstacle::NotCaptured, what).why(ELSEWHERE))
            }
            _ => Ok(None),
        }
    }

    fn address(&self, _: &&'c Variable) -> Result<u64, Failure> {
        Err(Failure::new(Obstacle::NotCaptured, "a capture does not hold addresses").why(ELSEWHERE))
    }

    fn variants(&self, _: &&'c Variable) -> Vec<String> {
        Vec::new()
    }

    fn hidden(&self, place: &&'c Variable) -> Option<String> {
        match &place.value {
            Value::Redacted(why) => Some(why.clone()),
            _ => None,
        }
    }

    fn show(&self, place: &&'c Variable, name: &str, bounds: &Bounds) -> Variable {
        let mut shown = Variable { name: name.to_owned(), ..(*place).clone() };
        if bounds.offset > 0 {
            shown.children.drain(..shown.children.len().min(bounds.offset));
        }
        shown
    }

    fn type_name(&self, place: &&'c Variable) -> String {
        place.type_name.clone()
    }

    fn missing(&self, failure: Failure) -> Failure {
        match failure.obstacle {
            Obstacle::NotFound | Obstacle::Limit => {
                let why = if failure.why.is_empty() { String::new() } else { format!("{}; ", failure.why) };
                let why = format!("{why}{ELSEWHERE}");
                Failure { obstacle: Obstacle::NotCaptured, why, ..failure }
            }
            _ => failure,
        }
    }
}
