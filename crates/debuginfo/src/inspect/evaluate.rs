//! Walks an expression's tree over a [`Ground`]. Runs no code of the process; every part is bounded by the expression's size.

use freezeframe_model::{Value, Variable, VariableRole};

use super::Bounds;
use super::error::{EvaluateError, Failure, Obstacle};
use super::ground::{self, Found, Ground};
use super::scalar::Scalar;
use super::syntax::{Binary, Expression, Index, Literal, Node, parse};
use crate::decoded::mark_cut;

/// What an expression came to.
enum Outcome<P> {
    /// Something of the process.
    Place(P),
    /// Something computed.
    Scalar(Scalar),
    /// A range of elements.
    Shown(Variable),
}

/// References that a computation looks through.
const REFERENCES_MAX: usize = 8;

/// The value of an expression as a variable of that name.
pub(super) fn evaluate<G: Ground>(
    ground: &G,
    text: &str,
    bounds: &Bounds,
) -> Result<Variable, EvaluateError> {
    let expression = parse(text)?;
    let mut walk = Walk { ground, bounds };
    let text = text.trim();
    let mut variable = match walk.outcome(&expression)? {
        Outcome::Place(place) => ground.show(&place, text, bounds),
        Outcome::Scalar(scalar) => scalar.show(text),
        Outcome::Shown(variable) => Variable { name: text.to_owned(), ..variable },
    };
    variable.role = VariableRole::Local;
    Ok(variable)
}

struct Walk<'w, G> {
    ground: &'w G,
    bounds: &'w Bounds,
}

