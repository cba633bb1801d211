//! Expressions and expansion over live processes and over their captures.

mod common;

use common::{Program, Stopped, build, mask, run_until_nth_stop, run_until_stop, show};
use expect_test::{Expect, expect};
use freezeframe_debuginfo::{Bounds, Inspection, Obstacle, Options, evaluate_captured, path_of};
use freezeframe_model::{Capture, FrameKind, Value, Variable};
use freezeframe_redact::Redactor;

/// A stopped program with the frame that questions are asked in.
struct Asked {
    /// Its file must stay: debug information is read from it.
    _program: Program,
    stopped: Stopped,
    capture: Capture,
    frame: usize,
}

impl Asked {
    fn new(program: Program, stopped: Stopped, function: &str) -> Self {
        let capture = stopped.capture();
        let frames = &capture.failing_thread().expect("a failing thread").frames;
        let named = |name: &str| name.split('(').next().is_some_and(|name| name.ends_with(function));
        let frame = frames.iter().position(|frame| named(&frame.function)).expect("the frame is there");
        Self { _program: program, stopped, capture, frame }
    }

    fn thread(&self) -> i32 {
        self.stopped.thread().id
    }

    fn ask(&self, expression: &str, bounds: Bounds, redactor: Option<&Redactor>) -> String {
        let (modules, threads, options) =
            (self.stopped.modules(), [self.stopped.thread()], Options::default());
        let inspection = Inspection::new(&self.stopped, &modules, &threads, &options);
        match inspection.evaluate(self.thread(), self.frame, expression, bounds, redactor) {
            Ok(variable) => {
                let mut text = String::new();
                show(&variable, 0, &mut text);
                text
            }
            Err(error) => format!("{:?}: {}\n", error.obstacle, mask(&error.explain(expression))),
        }
    }

    fn check(&self, expressions: &[&str], expected: Expect) {
        let redactor = Redactor::default();
        let bounds = Bounds { depth: 1, breadth: 4, ..Bounds::default() };
        let answers = expressions.iter().map(|expression| self.ask(expression, bounds, Some(&redactor)));
        expected.assert_eq(&answers.collect::<String>());
    }

    fn check_captured(&self, expressions: &[&str], expected: Expect) {
        let answers = expressions.iter().map(|expression| {
            match evaluate_captured(&self.capture, self.thread(), self.frame, expression) {
                Ok(variable) => {
                    let mut text = String::new();
                    show(&Variable { children: Vec::new(), ..variable }, 0, &mut text);
                    text
                }
                Err(error) => format!("{:?}: {}\n", error.obstacle, mask(&error.explain(expression))),
            }
        });
        expected.assert_eq(&answers.collect::<String>());
    }
}

fn rust() -> Asked {
    let program = build("values.rs", "rustc", &["--edition=2021", "-g"]);
    let stopped = run_until_stop(&program.path);
    Asked::new(program, stopped, "price")
}

