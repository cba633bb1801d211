//! Passwords, as hashes that take time and memory to try (argon2id, RFC 9106, with the parameters that OWASP names: 19 MiB, two
//! passes). Both functions block for some dozens of milliseconds.

use std::sync::OnceLock;

use argon2::{Argon2, PasswordHasher, PasswordVerifier};

/// Shortest password, in characters: length is what makes one hard to guess (NIST SP 800-63B section 5.1.1).
const MIN_CHARACTERS: usize = 10;
/// Longest password that is looked at, in bytes.
const MAX_BYTES: usize = 1024;

/// Why a password cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PasswordError {
    #[error("the password is too short: at least {MIN_CHARACTERS} characters are needed")]
    Short,
    #[error("the password is too long: at most {MAX_BYTES} bytes are taken")]
    Long,
    #[error("the system has no randomness")]
    NoRandomness,
}

/// The hash of a new password, as a PHC string.
pub(super) fn hash(password: &str) -> Result<String, PasswordError> {
    if password.chars().count() < MIN_CHARACTERS {
        return Err(PasswordError::Short);
    }
    if password.len() > MAX_BYTES {
        return Err(PasswordError::Long);
    }
    hash_any(password)
}

fn hash_any(password: &str) -> Result<String, PasswordError> {
    let mut salt = [0_u8; 16];
    getrandom::fill(&mut salt).map_err(|_| PasswordError::NoRandomness)?;
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
    // Length and parameters are those that it was made for.
    hash.map(|hash| hash.to_string()).map_err(|_| PasswordError::Long)
}

/// Whether it is the password of this hash. Without a hash the answer is no, after as much work.
pub(super) fn is_right(password: &str, hash: Option<&str>) -> bool {
    if password.len() > MAX_BYTES {
        return false;
    }
    let against = hash.or_else(|| decoy().as_deref()).unwrap_or_default();
    let fits = Argon2::default().verify_password(password.as_bytes(), against).is_ok();
    fits && hash.is_some()
}

/// A hash of nothing that anybody knows.
fn decoy() -> &'static Option<String> {
    static DECOY: OnceLock<Option<String>> = OnceLock::new();
    DECOY.get_or_init(|| hash_any("").ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_is_right() {
        let stored = hash("correct horse").unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(is_right("correct horse", Some(&stored)));
        assert!(!is_right("correct horse ", Some(&stored)));
        assert!(!is_right(&"x".repeat(2000), Some(&stored)));
        assert!(!is_right("", None) && !is_right("correct horse", None));
        assert!(!is_right("correct horse", Some("no hash")));
        assert_ne!(hash("correct horse").unwrap(), stored, "each has a salt of its own");
    }

    #[test]
    fn an_unknown_name_costs_as_much_as_a_wrong_password() {
        let parameters = |stored: &str| stored.rsplitn(3, '$').nth(2).map(str::to_owned);
        let decoy = decoy().as_deref().expect("made");
        assert_eq!(parameters(decoy), parameters(&hash("correct horse").unwrap()));
        assert!(Argon2::default().verify_password(b"", decoy).is_ok(), "it is verified to the end");
    }

    #[test]
    fn short_and_endless_ones_are_not_taken() {
        assert_eq!(hash("ninechars"), Err(PasswordError::Short));
        assert_eq!(hash(&"x".repeat(1025)), Err(PasswordError::Long));
    }
}