impl<G: Ground> Walk<'_, G> {
    fn outcome(&mut self, expression: &Expression) -> Result<Outcome<G::Place>, EvaluateError> {
        let at = |failure: Failure| failure.at(expression.span.clone());
        Ok(match &expression.node {
            Node::Name(name) if self.is_null(name) => Outcome::Scalar(Scalar::Address(0)),
            Node::Name(name) => Outcome::Place(ground::root(self.ground, name).map_err(at)?),
            Node::Literal(literal) => Outcome::Scalar(literal_value(literal).map_err(at)?),
            Node::Field(of, name) => {
                let place = self.place(of)?;
                match ground::field(self.ground, &place, name).map_err(at)? {
                    Found::Place(place) => Outcome::Place(place),
                    Found::Length(count) => Outcome::Scalar(Scalar::integer(u128::from(count)).map_err(at)?),
                }
            }
            Node::Index(of, index) => {
                let place = self.place(of)?;
                self.element(&place, index, expression)?
            }
            Node::Slice(of, from, to) => {
                let place = self.place(of)?;
                let mut bound = |bound: &Option<Box<Expression>>| -> Result<Option<u64>, EvaluateError> {
                    let Some(bound) = bound else { return Ok(None) };
                    let number = self.scalar(bound)?.index();
                    number.map(Some).map_err(|failure| failure.at(bound.span.clone()))
                };
                let (from, to) = (bound(from)?.unwrap_or(0), bound(to)?);
                Outcome::Shown(self.slice(&place, from, to).map_err(at)?)
            }
            Node::Dereference(of) => {
                let place = self.place(of)?;
                Outcome::Place(ground::dereference(self.ground, &place).map_err(at)?)
            }
            Node::AddressOf(of) => {
                let place = self.place(of)?;
                Outcome::Scalar(Scalar::Address(self.ground.address(&place).map_err(at)?))
            }
            Node::Is(of, name) => {
                let place = self.place(of)?;
                let is = ground::is_variant(self.ground, &place, name).map_err(at)?;
                Outcome::Scalar(Scalar::Bool(is))
            }
            Node::Unary(operator, of) => Outcome::Scalar(self.scalar(of)?.unary(*operator).map_err(at)?),
            Node::Cast(of, kind) => Outcome::Scalar(self.scalar(of)?.cast(kind).map_err(at)?),
            Node::Binary(operator @ (Binary::And | Binary::Or), left, right) => {
                let decided = *operator == Binary::Or;
                let truth = self.truth(left)? == decided || self.truth(right)? == decided;
                Outcome::Scalar(Scalar::Bool(truth == decided))
            }
            Node::Binary(operator, left, right) => {
                let (left, right) = (self.scalar(left)?, self.scalar(right)?);
                Outcome::Scalar(left.binary(*operator, right).map_err(at)?)
            }
        })
    }

    /// The null pointer, unless the program calls a variable so.
    fn is_null(&self, name: &str) -> bool {
        matches!(name, "null" | "nullptr") && !self.ground.roots().iter().any(|child| child.name == name)
    }

    fn place(&mut self, expression: &Expression) -> Result<G::Place, EvaluateError> {
        match self.outcome(expression)? {
            Outcome::Place(place) => Ok(place),
            Outcome::Scalar(_) | Outcome::Shown(_) => {
                let failure = Failure::new(Obstacle::Unfit, "this is computed and has no parts");
                Err(failure.why("steps lead from a variable").at(expression.span.clone()))
            }
        }
    }

    fn truth(&mut self, expression: &Expression) -> Result<bool, EvaluateError> {
        self.scalar(expression)?.truth().map_err(|failure| failure.at(expression.span.clone()))
    }

    fn scalar(&mut self, expression: &Expression) -> Result<Scalar, EvaluateError> {
        let at = |failure: Failure| failure.at(expression.span.clone());
        let mut place = match self.outcome(expression)? {
            Outcome::Scalar(scalar) => return Ok(scalar),
            Outcome::Shown(_) => return Err(at(Failure::new(Obstacle::Unfit, "a range is not one value"))),
            Outcome::Place(place) => place,
        };
        let bounds = Bounds { depth: 1, breadth: 1, offset: 0, ..*self.bounds };
        for _ in 0..REFERENCES_MAX {
            let shown = self.ground.show(&place, "", &bounds);
            let scalar = Scalar::of(&shown).map_err(|failure| at(self.ground.missing(failure)))?;
            let name = shown.type_name.trim();
            let is_reference = name.starts_with('&') || name.ends_with('&');
            match (scalar, is_reference) {
                (Scalar::Address(_), true) => {
                    place = ground::dereference(self.ground, &place).map_err(at)?;
                }
                (scalar, _) => return Ok(scalar),
            }
        }
        Err(at(Failure::new(Obstacle::Limit, "too many references behind each other")))
    }

    fn element(
        &mut self,
        place: &G::Place,
        index: &Index,
        whole: &Expression,
    ) -> Result<Outcome<G::Place>, EvaluateError> {
        let value = index.value.clone().and_then(|value| self.scalar(&value));
        let found = ground::element(self.ground, place, &index.written, value.as_ref().ok());
        found.map(Outcome::Place).map_err(|failure| match value {
            // As written it names nothing either: then what is wrong with it as an expression says more.
            Err(error) if failure.obstacle == Obstacle::NotFound => error,
            _ => failure.at(whole.span.clone()),
        })
    }

    fn slice(&mut self, place: &G::Place, from: u64, to: Option<u64>) -> Result<Variable, Failure> {
        let most = self.bounds.breadth as u64;
        let listed = ground::slice(self.ground, place, (from, to), most)?;
        let inner = Bounds { offset: 0, ..*self.bounds };
        let shown = |child: &ground::Child<G::Place>| Variable {
            role: VariableRole::Member,
            ..self.ground.show(&child.place, &child.name, &inner)
        };
        let mut children: Vec<Variable> = listed.children.iter().map(shown).collect();
        children.extend(listed.cut.map(|why| mark_cut("…", &why)));
        let type_name = self.ground.type_name(place);
        Ok(Variable { type_name, value: Value::Composite, children, ..Variable::default() })
    }
}

fn literal_value(literal: &Literal) -> Result<Scalar, Failure> {
    Ok(match literal {
        Literal::Integer(number) => Scalar::integer(*number)?,
        Literal::Float(number) => Scalar::Float(*number),
        Literal::Bool(value) => Scalar::Bool(*value),
        Literal::Character(character) => Scalar::Character(*character),
        Literal::Text(text) => Scalar::Text(text.clone()),
    })
}
