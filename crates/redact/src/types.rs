//! Types whose values are secrets whatever they are called: wrappers that programs use to say just that.

use crate::RuleError;

/// Types that mean a secret by themselves. Languages other than Rust write `::` or `.` between the same words.
const BUILT_IN: &[&str] = &[
    "secrecy::Secret*",
    "redact::Secret",
    "secstr::Sec*",
    "zeroize::Zeroizing",
    "*Password",
    "*Passphrase",
    "SecretString",
    "SecretBox",
    "SecretKey",
    "PrivateKey",
    "ApiKey",
];

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 256;
/// Longest path that is compared, in bytes.
const PATH_BYTES_MAX: usize = 4096;

/// The built-in types and those of an installation.
#[derive(Default)]
pub(crate) struct Types {
    extra: Vec<String>,
    allowed: Vec<String>,
}

impl Types {
    pub(crate) fn new(extra: &[String], allowed: &[String]) -> Result<Self, RuleError> {
        for pattern in extra.iter().chain(allowed) {
            let says_something = pattern.chars().any(char::is_alphanumeric);
            if !says_something || pattern.len() > PATTERN_BYTES_MAX {
                return Err(RuleError::Type { pattern: pattern.clone() });
            }
        }
        Ok(Self { extra: extra.to_vec(), allowed: allowed.to_vec() })
    }

    /// Whether values of the type are secrets.
    pub(crate) fn is_secret(&self, path: &str) -> bool {
        let path = path.split('<').next().unwrap_or_default();
        if path.is_empty() || path.len() > PATH_BYTES_MAX {
            return false;
        }
        let any = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern, path));
        !any(&self.allowed) && (any(&self.extra) || BUILT_IN.iter().any(|pattern| fits(pattern, path)))
    }
}

/// A pattern with `::` is compared with the whole path, one without with its last name. `*` stands for any characters.
fn fits(pattern: &str, path: &str) -> bool {
    let last = path.rsplit([':', '.']).next().unwrap_or(path);
    let text = if pattern.contains("::") { path } else { last };
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(end) = pattern.rsplit_once('*').map(|(_, end)| end) else { return rest.is_empty() };
    let Some(inner) = rest.strip_suffix(end) else { return false };
    rest = inner;
    let between: Vec<&str> = parts.collect();
    // The first place is the best one for every part: what comes after it is longest.
    between.iter().take(between.len().saturating_sub(1)).all(|part| match rest.find(part) {
        Some(at) => {
            rest = rest.get(at + part.len()..).unwrap_or_default();
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_compared_with_the_path_or_its_last_name() {
        for (pattern, path, expected) in [
            ("secrecy::Secret*", "secrecy::SecretBox", true),
            ("secrecy::Secret*", "my::secrecy::SecretBox", false),
            ("*::SecretBox", "my::secrecy::SecretBox", true),
            ("*Password", "shop::users::NewPassword", true),
            ("*Password", "shop::PasswordPolicy", false),
            ("Password", "Password", true),
            ("Pass*d*", "Password", true),
            ("Pass*x*", "Password", false),
            ("*", "anything", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern} and {path}");
        }
    }

    #[test]
    fn what_is_allowed_wins_and_generic_arguments_do_not_count() {
        let own = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let types = Types::new(&own(&["shop::Iban"]), &own(&["shop::ui::*"])).expect("usable");
        assert!(types.is_secret("shop::Iban"));
        assert!(types.is_secret("zeroize::Zeroizing<alloc::string::String>"));
        assert!(!types.is_secret("shop::ui::Password"));
        assert!(!types.is_secret("alloc::vec::Vec<shop::Password>"));
        assert!(Types::new(&own(&["*"]), &[]).is_err());
    }
}
