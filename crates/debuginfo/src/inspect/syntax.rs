//! The expression language: its tree and its parser. Knows nothing of processes or values.
//!
//! | | |
//! |---|---|
//! | names | `order`, `shop::LIMIT`, `self`; any other name in backquotes: `` `{closure_env#0}` `` |
//! | steps | `.field` `.0` `->field` `[3]` `["key"]` `[10..20]` `.*` (or `*` in front) and `.len` |
//! | values | `42` `0xff` `1_000` `1.5` `'x'` `"text"` `true` `null`, and `&place` for an address |
//! | operators | `\|\|` `&&` · `== != < <= > >= is` · `\|` `^` `&` · `<< >>` · `+ -` · `* / %` · `as u8` · `- ! * &`, as in Rust |
//!
//! What stands in brackets is kept as written, too: a map's entry is found by its key as it is shown, also where that is no
//! expression.

use std::ops::Range;

use super::error::{EvaluateError, Obstacle};

/// Bytes of an expression.
const LENGTH_MAX: usize = 4096;
/// Names, values, steps, operators and parentheses of an expression: so no tree gets deeper than this.
const PARTS_MAX: usize = 200;

/// Parentheses, brackets and signs within each other. Each costs some calls of the parser, and every thread's stack is finite.
const NESTING_MAX: usize = 64;

/// An expression with its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expression {
    pub(super) span: Range<usize>,
    pub(super) node: Node,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Name(String),
    Literal(Literal),
    Field(Box<Expression>, String),
    Index(Box<Expression>, Index),
    Slice(Box<Expression>, Option<Box<Expression>>, Option<Box<Expression>>),
    Dereference(Box<Expression>),
    AddressOf(Box<Expression>),
    Unary(Unary, Box<Expression>),
    Binary(Binary, Box<Expression>, Box<Expression>),
    Cast(Box<Expression>, String),
    Is(Box<Expression>, String),
}

