//! What the grammar accepts, how it groups, and where its errors point.

use expect_test::expect;

use super::*;

/// Fully bracketed.
fn show(expression: &Expression) -> String {
    match &expression.node {
        Node::Name(name) => name.clone(),
        Node::Literal(literal) => match literal {
            Literal::Integer(number) => number.to_string(),
            Literal::Float(number) => format!("{number:?}"),
            Literal::Bool(value) => value.to_string(),
            Literal::Character(character) => format!("{character:?}"),
            Literal::Text(text) => format!("{text:?}"),
        },
        Node::Field(of, name) => format!("{}.{name}", show(of)),
        Node::Index(of, index) => match &index.value {
            Ok(value) => format!("{}[{}]", show(of), show(value)),
            Err(_) => format!("{}[as written: {}]", show(of), index.written),
        },
        Node::Slice(of, from, to) => {
            let bound = |bound: &Option<Box<Expression>>| bound.as_ref().map(|e| show(e)).unwrap_or_default();
            format!("{}[{}..{}]", show(of), bound(from), bound(to))
        }
        Node::Dereference(of) => format!("(*{})", show(of)),
        Node::AddressOf(of) => format!("(&{})", show(of)),
        Node::Unary(Unary::Negate, of) => format!("(-{})", show(of)),
        Node::Unary(Unary::Not, of) => format!("(!{})", show(of)),
        Node::Binary(operator, left, right) => format!("({operator:?} {} {})", show(left), show(right)),
        Node::Cast(of, kind) => format!("({} as {kind})", show(of)),
        Node::Is(of, name) => format!("({} is {name})", show(of)),
    }
}

fn check(texts: &[&str], expected: expect_test::Expect) {
    let shown = texts.iter().map(|text| match parse(text) {
        Ok(expression) => format!("{}\n", show(&expression)),
        Err(error) => format!("{}\n", error.explain(text)),
    });
    expected.assert_eq(&shown.collect::<String>());
}

#[test]
fn paths() {
    check(
        &[
            "order.items[3].price",
            "self.0.1",
            "a->b->c",
            "(*p).x",
            "p.*.x",
            "shop::LIMITS[0]",
            r#"map["k\"]"][ 3 ]"#,
            "v[10..20]",
            "v[..n - 1][2..]",
            "`{closure_env#0}`.`std::_Vector_base<int>`.x",
            "m[Some(Key { a: 1 })]",
            "m['\\'']",
            "m[b\"\\x00\"]",
            "&a.b",
            "f$1",
        ],
        expect![[r#"
            order.items[3].price
            self.0.1
            a.b.c
            (*p).x
            (*p).x
            shop::LIMITS[0]
            map["k\"]"][3]
            v[10..20]
            v[..(Subtract n 1)][2..]
            {closure_env#0}.std::_Vector_base<int>.x
            m[as written: Some(Key { a: 1 })]
            m['\'']
            m[as written: b"\x00"]
            (&a.b)
            f$1
        "#]],
    );
}

#[test]
fn operators_bind_as_in_rust() {
    check(
        &[
            "1 + 2 * 3 - 4",
            "a == b && !c || d",
            "a & 0xff == 0b1",
            "x as u8 as u64 << 3",
            "-a.b as i64",
            "1.5e3 + 2. ",
            "1_000 % 7",
            "opt is Some && opt.0 > 1",
            "(a | b) ^ c",
            "isle + asset",
            "'ä' == '\\u{e4}'",
        ],
        expect![[r#"
            (Subtract (Add 1 (Multiply 2 3)) 4)
            (Or (And (Equal a b) (!c)) d)
            (Equal (BitAnd a 255) 1)
            (ShiftLeft ((x as u8) as u64) 3)
            ((-a.b) as i64)
            the expression ends here
              1.5e3 + 2. 
                         ^
            (Remainder 1000 7)
            (And (opt is Some) (Greater opt.0 1))
            (BitXor (BitOr a b) c)
            (Add isle asset)
            (Equal 'ä' 'ä')
        "#]],
    );
}

#[test]
fn what_is_no_expression_is_pointed_at() {
    check(
        &["a.", "a b", "a[1", "(a", "a < b < c", "\"x", "'ab'", "0xzz", "99x", "a +", "..", "`a", "a]"],
        expect![[r#"
            the expression ends here
              a.
                ^
            this does not belong here: an operator or a step was expected
              a b
                ^
            `]` is missing
              a[1
               ^
            the expression ends here
              (a
                ^
            comparisons cannot be chained: join two of them with `&&`
              a < b < c
                    ^
            a text in quotes has no end, or an unknown escape
              "x
              ^^
            one character was expected between the quotes
              'ab'
              ^^^^
            this is not a number of at most 128 bits
              0xzz
              ^^
            this is not a number of at most 128 bits
              99x
              ^^
            the expression ends here
              a +
                 ^
            a name was expected
              ..
              ^
            a name in backquotes has no end: another ` is missing
              `a
               ^
            this does not belong here: an operator or a step was expected
              a]
               ^
        "#]],
    );
}

#[test]
fn depth_and_length_are_bounded() {
    assert_eq!(parse("").map_err(|error| error.what), Err("the expression ends here".to_owned()));
    // A quarter of what a thread has: an unoptimised build of whoever asks has room to spare.
    let parsed = |text: String| {
        let thread = std::thread::Builder::new().stack_size(512 << 10);
        let parsing = thread.spawn(move || parse(&text).map(drop)).expect("a thread");
        parsing.join().expect("no panic")
    };
    let bounded = |text: String| parsed(text).expect_err("refused").what;
    for text in [
        "(".repeat(2000),
        "-".repeat(4000),
        format!("a{}", ".b".repeat(2000)),
        "a+".repeat(2000),
        format!("1{}", "||1".repeat(1300)),
    ] {
        bounded(text);
    }
    // What brackets hold need be no expression.
    assert_eq!(parsed(format!("a{}", "[0".repeat(1000) + &"]".repeat(1000))), Ok(()));
    assert_eq!(bounded("a".repeat(5000)), "an expression has at most 4096 bytes");
}

#[test]
fn what_is_meant_lies_within_the_expression() {
    let long = "ü".repeat(5000);
    for text in ["'&'&", "a.", "a[", "", "(", "a +", "'x", long.as_str()] {
        let error = parse(text).expect_err("no expression");
        assert!(text.get(error.span.clone()).is_some(), "{:?} of {text:?}", error.span);
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,60}", close in "[a-c0-9.\\[\\]()*&|<>=!'\"`\\\\ +-]{0,40}") {
        for text in [text, close] {
            if let Err(error) = parse(&text) {
                error.explain(&text);
            }
        }
    }
}