#[test]
fn variables_that_no_frame_owns() {
    let program = build("statics.rs", "rustc", &["--edition=2021", "-g"]);
    let stopped = run_until_stop(&program.path);
    Asked::new(program, stopped, "serve").check(
        &[
            "CART_MAX",
            "limits::CART_MAX * 2",
            "statics::limits::RATE",
            "prices::RATE[1]",
            "SEEN + order",
            "SIGNING_KEY",
            "RATE",
            "limits::SEEN",
            "CART_MIN",
            "null == 0",
        ],
        expect![[r#"
            CART_MAX: u32 = 25
            limits::CART_MAX * 2: u32 = 50
            statics::limits::RATE: u32 = 7
            prices::RATE[1]: u16 = 7
            SEEN + order: u64 = 45
            SIGNING_KEY: &str = <redacted: key>
            Unfit: several variables are called "RATE": write one of statics::limits::RATE, statics::prices::RATE
              RATE
              ^^^^
            NotFound: no variable "limits::SEEN" in this frame
              limits::SEEN
              ^^^^^^^^^^^^
            there is: order
            NotFound: no variable "CART_MIN" in this frame
              CART_MIN
              ^^^^^^^^
            there is: order
            null == 0: bool = true
        "#]],
    );
}

#[test]
fn paths_through_rust_values() {
    rust().check(
        &[
            "order",
            "customer.tags[1]",
            "customer.level",
            "(*customer).name",
            "payment.holder",
            "voucher.1.0.*.cents",
            "voucher.1.0.cents",
            "vector[2]",
            "grid[1][0]",
            "tuple.1",
            "shared",
            "*shared",
            "lock.data",
            "map[1]",
            "headers[\"Authorization\"]",
            "tree[2]",
            "deque[3]",
            "boxed.side",
            "long[10..13]",
            "long[97..]",
            "long.len + customer.tags.len",
            "bytes[1]",
            "shape.*.side",
            "result.0",
            "header.0",
        ],
        expect![[r#"
            order: u64 = 42
            customer.tags[1]: String = "b"
            customer.level: Level = High
            (*customer).name: &str = "Grace"
            payment.holder: String = "Ada"
            voucher.1.0.*.cents: u32 = 250
            voucher.1.0.cents: u32 = 250
            vector[2]: u16 = 3
            grid[1][0]: i32 = 3
            tuple.1: &str = "two"
            shared: Arc<alloc::string::String> = 0x… (shared by 1)
              *: String = "shared"
            *shared: String = "shared"
            lock.data: i32 = 41
            map[1]: &str = "one"
            headers["Authorization"]: String = <redacted: authorization>
            tree[2]: u64 = 20
            deque[3]: u8 = 5
            boxed.side: f64 = 2.0
            long[10..13]: Vec<u32>
              [10]: u32 = 10
              [11]: u32 = 11
              [12]: u32 = 12
            long[97..]: Vec<u32>
              [97]: u32 = 97
              [98]: u32 = 98
              [99]: u32 = 99
            long.len + customer.tags.len: i128 = 102
            bytes[1]: u8 = 65
            shape.*.side: f64 = 1.5
            result.0: String = "bad \"thing\"\n"
            header.0: String = "authorization"
        "#]],
    );
}

#[test]
fn computed_values() {
    rust().check(
        &[
            "order * 2 + 1",
            "numbers[1] < 0 && truth",
            "some is Some && some.0 == 7",
            "nothing is None",
            "payment is Card",
            "payment is Crad",
            "negative as u8",
            "vector[0] - 2",
            "wide / 2",
            "ratio * 4",
            "letter == 'ß'",
            "customer.name == \"Grace\"",
            "order / 0",
            "order % (vector[0] as u64 - 1)",
            "!truth || order > 41",
            "tuple + 1",
            "niche is None",
            "0xff & 0x0f | 1 << 8",
            "&order == 0",
        ],
        expect![[r#"
            order * 2 + 1: u64 = 85
            numbers[1] < 0 && truth: bool = true
            some is Some && some.0 == 7: bool = true
            nothing is None: bool = true
            payment is Card: bool = true
            NotFound: Payment has no variant "Crad"
              payment is Crad
              ^^^^^^^^^^^^^^^
            there is: Card
            negative as u8: u8 = 251
            Arithmetic: the result -1 does not fit into u16: cast one side to a wider type
              vector[0] - 2
              ^^^^^^^^^^^^^
            wide / 2: u128 = 633825300114114700748351602688
            ratio * 4: f64 = 1.0
            letter == 'ß': bool = true
            customer.name == "Grace": bool = true
            Arithmetic: this is a division by zero
              order / 0
              ^^^^^^^^^
            Arithmetic: this is a division by zero
              order % (vector[0] as u64 - 1)
              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            !truth || order > 41: bool = true
            Unfit: (u8, &str, f64) is neither a number nor a text: choose one of its parts
              tuple + 1
              ^^^^^
            niche is None: bool = true
            0xff & 0x0f | 1 << 8: i128 = 271
            &order == 0: bool = false
        "#]],
    );
}

#[test]
fn what_is_not_there_names_what_is() {
    rust().check(
        &[
            "ordr",
            "customer.nam",
            "vector[3]",
            "tree[9]",
            "payment.cent",
            "order.x",
            "(order + 1).x",
            "*order",
            "some.1",
            "vector[\"a\"]",
            "long[5..2]",
            "customer.tags[x]",
        ],
        expect![[r#"
            NotFound: no variable "ordr" in this frame
              ordr
              ^^^^
            there is: order
            NotFound: no field nam in Customer
              customer.nam
              ^^^^^^^^^^^^
            there is: name
            NotFound: no element [3] in Vec<u16>: there are 3
              vector[3]
              ^^^^^^^^^
            there is: [0], [1], [2]
            NotFound: no element [9] in BTreeMap<u32, u64>: there are 3
              tree[9]
              ^^^^^^^
            there is: [0], [1], [2]
            NotFound: no field cent in Payment
              payment.cent
              ^^^^^^^^^^^^
            there is: cents
            NotFound: no field x in u64
              order.x
              ^^^^^^^
            Unfit: this is computed and has no parts: steps lead from a variable
              (order + 1).x
              ^^^^^^^^^^^
            Unfit: u64 does not point to anything that is described
              *order
              ^^^^^^
            NotFound: no field 1 in Option<u32>
              some.1
              ^^^^^^
            there is: 0
            NotFound: no element ["a"] in Vec<u16>
              vector["a"]
              ^^^^^^^^^^^
            there is: [0], [1], [2]
            Unfit: the range 5..2 runs backwards
              long[5..2]
              ^^^^^^^^^^
            NotFound: no variable "x" in this frame
              customer.tags[x]
                            ^
            there is: text, map, raw, wide, some, grid, cash, lock
        "#]],
    );
}

#[test]
fn secrets_stay_hidden_unless_asked_for() {
    let asked = rust();
    asked.check(
        &[
            "customer.password",
            "customer.password == \"hunter2\"",
            "customer.api_token.0",
            "headers[\"Authorization\"].x",
            "raw",
            "raw[0]",
            "raw[0..3]",
            "header.1",
            "customer.password.len",
        ],
        expect![[r#"
            customer.password: String = <redacted: password>
            Redacted: this is redacted: password
              customer.password == "hunter2"
              ^^^^^^^^^^^^^^^^^
            Redacted: this is redacted: token
              customer.api_token.0
              ^^^^^^^^^^^^^^^^^^^^
            Redacted: this is redacted: authorization
              headers["Authorization"].x
              ^^^^^^^^^^^^^^^^^^^^^^^^^^
            raw: Vec<u8> = <redacted: url password>
            Redacted: this is redacted: url password
              raw[0]
              ^^^^^^
            Redacted: this is redacted: url password
              raw[0..3]
              ^^^^^^^^^
            header.1: String = <redacted: authorization>
            Redacted: this is redacted: password
              customer.password.len
              ^^^^^^^^^^^^^^^^^^^^^
        "#]],
    );
    let reveal = |expression: &str| asked.ask(expression, Bounds::default(), None);
    expect![[r#"
        customer.password: String = "hunter2"
        customer.api_token.0: String = "secret-value"
        raw: Vec<u8> = b"postgres://shop:hunter2@db/orders"
        header.1: String = "Basic abc"
        headers: HashMap<alloc::string::String, alloc::string::String>
          ["Authorization"]: String = "Basic xyz"
    "#]]
    .assert_eq(
        &["customer.password", "customer.api_token.0", "raw", "header.1", "headers"].map(reveal).concat(),
    );
}

#[test]
fn pages_of_a_long_value() {
    let asked = rust();
    let page = |expression: &str, offset, breadth| {
        let bounds = Bounds { depth: 1, breadth, offset, ..Bounds::default() };
        asked.ask(expression, bounds, Some(&Redactor::default()))
    };
    expect![[r#"
        long: Vec<u32>
          [50]: u32 = 50
          [51]: u32 = 51
          …:  = <left out: 48 more>
        long: Vec<u32>
          [98]: u32 = 98
          [99]: u32 = 99
        long: Vec<u32>
        tree: BTreeMap<u32, u64>
          [1]: u64 = 10
          …:  = <left out: 1 more>
        deque: VecDeque<u8>
          [2]: u8 = 4
          [3]: u8 = 5
        customer.*: Customer
          tags: Vec<alloc::string::String> = <left out: deeper than the limit>
          …:  = <left out: 3 more>
    "#]]
    .assert_eq(
        &[
            page("long", 50, 2),
            page("long", 98, 5),
            page("long", 1000, 5),
            page("tree", 1, 1),
            page("deque", 2, 10),
            page("customer.*", 1, 1),
        ]
        .concat(),
    );
}

#[test]
fn every_captured_name_is_a_step_live_and_stored() {
    let asked = rust();
    let (modules, threads, options) = (asked.stopped.modules(), [asked.stopped.thread()], Options::default());
    let inspection = Inspection::new(&asked.stopped, &modules, &threads, &options);
    let redactor = Redactor::default();
    let frame = &asked.capture.failing_thread().expect("failing").frames[asked.frame];
    let mut paths = 0;
    let mut open: Vec<(Vec<&str>, &Variable)> =
        frame.variables.iter().map(|variable| (vec![variable.name.as_str()], variable)).collect();
    while let Some((names, variable)) = open.pop() {
        let path = path_of(&names);
        let stored = evaluate_captured(&asked.capture, asked.thread(), asked.frame, &path);
        let stored = stored.unwrap_or_else(|error| panic!("{}", error.explain(&path)));
        assert_eq!(stored.value, variable.value, "{path}");
        let bounds = Bounds { text_bytes: options.string_bytes, ..Bounds::default() };
        match inspection.evaluate(asked.thread(), asked.frame, &path, bounds, Some(&redactor)) {
            Ok(live) => assert_eq!(live.value, variable.value, "{path}"),
            Err(error) => panic!("{}", error.explain(&path)),
        }
        paths += 1;
        let steps = variable.children.iter().filter(|child| child.name != "…" && child.name != "key");
        open.extend(steps.map(|child| ([names.as_slice(), &[child.name.as_str()]].concat(), child)));
    }
    assert!(paths > 100, "{paths}");
}

#[test]
fn a_stored_capture_says_where_it_ends() {
    rust().check_captured(
        &[
            "customer.tags[1]",
            "customer.tags.len + vector.len",
            "payment is Card && payment.cents > 200",
            "long[63]",
            "long[64]",
            "long.len",
            "customer.password",
            "customer.password.x",
            "&order",
            "missing",
            "map[1]",
        ],
        expect![[r#"
            customer.tags[1]: String = "b"
            customer.tags.len + vector.len: i128 = 5
            payment is Card && payment.cents > 200: bool = true
            long[63]: u32 = 63
            NotCaptured: no element [64] in Vec<u32>: there are 100
              long[64]
              ^^^^^^^^
            there is: [4], [6], [14], [24], [34], [44], [54], [60]
            long.len: i128 = 100
            customer.password: String = <redacted: password>
            Redacted: this is redacted: password
              customer.password.x
              ^^^^^^^^^^^^^^^^^^^
            NotCaptured: a capture does not hold addresses: it was not captured; the live process, while it is held, or a core can tell
              &order
              ^^^^^^
            NotCaptured: no variable "missing" in this frame: it was not captured; the live process, while it is held, or a core can tell
              missing
              ^^^^^^^
            there is: nothing, long, payment, shape, wide, ratio, some, niche
            map[1]: &str = "one"
        "#]],
    );
}

#[test]
fn c_pointers_and_plus_plus_bases() {
    let program = build("values.c", "cc", &["-g", "-O0"]);
    let stopped = run_until_nth_stop(&program.path, 2);
    let c = Asked::new(program, stopped, "serve");
    c.check(
        &[
            "request->list->next->value",
            "request->list[0].value",
            "request->path[1]",
            "request->path[1..4]",
            "request->color is GREEN",
            "request->corners[1].y",
            "request->flags.kind + 1",
            "request->flags.delta",
            "matrix[1][2]",
            "matrix[1]",
            "request->nothing[0]",
            "request->number.f * 2",
            "request->password[0]",
            "letter == 'x'",
            "bad == null",
        ],
        expect![[r#"
            request->list->next->value: int = 2
            request->list[0].value: int = 1
            request->path[1]: const char = 111 'o'
            request->path[1..4]: const char *
              [1]: const char = 111 'o'
              [2]: const char = 114 'r'
              [3]: const char = 100 'd'
            request->color is GREEN: bool = true
            request->corners[1].y: int = 4
            request->flags.kind + 1: u32 = 6
            request->flags.delta: int = -3
            matrix[1][2]: int = 6
            matrix[1]: int[3]
              [0]: int = 4
              [1]: int = 5
              [2]: int = 6
            Unavailable: this is a null pointer
              request->nothing[0]
              ^^^^^^^^^^^^^^^^^^^
            request->number.f * 2: f64 = 3.0
            Redacted: this is redacted: password
              request->password[0]
              ^^^^^^^^^^^^^^^^^^^^
            letter == 'x': bool = true
            bad == null: bool = true
        "#]],
    );
    let program = build("values.cpp", "c++", &["-g", "-O0"]);
    let stopped = run_until_stop(&program.path);
    let modules = stopped.modules();
    let (threads, options) = ([stopped.thread()], Options::default());
    let inspection = Inspection::new(&stopped, &modules, &threads, &options);
    let unknown = inspection.evaluate(1, 0, "x", Bounds::default(), None).expect_err("no such thread");
    assert_eq!(unknown.obstacle, Obstacle::NotFound);
    let far = inspection.variables(stopped.thread().id, 9999, None).expect_err("no such frame");
    assert_eq!(far.what, "there is no frame 9999");
    let captured = stopped.capture();
    for (at, frame) in captured.threads[0].frames.iter().enumerate() {
        let asked = inspection.variables(stopped.thread().id, at, Some(&Redactor::default()));
        let asked = asked.expect("the frame is there");
        let is_own = frame.kind == FrameKind::User;
        if is_own && !format!("{asked:?}").contains("Cut") {
            assert_eq!(asked, frame.variables, "{}", frame.function);
        }
    }
    assert!(captured.threads[0].frames.iter().any(|frame| {
        frame.variables.iter().any(|variable| !matches!(variable.value, Value::Unavailable(_)))
    }));
}