/// What stands in brackets: as written, and as an expression where it is one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Index {
    pub(super) written: String,
    pub(super) value: Result<Box<Expression>, EvaluateError>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Integer(u128),
    Float(f64),
    Bool(bool),
    Character(char),
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unary {
    Negate,
    Not,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    BitOr,
    BitXor,
    BitAnd,
    ShiftLeft,
    ShiftRight,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Operators by precedence, weakest first; longer ones before those that they begin with.
const OPERATORS: [&[(&str, Binary)]; 9] = [
    &[("||", Binary::Or)],
    &[("&&", Binary::And)],
    &[
        ("==", Binary::Equal),
        ("!=", Binary::NotEqual),
        ("<=", Binary::LessOrEqual),
        (">=", Binary::GreaterOrEqual),
        ("<", Binary::Less),
        (">", Binary::Greater),
    ],
    &[("|", Binary::BitOr)],
    &[("^", Binary::BitXor)],
    &[("&", Binary::BitAnd)],
    &[("<<", Binary::ShiftLeft), (">>", Binary::ShiftRight)],
    &[("+", Binary::Add), ("-", Binary::Subtract)],
    &[("*", Binary::Multiply), ("/", Binary::Divide), ("%", Binary::Remainder)],
];
/// The level of comparisons, which cannot be chained.
const COMPARISONS: usize = 2;

/// Reads a whole expression.
pub(super) fn parse(text: &str) -> Result<Expression, EvaluateError> {
    if text.len() > LENGTH_MAX {
        let what = format!("an expression has at most {LENGTH_MAX} bytes");
        let over = text.floor_char_boundary(LENGTH_MAX)..text.len();
        return Err(EvaluateError::new(Obstacle::Syntax, over, what));
    }
    Parser { text, at: 0, end: text.len(), parts: 0, nesting: 0 }.whole()
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    /// Where this expression ends at the latest: a bracket's content is read in place, so that spans fit the whole text.
    end: usize,
    parts: usize,
    nesting: usize,
}

type Parsed = Result<Expression, EvaluateError>;

impl<'t> Parser<'t> {
    fn whole(&mut self) -> Parsed {
        let expression = self.binary(0)?;
        self.blanks();
        if self.at < self.end {
            return Err(self.error_here("this does not belong here", "an operator or a step was expected"));
        }
        Ok(expression)
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..self.end).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// A word that is not the beginning of a longer one.
    fn take_word(&mut self, word: &str) -> bool {
        let found = self.rest().strip_prefix(word).is_some_and(|rest| !rest.starts_with(is_name));
        found && self.take(word)
    }

    fn error_here(&self, what: &str, why: &str) -> EvaluateError {
        let end = self.at + self.peek().map_or(0, char::len_utf8);
        let what = if self.at >= self.end { "the expression ends here" } else { what };
        EvaluateError { why: why.to_owned(), ..EvaluateError::new(Obstacle::Syntax, self.at..end, what) }
    }

    fn part(&mut self) -> Result<(), EvaluateError> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            let why = format!("there may be {PARTS_MAX} names, steps and operators");
            return Err(self.error_here("the expression is too long", &why));
        }
        Ok(())
    }

    fn nested(&mut self, parse: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.nesting == NESTING_MAX {
            let why = format!("there may be {NESTING_MAX} parentheses, brackets and signs within each other");
            return Err(self.error_here("the expression is nested too deeply", &why));
        }
        self.nesting += 1;
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }

    /// Operators that bind at least as strongly as those of the level, by precedence climbing: one call for each nesting that is
    /// written, not one for each level, because every thread's stack is finite.
    fn binary(&mut self, weakest: usize) -> Parsed {
        let mut left = self.cast()?;
        loop {
            self.blanks();
            if weakest <= COMPARISONS && self.take_word("is") {
                self.blanks();
                self.part()?;
                let name = self.path()?;
                left = join(left.span.start..self.at, Node::Is(Box::new(left), name));
                continue;
            }
            let Some((level, token, operator)) = self.operator().filter(|(level, ..)| *level >= weakest)
            else {
                return Ok(left);
            };
            self.at += token.len();
            self.part()?;
            let right = self.binary(level + 1)?;
            let span = left.span.start..right.span.end;
            left = join(span, Node::Binary(operator, Box::new(left), Box::new(right)));
            self.blanks();
            if level == COMPARISONS && self.operator().is_some_and(|(next, ..)| next == COMPARISONS) {
                return Err(self.error_here("comparisons cannot be chained", "join two of them with `&&`"));
            }
        }
    }

    /// The operator that stands here, with its level.
    fn operator(&self) -> Option<(usize, &'static str, Binary)> {
        let levels = OPERATORS.iter().enumerate();
        let mut all =
            levels.flat_map(|(level, operators)| operators.iter().map(move |it| (level, it.0, it.1)));
        all.find(|(_, token, _)| self.has_operator(token))
    }

    /// `&` of `&&` and `<` of `<<` are not operators of their own.
    fn has_operator(&self, token: &str) -> bool {
        let Some(after) = self.rest().strip_prefix(token) else { return false };
        let doubled = matches!(token, "|" | "&" | "<" | ">");
        !(doubled && after.starts_with(token))
    }

    fn cast(&mut self) -> Parsed {
        let mut value = self.unary()?;
        loop {
            self.blanks();
            if !self.take_word("as") {
                return Ok(value);
            }
            self.blanks();
            self.part()?;
            let kind = self.path()?;
            value = join(value.span.start..self.at, Node::Cast(Box::new(value), kind));
        }
    }

    fn unary(&mut self) -> Parsed {
        self.blanks();
        let start = self.at;
        let Some(sign) = self.peek().filter(|sign| matches!(sign, '-' | '!' | '*' | '&')) else {
            return self.steps();
        };
        self.at += sign.len_utf8();
        self.part()?;
        let inner = Box::new(self.nested(Self::unary)?);
        let node = match sign {
            '-' => Node::Unary(Unary::Negate, inner),
            '!' => Node::Unary(Unary::Not, inner),
            '*' => Node::Dereference(inner),
            _ => Node::AddressOf(inner),
        };
        Ok(join(start..self.at, node))
    }

    fn steps(&mut self) -> Parsed {
        let mut value = self.primary()?;
        loop {
            self.blanks();
            let start = value.span.start;
            let node = if self.take("->") {
                self.blanks();
                Node::Field(Box::new(value), self.field()?)
            } else if self.rest().starts_with('.') && !self.rest().starts_with("..") {
                self.at += 1;
                self.blanks();
                if self.take("*") {
                    Node::Dereference(Box::new(value))
                } else {
                    Node::Field(Box::new(value), self.field()?)
                }
            } else if self.rest().starts_with('[') {
                self.bracket(value)?
            } else {
                return Ok(value);
            };
            self.part()?;
            value = join(start..self.at, node);
        }
    }

    fn field(&mut self) -> Result<String, EvaluateError> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            let name = self.rest().get(..digits).unwrap_or_default().to_owned();
            self.at += digits;
            return Ok(name);
        }
        self.name()
    }

    fn name(&mut self) -> Result<String, EvaluateError> {
        if self.take("`") {
            let rest = self.rest();
            let Some(end) = rest.find('`') else {
                return Err(self.error_here("a name in backquotes has no end", "another ` is missing"));
            };
            self.at += end + 1;
            return Ok(rest.get(..end).unwrap_or_default().to_owned());
        }
        let rest = self.rest();
        let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        if length == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.error_here("a name was expected", ""));
        }
        self.at += length;
        Ok(rest.get(..length).unwrap_or_default().to_owned())
    }

    /// Names joined by `::`.
    fn path(&mut self) -> Result<String, EvaluateError> {
        let mut path = self.name()?;
        while self.take("::") {
            path += "::";
            path += &self.name()?;
        }
        Ok(path)
    }

    fn primary(&mut self) -> Parsed {
        self.blanks();
        self.part()?;
        let start = self.at;
        if self.take("(") {
            let inner = self.nested(|inner| inner.binary(0))?;
            self.blanks();
            if !self.take(")") {
                return Err(self.error_here("`)` is missing", ""));
            }
            return Ok(join(start..self.at, inner.node));
        }
        let node = match self.peek() {
            Some('0'..='9') => Node::Literal(self.number()?),
            Some('"') => {
                let (text, _) = self.quoted('"')?;
                Node::Literal(Literal::Text(text))
            }
            Some('\'') => {
                let (text, span) = self.quoted('\'')?;
                let mut characters = text.chars();
                match (characters.next(), characters.next()) {
                    (Some(character), None) => Node::Literal(Literal::Character(character)),
                    _ => {
                        let what = "one character was expected between the quotes";
                        return Err(EvaluateError::new(Obstacle::Syntax, span, what));
                    }
                }
            }
            Some('`') => Node::Name(self.path()?),
            _ => match self.path()? {
                word if word == "true" => Node::Literal(Literal::Bool(true)),
                word if word == "false" => Node::Literal(Literal::Bool(false)),
                word => Node::Name(word),
            },
        };
        Ok(join(start..self.at, node))
    }

    fn number(&mut self) -> Result<Literal, EvaluateError> {
        let start = self.at;
        let radix = match () {
            () if self.take("0x") || self.take("0X") => 16,
            () if self.take("0b") => 2,
            () if self.take("0o") => 8,
            () => 10,
        };
        let digits = self.digits(radix);
        let fraction =
            self.rest().strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let exponent = radix == 10 && self.rest().starts_with(['e', 'E']);
        let error = |parser: &Self, what: &str| {
            Err(EvaluateError::new(Obstacle::Syntax, start..parser.at.max(start + 1), what))
        };
        if radix == 10 && (fraction || exponent) {
            let mut text = digits;
            if fraction {
                self.at += 1;
                text = format!("{text}.{}", self.digits(10));
            }
            if self.take("e") || self.take("E") {
                let sign = if self.take("-") { "-" } else { "" };
                self.take("+");
                text = format!("{text}e{sign}{}", self.digits(10));
            }
            return match text.parse() {
                Ok(float) if !self.rest().starts_with(is_name) => Ok(Literal::Float(float)),
                _ => error(self, "this is not a number"),
            };
        }
        match u128::from_str_radix(&digits, radix) {
            Ok(number) if !self.rest().starts_with(is_name) => Ok(Literal::Integer(number)),
            _ => error(self, "this is not a number of at most 128 bits"),
        }
    }

    /// Digits without the `_` between them.
    fn digits(&mut self, radix: u32) -> String {
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_digit(radix) && c != '_').unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default().replace('_', "")
    }

    /// A text in quotes, with its escapes resolved.
    fn quoted(&mut self, quote: char) -> Result<(String, Range<usize>), EvaluateError> {
        let start = self.at;
        let rest = self.rest().get(1..).unwrap_or_default();
        match unquote(rest, quote) {
            Some((text, length)) => {
                self.at += 1 + length;
                Ok((text, start..self.at))
            }
            None => {
                let what = "a text in quotes has no end, or an unknown escape";
                Err(EvaluateError::new(Obstacle::Syntax, start..self.end.max(start + 1), what))
            }
        }
    }

    /// `[…]` behind `value`.
    fn bracket(&mut self, value: Expression) -> Result<Node, EvaluateError> {
        let open = self.at;
        let Some(close) = closing(self.rest()).map(|length| open + length) else {
            let what = "`]` is missing";
            return Err(EvaluateError::new(Obstacle::Syntax, open..open + 1, what));
        };
        let written = self.text.get(open + 1..close).unwrap_or_default().trim().to_owned();
        // A range is told by its dots outside of quotes and brackets.
        let node = match dots(self.text.get(open + 1..close).unwrap_or_default()) {
            Some(at) => {
                let dots = open + 1 + at;
                let first = self.bound(open + 1, dots)?;
                Node::Slice(Box::new(value), first, self.bound(dots + 2, close)?)
            }
            None => {
                let parsed = self.within(open + 1, close).map(Box::new);
                Node::Index(Box::new(value), Index { written, value: parsed })
            }
        };
        self.at = close + 1;
        Ok(node)
    }

    /// A whole expression within the text.
    fn within(&mut self, from: usize, to: usize) -> Parsed {
        let mut inner = Parser { text: self.text, at: from, end: to, ..*self };
        let parsed = inner.nested(Self::whole);
        self.parts = inner.parts;
        parsed
    }

    /// A bound of a range, which may be missing.
    fn bound(&mut self, from: usize, to: usize) -> Result<Option<Box<Expression>>, EvaluateError> {
        match self.text.get(from..to).unwrap_or_default().trim() {
            "" => Ok(None),
            _ => Ok(Some(Box::new(self.within(from, to)?))),
        }
    }
}

