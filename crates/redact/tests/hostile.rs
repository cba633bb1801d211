//! Texts that were made to resist, to be slow or to break: redaction stays stable, linear and whole.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use freezeframe_redact::{LineRedactor, Redactor, Rules};
use proptest::prelude::*;

fn redactors() -> [Redactor; 2] {
    let rules = Rules {
        names: vec!["iban".to_owned()],
        patterns: vec![r"cust-\d+".to_owned(), "red.*t".to_owned()],
        allow_names: vec!["token".to_owned()],
        allow_patterns: vec!["[0-9]+".to_owned()],
        ..Rules::default()
    };
    [Redactor::default(), Redactor::new(&rules).expect("valid rules")]
}

fn check_stable(text: &str) {
    for redactor in redactors() {
        let once = redactor.text(text).into_owned();
        let twice = redactor.text(&once);
        assert_eq!(twice, once, "from {text:?}");
        let _ = redactor.variable(text, text);
    }
}

/// Pieces of secrets, separators and marks: their combinations reach further into the parsers than random bytes do.
fn piece() -> impl Strategy<Value = String> {
    let pieces: &'static [&'static str] = &[
        "password",
        "token",
        "api",
        "key",
        "Cookie",
        "session",
        "--secret",
        "<pin>",
        "</pin>",
        "=",
        ":",
        "::",
        "=>",
        " ",
        "\n",
        "\\n",
        "\"",
        "\\\"",
        "'",
        "`",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "Some(",
        "&",
        ",",
        ";",
        "|",
        "\\",
        "<",
        ">",
        "https://",
        "u:p@h/",
        "@",
        "/",
        "?",
        "#",
        "Bearer ",
        "Basic ",
        "dXNlcjpodW50ZXIy",
        "eyJhbGciOiJub25lIn0",
        ".",
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "-----",
        "MIIEvQIBADANBg",
        "4111 1111 1111 1111",
        "4111",
        "378282246310005",
        "-",
        "_",
        "ghp_",
        "AKIA",
        "sk-",
        "xoxb-",
        "9fKq2LmZ8vRt4XwB7nYc",
        "4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c",
        "commit ",
        "id ",
        "ü",
        "‹",
        "›",
        "‹redacted: ",
        "‹redacted: jwt›",
        "‹redacted: api key›",
        "redacted",
        "jwt›",
        "cust-12",
        "iban",
        "null",
        "true",
        "***",
        "\u{0}",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "_ZN",
        "sha256:",
        "hunter2",
        "A1b2",
        "\r",
        "\t",
    ];
    prop_oneof![6 => prop::sample::select(pieces).prop_map(str::to_owned), 1 => ".{0,6}", 1 => "[A-Za-z0-9+/_=-]{1,40}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn redacting_twice_changes_nothing(pieces in prop::collection::vec(piece(), 0..24)) {
        check_stable(&pieces.concat());
    }

    #[test]
    fn any_text_at_all(text in any::<String>()) {
        check_stable(&text);
    }

    #[test]
    fn a_password_never_survives_next_to_its_name(
        password in "[!-~&&[^\"'`\\\\*{}<>()\\[\\],;|&$%.]]{6,30}",
        separator in prop::sample::select(vec!["=", ": ", " = ", "\":\"", ": Some(\"", "=\""]),
        key in prop::sample::select(vec!["password", "DB_PASSWORD", "clientSecret", "api_key", "pgpassword"]),
    ) {
        prop_assume!(!["redacted", "undefined"].contains(&password.to_lowercase().as_str()));
        let text = format!("before {key}{separator}{password}\") after");
        let redacted = Redactor::default().text(&text).into_owned();
        prop_assert!(!redacted.contains(&password), "{}", redacted);
        prop_assert!(redacted.starts_with("before ") && redacted.ends_with(" after"), "{}", redacted);
    }

    #[test]
    fn lines_never_fail(lines in prop::collection::vec(piece(), 0..12)) {
        let redactor = Redactor::default();
        let mut state = LineRedactor::default();
        for line in &lines {
            let once = state.line(&redactor, line).into_owned();
            prop_assert_eq!(redactor.text(&once), once.as_str());
        }
    }
}

#[test]
fn texts_made_to_be_slow_take_linear_time() {
    // Quadratic time would take minutes for some of these, linear time takes a fraction of a second.
    let seeds = [
        "a",
        "1",
        "4111 ",
        "4",
        "-",
        "=",
        "password=",
        "password='",
        "token=\\\"",
        "token:[",
        "token:(\n",
        "token=a,",
        "a=b&",
        "cookie:",
        "Cookie: a\n",
        "://",
        "a://b:c/",
        "a://b:",
        "a://",
        "@",
        "-----BEGIN A-----",
        "-----BEGIN A-----\n",
        "-----END ",
        "eyJ",
        "eyJA",
        "-eyJA",
        "eyJhbGciOiJub25lIn0.",
        "eyJhbGciOiJub25lIn0-",
        "Bearer ",
        "Basic dXNlcjpodW50ZXIy ",
        "sk-",
        "sk-a_",
        "ghp_",
        "xoxb-",
        "AKIA",
        "a/",
        "aB3_",
        "0f-",
        "4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c ",
        "‹redacted: jwt›",
        "‹redacted: ",
        "‹",
        "password=‹",
        "\\",
        "\"",
        "api key ",
        "password=\\\\\"",
        "<pin>",
        "--pin ",
        "Some(",
        "token=Some( ",
        "\u{0}",
        "é",
        "cust-1",
        "redt",
        "red",
        "SG.aaaaaaaaaaaaaaaaaaaa",
    ];
    let mut backslashes = String::new();
    for count in 0..1400 {
        let _ = write!(backslashes, "token={}\"", "\\".repeat(count));
    }
    let texts = seeds.iter().map(|seed| seed.repeat((128 << 10) / seed.len())).chain([backslashes]);
    for text in texts {
        let began = Instant::now();
        for redactor in redactors() {
            let _ = redactor.text(&text);
        }
        let shown: String = text.chars().take(24).collect();
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "{shown:?} took {took:?}");
    }
}

/// A generator of its own, so that the figures below do not change.
fn random_token(state: &mut u64, alphabet: &[u8], len: usize) -> String {
    let mut next = || {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*state >> 33).unwrap_or(0)
    };
    (0..len).filter_map(|_| alphabet.get(next() % alphabet.len())).map(|&byte| char::from(byte)).collect()
}

#[test]
fn random_keys_are_found_by_their_looks_alone() {
    let base64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let base62 = base64.get(..62).expect("62 characters");
    let hex = b"0123456789abcdef";
    let redactor = Redactor::default();
    let mut state = 1;
    let mut found = |alphabet: &[u8], len: usize| {
        let tokens = (0..1000).map(|_| random_token(&mut state, alphabet, len));
        tokens
            .filter(|token| redactor.text(&format!("got {token} here")) != format!("got {token} here"))
            .count()
    };
    let counts = [
        found(base62, 22),
        found(base62, 32),
        found(base62, 43),
        found(base64, 40),
        found(base64, 64),
        found(hex, 32),
        found(hex, 64),
    ];
    for (count, least) in counts.into_iter().zip([870, 940, 965, 940, 980, 990, 990]) {
        assert!(count >= least, "{counts:?}");
    }
}
