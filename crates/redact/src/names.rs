//! Names that mean a secret, compared word by word.
//!
//! `apiKey`, `API_KEY` and `x-api-key` are the words *api key*; `tokenizer` is one word and not *token*. Strong words
//! (*password*) make a secret of whatever contains them, unless the last word says that it is only about the secret
//! (`password_length`). Weak words (*token*, *session*) are also ordinary vocabulary of programs: they count only where
//! nothing but the secret itself can be meant (`auth_token`, `session_id`, not `token_kind`).

use crate::RuleError;
use crate::span::Reason;

/// Only so much of the end of a name is looked at, in bytes; no program has longer names.
const NAME_BYTES_MAX: usize = 256;

const STRONG: &[(&str, Reason)] = &[
    ("password", Reason::Password),
    ("passwords", Reason::Password),
    ("passwd", Reason::Password),
    ("passphrase", Reason::Password),
    ("passcode", Reason::Password),
    ("pwd", Reason::Password),
    ("secret", Reason::Secret),
    ("secrets", Reason::Secret),
    ("credential", Reason::Credential),
    ("credentials", Reason::Credential),
    ("creds", Reason::Credential),
    ("apikey", Reason::ApiKey),
    ("privatekey", Reason::PrivateKey),
    ("authorization", Reason::Authorization),
    ("mnemonic", Reason::Secret),
    ("cvv", Reason::CardCode),
    ("cvc", Reason::CardCode),
    ("ssn", Reason::SocialSecurity),
    ("jwt", Reason::Token),
    ("sessionid", Reason::Session),
    ("sessid", Reason::Session),
    ("totp", Reason::OneTimeCode),
];

/// Parts of a single word that give it away: `pgpassword`, `JSESSIONID`, `clientsecret`.
const STRONG_PARTS: &[(&str, Reason)] = &[
    ("password", Reason::Password),
    ("passwd", Reason::Password),
    ("passphrase", Reason::Password),
    ("sessionid", Reason::Session),
    ("sessid", Reason::Session),
    ("apikey", Reason::ApiKey),
    ("clientsecret", Reason::Secret),
    ("secretkey", Reason::Secret),
    ("privatekey", Reason::PrivateKey),
    ("accesskey", Reason::Key),
    ("authtoken", Reason::Token),
    ("accesstoken", Reason::Token),
    ("refreshtoken", Reason::Token),
    ("csrftoken", Reason::Token),
    ("cardnumber", Reason::CardNumber),
];

const WEAK: &[(&str, Reason)] = &[
    ("token", Reason::Token),
    ("cookie", Reason::Cookie),
    ("cookies", Reason::Cookie),
    ("session", Reason::Session),
    ("sid", Reason::Session),
    ("pin", Reason::Pin),
    ("pincode", Reason::Pin),
    ("auth", Reason::Authorization),
    ("bearer", Reason::Token),
    ("csrf", Reason::Token),
    ("xsrf", Reason::Token),
    ("otp", Reason::OneTimeCode),
    ("sig", Reason::Signature),
    ("signature", Reason::Signature),
];

/// Two words in a row.
const PAIRS: &[(&str, &str, Reason)] = &[
    ("api", "key", Reason::ApiKey),
    ("api", "keys", Reason::ApiKey),
    ("private", "key", Reason::PrivateKey),
    ("access", "key", Reason::Key),
    ("signing", "key", Reason::Key),
    ("encryption", "key", Reason::Key),
    ("decryption", "key", Reason::Key),
    ("master", "key", Reason::Key),
    ("ssh", "key", Reason::PrivateKey),
    ("auth", "key", Reason::Key),
    ("account", "key", Reason::Key),
    ("hmac", "key", Reason::Key),
    ("session", "key", Reason::Session),
    ("session", "token", Reason::Session),
    ("license", "key", Reason::Key),
    ("shared", "key", Reason::Key),
    ("access", "tokens", Reason::Token),
    ("auth", "tokens", Reason::Token),
    ("refresh", "tokens", Reason::Token),
    ("api", "tokens", Reason::Token),
    ("pass", "phrase", Reason::Password),
    ("seed", "phrase", Reason::Secret),
    ("pass", "word", Reason::Password),
    ("db", "pass", Reason::Password),
    ("database", "pass", Reason::Password),
    ("user", "pass", Reason::Password),
    ("smtp", "pass", Reason::Password),
    ("mail", "pass", Reason::Password),
    ("admin", "pass", Reason::Password),
    ("root", "pass", Reason::Password),
    ("redis", "pass", Reason::Password),
    ("pg", "pass", Reason::Password),
    ("postgres", "pass", Reason::Password),
    ("mysql", "pass", Reason::Password),
    ("credit", "card", Reason::CardNumber),
    ("card", "number", Reason::CardNumber),
    ("card", "pan", Reason::CardNumber),
    ("security", "code", Reason::CardCode),
    ("verification", "code", Reason::OneTimeCode),
    ("recovery", "code", Reason::OneTimeCode),
    ("recovery", "codes", Reason::OneTimeCode),
    ("social", "security", Reason::SocialSecurity),
];

/// As the last word: the value is about the secret, not the secret.
const DESCRIBES: &[&str] = &[
    "count",
    "len",
    "length",
    "size",
    "limit",
    "min",
    "max",
    "policy",
    "name",
    "names",
    "kind",
    "type",
    "index",
    "idx",
    "timeout",
    "ttl",
    "expiry",
    "expires",
    "expiration",
    "age",
    "url",
    "uri",
    "endpoint",
    "path",
    "file",
    "filename",
    "dir",
    "domain",
    "enabled",
    "required",
    "version",
    "provider",
    "manager",
    "store",
    "factory",
    "service",
    "error",
    "attempts",
    "retries",
    "status",
    "at",
    "ms",
    "secs",
    "seconds",
    "bytes_len",
    "position",
];