fn join(span: Range<usize>, node: Node) -> Expression {
    Expression { span, node }
}

pub(super) fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Bytes up to the bracket that closes the one at the beginning.
fn closing(text: &str) -> Option<usize> {
    outside_quotes(text)
        .try_fold(0usize, |open, (at, c)| match c {
            '[' => Ok(open + 1),
            ']' if open == 1 => Err(at),
            ']' => Ok(open.saturating_sub(1)),
            _ => Ok(open),
        })
        .err()
}

/// Where the `..` of a range stands.
fn dots(text: &str) -> Option<usize> {
    let mut open = 0usize;
    let mut last = None;
    for (at, c) in outside_quotes(text) {
        match c {
            '[' | '(' => open += 1,
            ']' | ')' => open = open.saturating_sub(1),
            '.' if open == 0 && last.is_some_and(|last: usize| last + 1 == at) => return at.checked_sub(1),
            '.' => last = Some(at),
            _ => {}
        }
    }
    None
}

/// Characters that are not within quotes. A quote that has no end is taken for a character (`'a` in a type's name).
fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    let mut skip = 0;
    text.char_indices().filter(move |(at, c)| {
        if *at < skip {
            return false;
        }
        if matches!(c, '"' | '\'')
            && let Some((_, length)) = text.get(at + 1..).and_then(|rest| unquote(rest, *c))
        {
            skip = at + 1 + length;
            return false;
        }
        true
    })
}

/// A text up to the closing quote, with its escapes resolved, and how long it and the quote are. Escapes as they are shown:
/// `\n` `\r` `\t` `\0` `\\` `\'` `\"` `\x1b` `\u{e4}`.
pub(super) fn unquote(text: &str, quote: char) -> Option<(String, usize)> {
    let mut unquoted = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        if c == quote {
            return Some((unquoted, at + c.len_utf8()));
        }
        if c != '\\' {
            unquoted.push(c);
            continue;
        }
        let (at, escape) = characters.next()?;
        unquoted.push(match escape {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            '\\' | '\'' | '"' => escape,
            'x' => {
                let digits = text.get(at + 1..at + 3)?;
                characters.nth(1)?;
                char::from(u8::from_str_radix(digits, 16).ok()?)
            }
            'u' => {
                let digits = text.get(at + 1..)?.strip_prefix('{')?;
                let length = digits.find('}')?;
                characters.nth(length + 1)?;
                char::from_u32(u32::from_str_radix(digits.get(..length)?, 16).ok()?)?
            }
            _ => return None,
        });
    }
    None
}

#[cfg(test)]
mod tests;
