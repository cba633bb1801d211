//! Secrets are taken out before anything is stored.
//!
//! Names alone leak: a deny-list of names knows neither `dsn` nor the panic message that quotes it. So values are looked
//! at as well, in variables and in free text. What looks like a secret is replaced by `‹redacted: jwt›`, the rest of the
//! text is kept.
//!
//! What is found, and where the line was drawn:
//!
//! | by | found | left alone on purpose |
//! |---|---|---|
//! | name | passwords, secrets, tokens, API and private keys, credentials, cookies, sessions, PIN, CVV, SSN … word by word in snake, kebab and camel case | `tokenizer`, `tokens_per_second`, `cookie_name`, `cancellation_token` |
//! | type | `secrecy::Secret…`, `zeroize::Zeroizing`, `redact::Secret`, types that are called `…Password`, `SecretKey` and their like | containers of them: their elements are found one by one |
//! | shape | JWT, PEM blocks, `Bearer`/`Basic`, passwords in URLs, payment cards (known issuer and Luhn), keys with a well-known prefix | certificates' neighbours, port numbers, timestamps |
//! | place | `key=value`, `"key": "value"`, query strings, `--key value`, `Cookie:`, `Set-Cookie:`, `Authorization:` | `true`, `null`, empty values |
//! | randomness | runs of 20 and more base64 characters that read like dice; 32 and more hexadecimal digits | UUIDs, trace ids, hashes that are introduced as such (`commit 1f3a…`, `build_id=`), paths, identifiers, mangled names |
//!
//! The time taken is linear in the length of the text whatever the text is, and redacting twice changes nothing. This
//! crate knows nothing of where texts come from and keeps none of them.

mod card;
mod lines;
mod names;
mod pairs;
mod random;
mod shape;
mod span;
mod types;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use regex::Regex;

pub use crate::lines::LineRedactor;
use crate::names::Names;
use crate::span::{Reason, Spans};
use crate::types::Types;

/// Longest list of names or patterns that is accepted.
const RULES_MAX: usize = 256;
/// Longest pattern that is accepted, in bytes.
const PATTERN_BYTES_MAX: usize = 4096;
/// Passes over a text until it does not change any more. One suffices unless the text was made to resist.
const PASSES_MAX: u32 = 6;

/// What an installation adds to the built-in rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// More names that mean a secret, for example `iban`; each matches as consecutive words anywhere in a name.
    pub names: Vec<String>,
    /// More types whose values are secrets, as paths without generic arguments: `shop::Iban`, or `Iban` for any type of that
    /// name. `*` stands for any characters.
    pub types: Vec<String>,
    /// Regular expressions (syntax of the `regex` crate); every match in a value is a secret.
    pub patterns: Vec<String>,
    /// Names that mean no secret although the rules say so, compared as a whole: `session_id` also allows `sessionId`.
    /// Their values are still looked at.
    pub allow_names: Vec<String>,
    /// Types whose values are no secrets although the rules say so, written like `types`. Their parts are still looked at.
    pub allow_types: Vec<String>,
    /// Regular expressions for what looks like a secret and is none (a test card, a public key): it must fit the whole of what
    /// was taken for a secret. Values that are secret for their name or type stay so.
    pub allow_patterns: Vec<String>,
}

/// A rule that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// Not a regular expression.
    #[error("redaction pattern {number} is not a usable regular expression: {pattern}")]
    Pattern {
        /// Counted from 1.
        number: usize,
        /// As given.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: regex::Error,
    },
    /// It matches the empty text, so it would match everywhere.
    #[error("redaction pattern {number} matches the empty text: {pattern}")]
    MatchesEmpty {
        /// Counted from 1.
        number: usize,
        /// As given.
        pattern: String,
    },
    /// Longer than any sensible pattern.
    #[error("redaction pattern {number} is longer than {PATTERN_BYTES_MAX} bytes")]
    PatternTooLong {
        /// Counted from 1.
        number: usize,
    },
    /// Without a letter or digit it says nothing; or it is too long.
    #[error("redaction type {pattern:?} is not a usable pattern of type names")]
    Type {
        /// As given.
        pattern: String,
    },
    /// Without a letter or digit there is nothing to compare.
    #[error("redaction name {name:?} has no letter or digit")]
    EmptyName {
        /// As given.
        name: String,
    },
    /// Too many rules of one kind.
    #[error("more than {RULES_MAX} redaction {kind}")]
    TooMany {
        /// `names`, `patterns`, `allowed names` and so on.
        kind: &'static str,
    },
}

/// Finds secrets by name and by value. Cloning is cheap: clones share the rules.
#[derive(Clone)]
pub struct Redactor {
    rules: Arc<Compiled>,
}

struct Compiled {
    names: Names,
    types: Types,
    patterns: Vec<Regex>,
    allowed: Vec<Regex>,
}