/// After a weak word: still the secret itself.
const CARRIES: &[&str] = &[
    "value",
    "val",
    "string",
    "str",
    "text",
    "raw",
    "plain",
    "plaintext",
    "bytes",
    "hex",
    "b64",
    "base64",
    "header",
    "hash",
    "id",
    "key",
    "token",
    "secret",
    "cookie",
    "encoded",
    "data",
    "param",
    "old",
    "new",
    "current",
    "input",
    "code",
    "jwt",
    "prod",
    "production",
    "staging",
    "test",
    "dev",
    "live",
];

/// Before `token`: something else than a credential.
const HARMLESS_TOKENS: &[&str] = &[
    "next",
    "page",
    "continuation",
    "cancellation",
    "cancel",
    "cancelation",
    "stop",
    "shutdown",
    "sync",
    "lexer",
    "parser",
    "first",
    "last",
    "peek",
    "peeked",
    "prev",
    "previous",
    "expected",
    "unexpected",
    "eof",
    "invalid",
];

/// Words that introduce a value which identifies something without opening anything.
const IDENTIFIES: &[&str] = &[
    "trace",
    "traceid",
    "traceparent",
    "span",
    "spanid",
    "sha",
    "sha1",
    "sha256",
    "sha512",
    "md5",
    "commit",
    "rev",
    "revision",
    "build",
    "buildid",
    "digest",
    "fingerprint",
    "etag",
    "checksum",
    "hash",
    "git",
    "blob",
    "tree",
    "id",
    "uuid",
    "image",
    "version",
    "integrity",
    "request",
    "crc",
];

/// The built-in names and those of an installation.
#[derive(Default)]
pub(crate) struct Names {
    extra: Vec<Vec<String>>,
    allowed: Vec<Vec<String>>,
}

impl Names {
    pub(crate) fn new(extra: &[String], allowed: &[String]) -> Result<Self, RuleError> {
        let split = |list: &[String]| -> Result<Vec<Vec<String>>, RuleError> {
            let words = |name: &String| match words(name) {
                words if words.is_empty() => Err(RuleError::EmptyName { name: name.clone() }),
                words => Ok(words),
            };
            list.iter().map(words).collect()
        };
        Ok(Self { extra: split(extra)?, allowed: split(allowed)? })
    }

    /// Why this name means a secret.
    pub(crate) fn reason(&self, name: &str) -> Option<Reason> {
        let words = words(name);
        if words.is_empty() || self.allowed.contains(&words) {
            return None;
        }
        if self.extra.iter().any(|extra| words.windows(extra.len()).any(|window| window == extra.as_slice()))
        {
            return Some(Reason::Custom);
        }
        built_in(&words)
    }
}

/// Whether a value of this name identifies something (`trace_id`, `commit`), so that a random look is expected.
pub(crate) fn identifies(name: &str) -> bool {
    words(name).iter().any(|word| IDENTIFIES.contains(&word.as_str()))
}

fn built_in(words: &[String]) -> Option<Reason> {
    let last = words.last()?.as_str();
    if DESCRIBES.contains(&last) {
        return None;
    }
    for (at, word) in words.iter().enumerate() {
        let word = without_number(word);
        let next = words.get(at + 1).map(String::as_str);
        if let Some(&(.., reason)) = PAIRS
            .iter()
            .find(|(first, second, _)| *first == word && Some(*second) == next.map(without_number))
        {
            return Some(reason);
        }
        if let Some(&(_, reason)) = STRONG.iter().find(|(strong, _)| *strong == word) {
            return Some(reason);
        }
        if let Some(&(_, reason)) = STRONG_PARTS.iter().find(|(part, _)| word.contains(part)) {
            return Some(reason);
        }
        let Some(&(weak, reason)) = WEAK.iter().find(|(weak, _)| *weak == word) else { continue };
        let carried = words.iter().skip(at + 1).all(|after| CARRIES.contains(&without_number(after)));
        let before = at.checked_sub(1).and_then(|at| words.get(at));
        let harmless =
            weak == "token" && before.is_some_and(|before| HARMLESS_TOKENS.contains(&before.as_str()));
        if carried && !harmless {
            return Some(reason);
        }
    }
    None
}

/// `password2` is still a password.
fn without_number(word: &str) -> &str {
    match word.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "" => word,
        stem => stem,
    }
}

/// The words of a name in snake, kebab, dotted, camel or Pascal case, in lower case.
pub(crate) fn words(name: &str) -> Vec<String> {
    let from = (name.len().saturating_sub(NAME_BYTES_MAX)..=name.len()).find(|&at| name.is_char_boundary(at));
    let chars: Vec<char> = name.get(from.unwrap_or(0)..).unwrap_or_default().chars().collect();
    let mut words = Vec::new();
    let mut word = String::new();
    for (at, &c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            finish(&mut words, &mut word);
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| chars.get(at)).copied().unwrap_or(' ');
        let after = chars.get(at + 1).copied().unwrap_or(' ');
        // `apiKey` and `api2Key` break before the K, `APIKey` as well: a capital that begins a word of small letters.
        let begins = before.is_lowercase() || before.is_ascii_digit() || after.is_lowercase();
        if c.is_uppercase() && begins {
            finish(&mut words, &mut word);
        }
        word.extend(c.to_lowercase());
    }
    finish(&mut words, &mut word);
    words
}

fn finish(words: &mut Vec<String>, word: &mut String) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}
