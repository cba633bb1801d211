//! What is taken out and what is left alone, as tables.

use expect_test::{Expect, expect};
use freezeframe_redact::{LineRedactor, Redactor, RuleError, Rules};

fn check(texts: &[&str], expected: Expect) {
    let redactor = Redactor::default();
    let lines: Vec<String> = texts.iter().map(|text| redactor.text(text).into_owned()).collect();
    expected.assert_eq(&lines.join("\n"));
}

fn untouched(texts: &[&str]) {
    let redactor = Redactor::default();
    for text in texts {
        assert_eq!(redactor.text(text), *text);
        assert!(matches!(redactor.text(text), std::borrow::Cow::Borrowed(_)), "{text}");
    }
}

const JWT: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";

#[test]
fn shapes() {
    let jwt = format!("verifying {JWT} failed");
    check(
        &[
            &jwt,
            "got eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0. from peer",
            "cut off: eyJhbGciOiJub25lIn0.eyJzdWI",
            "calling with Bearer abcdef123456 now",
            "proxy said Basic dXNlcjpodW50ZXIy",
            "postgres://shop:hunter2@db.internal:5432/shop?sslmode=require",
            "connect redis://:p@ss@cache:6379/0 or mysql://u:pa/ss@db failed",
            "amqp://guest:guest@mq",
            "charged 4111 1111 1111 1111, 4111-1111-1111-1111 and 4111111111111111",
            "amex 3782 822463 10005 and 378282246310005",
            "卡号4111111111111111。",
            "AKIAIOSFODNN7EXAMPLE and ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
            "xoxb-123456789012-abcdefghijkl glpat-abcdefghij1234567890",
            "AIzaSyA1234567890abcdefghijklmnopqrstuv",
            "https://hooks.slack.com/services/T000/B000/XXXXXXXXXXXXXXXX",
        ],
        expect![[r#"
            verifying ‹redacted: jwt› failed
            got ‹redacted: jwt› from peer
            cut off: ‹redacted: jwt›
            calling with Bearer ‹redacted: bearer token› now
            proxy said Basic ‹redacted: basic credentials›
            postgres://shop:‹redacted: url password›@db.internal:5432/shop?sslmode=require
            connect redis://:‹redacted: url password›@cache:6379/0 or mysql://u:‹redacted: url password›@db failed
            amqp://guest:‹redacted: url password›@mq
            charged ‹redacted: card number›, ‹redacted: card number› and ‹redacted: card number›
            amex ‹redacted: card number› and ‹redacted: card number›
            卡号‹redacted: card number›。
            ‹redacted: well-known key› and ‹redacted: well-known key›
            ‹redacted: well-known key›
            ‹redacted: well-known key› ‹redacted: well-known key›
            ‹redacted: well-known key›
            https://‹redacted: well-known key›"#]],
    );
}

#[test]
fn pem() {
    check(
        &[
            "key:\n-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabc=\n-----END RSA PRIVATE KEY-----\nnext line",
            "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0B\nthe log goes on",
            "-----BEGIN EC PRIVATE KEY-----\\nMHcCAQEEIIrYSSNQ\\noAoGCCqG, then prose",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
        ],
        expect![[r#"
            key:
            ‹redacted: pem block›
            next line
            ‹redacted: pem block›the log goes on
            ‹redacted: pem block›, then prose
            ‹redacted: pem block›"#]],
    );
}

#[test]
fn pairs() {
    check(
        &[
            "password=hunter2 user=bob",
            "password = hunter2; user = bob",
            "PGPASSWORD=hun,ter;2& next",
            r#"{"user":"bob","password":"hun\"ter2","n":1}"#,
            r#"body: "{\"apiKey\":\"abc\",\"n\":1}""#,
            r#"Login { user: "bob", password: "hunter two", pin: 1234 }"#,
            r#"Login { password: Some("hunter two"), token: Some(Token("x y")), n: 1 }"#,
            "Login {\n    password: Some(\n        \"hunter2\",\n    ),\n    n: 1,\n}",
            r#"credentials: Credentials { user: "bob", key: [1, 2] }, n: 1"#,
            "GET /cb?code=1&access_token=abc.def&state=2 HTTP/1.1",
            "Cookie: a=b; c=d",
            "Set-Cookie: sid=abc; Path=/; HttpOnly\nServer: x",
            r#"curl -H 'Authorization: Token abc def' -H "Cookie: a=b" http://x/"#,
            r"Authorization: Digest username=x, response=y\r\nHost: z",
            r#""authorization": "Basic abc", "accept": "*/*""#,
            "authorization=Bearer abc next",
            "mysql --password hunter2 --user bob",
            "<pin>1234</pin><name>bob</name>",
            "api key: abc, session id 5",
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            r#"tokens ["x"]; auth_tokens: ["x", "y"]; n"#,
            "X-Api-Key: abc",
            "(password=AaAa00\") and password=hun(ter(\"2 x",
            r#"token: Secret("x y"), password: b"x\"y", n: 1"#,
        ],
        expect![[r#"
            password=‹redacted: password› user=bob
            password = ‹redacted: password›; user = bob
            PGPASSWORD=‹redacted: password›& next
            {"user":"bob","password":"‹redacted: password›","n":1}
            body: "{\"apiKey\":\"‹redacted: api key›\",\"n\":1}"
            Login { user: "bob", password: "‹redacted: password›", pin: ‹redacted: pin› }
            Login { password: Some("‹redacted: password›"), token: ‹redacted: token›, n: 1 }
            Login {
                password: Some(
                    "‹redacted: password›",
                ),
                n: 1,
            }
            credentials: ‹redacted: credential›, n: 1
            GET /cb?code=1&access_token=‹redacted: token›&state=2 HTTP/1.1
            Cookie: ‹redacted: cookie›
            Set-Cookie: ‹redacted: cookie›
            Server: x
            curl -H 'Authorization: ‹redacted: authorization›' -H "Cookie: ‹redacted: cookie›" http://x/
            Authorization: ‹redacted: authorization›\r\nHost: z
            "authorization": "‹redacted: authorization›", "accept": "*/*"
            authorization=‹redacted: authorization› next
            mysql --password ‹redacted: password› --user bob
            <pin>‹redacted: pin›</pin><name>bob</name>
            api key: ‹redacted: api key›, session id 5
            aws_secret_access_key = ‹redacted: secret›
            tokens ["x"]; auth_tokens: ‹redacted: token›; n
            X-Api-Key: ‹redacted: api key›
            (password=‹redacted: password›") and password=‹redacted: password›
            token: ‹redacted: token›, password: b"‹redacted: password›", n: 1"#]],
    );
}

#[test]
fn randomness() {
    check(
        &[
            "key 9fKq2LmZ8vRt4XwB7nYc is bad",
            "got Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA== back",
            "hmac 5f4dcc3b5aa765d61d8327deb882cf99e3a1",
            "sess_4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c",
            "value k3J-9xQ_2mZpL0aYtR7uVw8sB1nC4dEf here",
            "session id 4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c",
        ],
        expect![[r#"
            key ‹redacted: high entropy› is bad
            got ‹redacted: high entropy› back
            hmac ‹redacted: high entropy›
            sess_‹redacted: high entropy›
            value ‹redacted: high entropy› here
            session id ‹redacted: high entropy›"#]],
    );
}

#[test]
fn what_is_no_secret_stays() {
    untouched(&[
        "",
        "thread 'main' panicked at src/pricing.rs:42:17: attempt to divide by zero",
        "request 123e4567-e89b-42d3-a456-426614174000 took 17 ms",
        "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "commit 7194e07b1c0ffee1234567890abcdef123456789",
        "\"build_id\": \"7194e07b1c0ffee1234567890abcdef123456789\"",
        "image shop@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "2026-11-21T04:09:33.123456Z INFO shop::pricing: listening",
        "20261121T040933Z-0001-backup-2026-11-21",
        "core::result::Result<alloc::vec::Vec<shop::cart::LineItem>, shop::PricingError>",
        "HttpRequestBuilderFactory and calculate_discounted_price_for_bundle_v2",
        "Http2ServerV1Builder3 Sha256Base64Utf8Encoder2 IPV4ADDRESS2HOSTNAME v1beta1CustomResource2",
        "/usr/lib/x86_64-linux-gnu/libpthread-2.31.so",
        "/home/app/.cargo/registry/src/index.crates.io-6f17d22bba15001f/tokio-1.47.1/src/runtime/task/core.rs",
        "target/debug/deps/libserde_json-6c2e8f1d9a7b3c5e.rlib",
        "_ZN4core9panicking5panic17h0123456789abcdefE _RNvCs1234567890_7mycrate8function",
        "pod checkout-7d4b9c6f5d-x2x7k on node ip-10-0-12-7.eu-central-1.compute.internal",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "at 1763698173123456 us, 1763698173123456789 ns, ratio 0.4111111111111111",
        "order 1234567890123456 card 4111111111111112",
        "unexpected token: `;`, next_page_token=abc, cancellation_token: x",
        "tokens_per_second=5 tokenizer: bpe monkey=1 author: bob",
        "password_length=12 cookie_name=sid session_timeout: 30",
        "password: null, token=true, secret: ***, password=${DB_PASSWORD}, password=\"\"",
        "token::Kind and Session::new(secret)",
        "http://127.0.0.1:8080/a@b https://[::1]:443/x@y ssh://git@github.com/x mailto:a@b.c",
        "postgres://shop:***@db/shop postgres://shop:$PASSWORD@db/shop",
        "Basic authentication and bearer certificates are basic things",
        "the secret of success is to forget passwords",
        "eyJ is how base64 of JSON begins, eyJhbGciOiJub25lIn0 is a header.",
        "-----BEGIN of something else-----",
        "0x7ffd3c5a9b20 rip=0x00005581c0de1234 rsp=0x00007ffd3c5a9b20",
        "+49 170 1234567, 12 34 56 78, 192.168.100.200, 4000-8000-1234",
        "ΑΒΓΔ ünïcödé ‹redacted: jwt› ‹redacted: api key›",
    ]);
}

#[test]
fn names() {
    let redactor = Redactor::default();
    let reasons = |names: &str| {
        let line = |name: &str| format!("{name}: {}", redactor.name(name).unwrap_or_else(|| "-".to_owned()));
        names.split(' ').map(line).collect::<Vec<_>>().join("\n")
    };
    expect![[r#"
        password: password
        dbPassword: password
        PGPASSWORD: password
        passwd2: password
        password_hash: password
        DB_PASS: password
        secret: secret
        client-secret: secret
        SECRET_TOKEN_PROD: secret
        apiKey: api key
        APIKey: api key
        x-api-key: api key
        api_key_v2: api key
        Authorization: authorization
        proxy-authorization: authorization
        Cookie: cookie
        set-cookie: cookie
        session: session
        sessionId: session
        JSESSIONID: session
        connect.sid: session
        private_key: private key
        credentials: credential
        pin: pin
        cvv: card code
        cvc2: card code
        ssn: social security number
        token: token
        auth_token: authorization
        csrfToken: token
        access_tokens: token
        card_number: card number
        creditCard: card number
        otp: one-time code
        user.password: password
        AWS_SECRET_ACCESS_KEY: secret
        self.inner.token: token"#]]
    .assert_eq(&reasons(
        "password dbPassword PGPASSWORD passwd2 password_hash DB_PASS secret client-secret \
             SECRET_TOKEN_PROD apiKey APIKey x-api-key api_key_v2 Authorization proxy-authorization \
             Cookie set-cookie session sessionId JSESSIONID connect.sid private_key credentials pin cvv \
             cvc2 ssn token auth_token csrfToken access_tokens card_number creditCard otp user.password \
             AWS_SECRET_ACCESS_KEY self.inner.token",
    ));
    expect![[r#"
        tokenizer: -
        monkey: -
        author: -
        tokens_per_second: -
        tokens: -
        max_tokens: -
        key: -
        keys: -
        keyboard: -
        primary_key: -
        cookie_name: -
        session_count: -
        session_pool: -
        password_length: -
        token_kind: -
        cancellation_token: -
        next_page_token: -
        pinned: -
        shopping: -
        secretary: -
        passenger: -
        pass: -
        compass: -
        cart: -
        user_id: -
        signal: -
        design: -
        spin: -
        authenticated: -
        ___: -
        é: -"#]]
    .assert_eq(&reasons(
        "tokenizer monkey author tokens_per_second tokens max_tokens key keys keyboard primary_key \
             cookie_name session_count session_pool password_length token_kind cancellation_token \
             next_page_token pinned shopping secretary passenger pass compass cart user_id signal \
             design spin authenticated ___ é",
    ));
}

#[test]
fn variables() {
    let redactor = Redactor::default();
    let reason = |name: &str, value: &str| redactor.variable(name, value);
    assert_eq!((redactor.name(""), redactor.name("é")), (None, None));
    assert_eq!(reason("password", "hunter2").as_deref(), Some("password"));
    assert_eq!(reason("password", "None"), None);
    assert_eq!(reason("dsn", "postgres://a:b@c/d").as_deref(), Some("url password"));
    assert_eq!(reason("header", JWT).as_deref(), Some("jwt"));
    assert_eq!(reason("number", "4111111111111111").as_deref(), Some("card number"));
    assert_eq!(reason("session_token", "‹redacted: jwt›"), None);
    assert_eq!(reason("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"), None);
    assert_eq!(reason("value", "4bf92f3577b34da6a3ce929d0e0e4736").as_deref(), Some("high entropy"));
    assert_eq!(reason("user", "bob"), None);
    assert_eq!(reason("session_id", "12").as_deref(), Some("session"));
    assert_eq!((reason("sig", "11"), reason("sig", "-1")), (None, None), "a signal's number");
    assert_eq!(reason("sig", "12345678901").as_deref(), Some("signature"));
    assert_eq!(reason("sig", "3a7f").as_deref(), Some("signature"));
    assert_eq!(reason("password", "11").as_deref(), Some("password"));
}

#[test]
fn rules_of_an_installation() {
    let rules = Rules {
        names: vec!["iban".to_owned(), "customer-ref".to_owned()],
        patterns: vec!["(?i)cust-[0-9]{4}".to_owned(), "redacted|high|x.+y".to_owned()],
        allow_names: vec!["session_id".to_owned()],
        types: vec!["shop::Iban".to_owned()],
        allow_types: vec!["shop::ui::*".to_owned()],
        allow_patterns: vec!["4111111111111111|eyJ.*".to_owned()],
    };
    let redactor = Redactor::new(&rules).expect("valid rules");
    assert_eq!(redactor.type_path("shop::Iban").as_deref(), Some("secret type"));
    assert_eq!(redactor.type_path("shop::ui::Password"), None);
    assert_eq!(redactor.variable("number", "4111111111111111"), None, "a test card");
    assert_eq!(redactor.variable("number", "4012888888881881").as_deref(), Some("card number"));
    assert_eq!(redactor.text("password=4111111111111111"), "password=‹redacted: password›");
    assert_eq!(redactor.name("userIban").as_deref(), Some("custom rule"));
    assert_eq!(redactor.name("CustomerRef").as_deref(), Some("custom rule"));
    assert_eq!(redactor.name("SessionId"), None);
    assert_eq!(redactor.name("session_token").as_deref(), Some("session"));
    let once = redactor
        .text("iban=DE02 for CUST-1234, token=abc, session_id=5, highest, x ‹redacted: jwt› y")
        .into_owned();
    expect!["iban=‹redacted: custom rule› for ‹redacted: custom rule›, token=‹redacted: token›, session_id=5, ‹redacted: custom rule›est, ‹redacted: custom rule›‹redacted: jwt›‹redacted: custom rule›"].assert_eq(&once);
    assert_eq!(redactor.text(&once), once);
}

#[test]
fn unusable_rules_are_refused_with_the_reason() {
    let refusal = |names: &[&str], patterns: &[&str]| {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        let rules = Rules { names: owned(names), patterns: owned(patterns), ..Rules::default() };
        Redactor::new(&rules).map(|_| ()).map_err(|error: RuleError| error.to_string())
    };
    let types = Rules { types: vec!["*".to_owned()], ..Rules::default() };
    assert!(Redactor::new(&types).is_err(), "every type would be a secret");
    let refusals =
        [refusal(&[], &["("]), refusal(&[], &["a", "x*"]), refusal(&["--"], &[]), refusal(&["a"; 300], &[])];
    let words: Vec<String> = refusals.into_iter().map(|refusal| refusal.expect_err("refused")).collect();
    expect![[r#"
        redaction pattern 1 is not a usable regular expression: (
        redaction pattern 2 matches the empty text: x*
        redaction name "--" has no letter or digit
        more than 256 redaction names"#]]
    .assert_eq(&words.join("\n"));
    assert!(refusal(&[], &["(a{1000}){1000}"]).is_err(), "a pattern must not take all memory");
}

#[test]
fn a_pem_block_across_lines_is_remembered() {
    let redactor = Redactor::default();
    let mut lines = LineRedactor::default();
    let out: Vec<String> = [
        "loading key",
        "-----BEGIN PRIVATE KEY-----",
        "MIIEvQ",
        "  abc=",
        "-----END PRIVATE KEY-----",
        "abc",
        "-----BEGIN PRIVATE KEY-----",
        "MIIEvQ",
        "the end never came",
        "abc",
    ]
    .iter()
    .map(|line| lines.line(&redactor, line).into_owned())
    .collect();
    expect![[r#"
        loading key
        ‹redacted: pem block›
        ‹redacted: pem block›
        ‹redacted: pem block›
        ‹redacted: pem block›
        abc
        ‹redacted: pem block›
        ‹redacted: pem block›
        the end never came
        abc"#]]
    .assert_eq(&out.join("\n"));
}