impl Default for Redactor {
    /// With the built-in rules only.
    fn default() -> Self {
        let rules = Compiled {
            names: Names::default(),
            types: Types::default(),
            patterns: Vec::new(),
            allowed: Vec::new(),
        };
        Self { rules: Arc::new(rules) }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("patterns", &self.rules.patterns.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// With the built-in rules and `rules`.
    pub fn new(rules: &Rules) -> Result<Self, RuleError> {
        for (kind, list) in [
            ("names", &rules.names),
            ("types", &rules.types),
            ("patterns", &rules.patterns),
            ("allowed names", &rules.allow_names),
            ("allowed types", &rules.allow_types),
            ("allowed patterns", &rules.allow_patterns),
        ] {
            if list.len() > RULES_MAX {
                return Err(RuleError::TooMany { kind });
            }
        }
        let names = Names::new(&rules.names, &rules.allow_names)?;
        let types = Types::new(&rules.types, &rules.allow_types)?;
        let all = |patterns: &[String]| -> Result<Vec<Regex>, RuleError> {
            patterns.iter().enumerate().map(|(at, pattern)| compile(at + 1, pattern)).collect()
        };
        let patterns = all(&rules.patterns)?;
        // Each must be usable by itself before it is made to fit the whole of a text.
        all(&rules.allow_patterns)?;
        let whole = |pattern: &String| format!(r"\A(?:{pattern})\z");
        let allowed = all(&rules.allow_patterns.iter().map(whole).collect::<Vec<_>>())?;
        Ok(Self { rules: Arc::new(Compiled { names, types, patterns, allowed }) })
    }

    /// Why values of this type are secrets, whatever they are called; `path` is the type's full name.
    pub fn type_path(&self, path: &str) -> Option<String> {
        self.rules.types.is_secret(path).then(|| Reason::SecretType.as_str().to_owned())
    }

    /// Why a variable, header or key of this name holds a secret, whatever its value; `None` where it does not.
    pub fn name(&self, name: &str) -> Option<String> {
        self.rules.names.reason(name).map(|reason| reason.as_str().to_owned())
    }

    /// Why this variable must not be shown: for its name, or because its value contains a secret.
    /// Values that cannot be secret (`true`, `None`, nothing) never are.
    pub fn variable(&self, name: &str, value: &str) -> Option<String> {
        if span::is_marker(value) || pairs::is_harmless(value) {
            return None;
        }
        let named = self.rules.names.reason(name).filter(|reason| !is_ordinary_number(*reason, value));
        let reason = named.or_else(|| {
            let identifies = names::identifies(name);
            self.spans(value, identifies).first().map(|span| span.reason)
        })?;
        Some(reason.as_str().to_owned())
    }

    /// `text` with every secret in it replaced by `‹redacted: reason›`; borrowed where there is none.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Some(mut cleaned) = self.spans(text, false).replace(text) else {
            return Cow::Borrowed(text);
        };
        // What a mark replaced may have hidden something else; the text only counts as clean once a pass finds nothing.
        for _ in 1..PASSES_MAX {
            match self.spans(&cleaned, false).replace(&cleaned) {
                Some(again) if again != cleaned => cleaned = again,
                _ => return Cow::Owned(cleaned),
            }
        }
        Cow::Owned(Reason::Unclear.marker())
    }

    fn spans(&self, text: &str, identifies: bool) -> Spans {
        let mut spans = Spans::default();
        shape::pem_blocks(text, &mut spans);
        shape::json_web_tokens(text, &mut spans);
        shape::credentials(text, &mut spans);
        shape::url_passwords(text, &mut spans);
        shape::known_prefixes(text, &mut spans);
        card::numbers(text, &mut spans);
        pairs::named_values(text, &self.rules.names, &mut spans);
        random::tokens(text, identifies, &mut spans);
        if !self.rules.patterns.is_empty() {
            let markers = span::markers(text);
            for found in self.rules.patterns.iter().flat_map(|pattern| pattern.find_iter(text)) {
                spans.add_around(found.start(), found.end(), Reason::Custom, &markers);
            }
        }
        if !self.rules.allowed.is_empty() {
            spans.retain(|span| {
                let found = text.get(span.start..span.end).unwrap_or_default();
                !span.reason.is_by_look() || !self.rules.allowed.iter().any(|regex| regex.is_match(found))
            });
        }
        spans.merge();
        spans
    }
}

/// Digits of a number that is too small to sign anything.
const ORDINARY_DIGITS_MAX: usize = 10;

/// Whether the value belies the name: `sig = 11` is the number of a signal.
fn is_ordinary_number(reason: Reason, value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    reason == Reason::Signature
        && (1..=ORDINARY_DIGITS_MAX).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn compile(number: usize, pattern: &str) -> Result<Regex, RuleError> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(RuleError::PatternTooLong { number });
    }
    let regex = regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .dfa_size_limit(1 << 20)
        .build()
        .map_err(|source| RuleError::Pattern { number, pattern: pattern.to_owned(), source })?;
    if regex.is_match("") {
        return Err(RuleError::MatchesEmpty { number, pattern: pattern.to_owned() });
    }
    Ok(regex)
}
