//! Frames and values of C and C++ programs.

mod common;

use common::{build, run_tool, run_until_nth_stop, run_until_stop, show_own_frames, show_variables};
use expect_test::expect;

#[test]
fn c_through_a_signal_handler() {
    let program = build("values.c", "cc", &["-g", "-O0"]);
    let capture = run_until_nth_stop(&program.path, 2).capture();
    let frames = show_own_frames(&capture);
    assert!(frames.contains("SignalTrampoline"), "{frames}");
    expect![[r#"
        target: int * = null
        value: int = 6
    "#]]
    .assert_eq(&show_variables(&capture, "fail"));
    expect![[r#"
        request: request * = 0x…
          *: request
            path: const char * = "/orders"
            method: char[8] = "GET"
            raw: unsigned char[4] = b"\x01\x02\xfe\xff"
            color: color = GREEN
            number: number
              i: int = 1069547520
              f: float = 1.5
            flags: flags
              ready: unsigned int = 1
              kind: unsigned int = 5
              delta: int = -3
            corners: point_t[2]
              [0]: point_t
                x: int = 1
                y: int = 2
              [1]: point_t
                x: int = 3
                y: int = 4
            ratio: double = 0.1
            precise: long double = 2.5
            opaque: void * = 0x…
            handler: int (*)() = 0x… <twice>
            list: node * = 0x…
              *: node
                value: int = 1
                next: node * = 0x…
                  *: node
                    value: int = 2
                    next: node * = null
            nothing: char * = null
            password: const char * = <redacted: password>
        attempt: int = 3
        small: uint8_t = 200
        local: int = 6
        bad: int * = null
        letter: char = 120 'x'
        yes: _Bool = true
        length: size_t = 7
        matrix: int[2][3]
          [0]:
            [0]: int = 1
            [1]: int = 2
            [2]: int = 3
          [1]:
            [0]: int = 4
            [1]: int = 5
            [2]: int = 6
        later: int = <not set yet: declared on line 43>
    "#]]
    .assert_eq(&show_variables(&capture, "serve"));
}

#[test]
fn c_at_the_faulting_instruction() {
    let program = build("values.c", "cc", &["-g", "-O0"]);
    let stopped = run_until_stop(&program.path);
    assert_eq!(stopped.signal, libc::SIGSEGV);
    let capture = stopped.capture();
    expect![[r#"
        User fail values.c:31
        User serve values.c:42
        User main values.c:61
        None
    "#]]
    .assert_eq(&show_own_frames(&capture));
    expect!["fail (values.c:31)"].assert_eq(&capture.site.to_string());
}

#[test]
fn every_form_of_debug_information_says_the_same() {
    let reference = build("values.c", "cc", &["-g", "-O0"]);
    let reference = show_variables(&run_until_stop(&reference.path).capture(), "serve");
    for flags in [
        &["-gdwarf-4", "-O0"] as &[&str],
        &["-gdwarf-5", "-O0", "-gz=zlib"],
        &["-gdwarf-4", "-O0", "-no-pie"],
        &["-g", "-O0", "-static-pie"],
        &["-g", "-O0", "-Wl,--no-eh-frame-hdr"],
        &["-g", "-O0", "-fno-asynchronous-unwind-tables"],
        &["-g", "-O0", "-Wl,--build-id=none"],
    ] {
        let program = build("values.c", "cc", flags);
        assert_eq!(show_variables(&run_until_stop(&program.path).capture(), "serve"), reference, "{flags:?}");
    }
}

#[test]
fn debug_information_in_a_file_of_its_own() {
    let program = build("values.c", "cc", &["-g", "-O0"]);
    let whole = show_variables(&run_until_stop(&program.path).capture(), "serve");
    run_tool(&program, "objcopy", &["--only-keep-debug", "program", "program.debug"]);
    run_tool(&program, "objcopy", &["--strip-all", "--add-gnu-debuglink=program.debug", "program"]);
    let capture = run_until_stop(&program.path).capture();
    assert_eq!(show_variables(&capture, "serve"), whole);
}

#[test]
fn a_stripped_program_says_what_is_missing() {
    let program = build("values.c", "cc", &["-O0", "-s"]);
    let capture = run_until_stop(&program.path).capture();
    let frames = &capture.failing_thread().expect("it failed").frames;
    assert!(frames.len() >= 5, "{frames:?}");
    assert!(frames.iter().take(3).all(|frame| frame.function.starts_with("program+0x")), "{frames:?}");
    let losses = &capture.not_captured;
    assert!(losses.iter().any(|loss| loss.why.contains("stripped")), "{losses:?}");
}

#[test]
fn cpp_with_an_exception_that_nobody_catches() {
    let program = build("values.cpp", "c++", &["-g", "-O0"]);
    let capture = run_until_stop(&program.path).capture();
    expect![[r#"
        User shop::Cart<shop::Item>::checkout values.cpp:18
        User main values.cpp:29
        None
    "#]]
    .assert_eq(&show_own_frames(&capture));
    expect![[r#"
        this: const Cart<shop::Item> * = 0x…
          *: Cart<shop::Item>
            items: vector<shop::Item, std::allocator<shop::Item> >
              [0]: Item
                Base: Base
                  id: int = 7
                name: string = "pen"
                price: double = 1.5
              [1]: Item
                Base: Base
                  id: int = 7
                name: string = "ink"
                price: double = 2.25
            state: State = Closed
        coupon: const string & = 0x…
          *: const string = "SPRING"
        count: int & = 0x…
          *: int = 2
        longer: string = "a text that does not fit into the small buffer"
        owned: unique_ptr<int, std::default_delete<int> > = 0x…
          *: int = 9
    "#]]
    .assert_eq(&show_variables(&capture, "checkout"));
    expect!["shop::Cart<shop::Item>::checkout (values.cpp:18)"].assert_eq(&capture.site.to_string());
}

#[test]
fn budgets_cut_and_say_so() {
    let program = build("values.cpp", "c++", &["-g", "-O0"]);
    let stopped = run_until_stop(&program.path);
    let options =
        freezeframe_debuginfo::Options { depth: 1, breadth: 1, string_bytes: 6, ..Default::default() };
    expect![[r#"
        this: const Cart<shop::Item> * = 0x…
          *: Cart<shop::Item> = <left out: deeper than the limit>
        coupon: const string & = 0x…
          *: const string = "SPRING"
        count: int & = 0x…
          *: int = 2
        longer: string = "a text"…
        owned: unique_ptr<int, std::default_delete<int> > = 0x…
          *: int = 9
    "#]]
    .assert_eq(&show_variables(&stopped.capture_with(&options), "checkout"));
    // Less than half of them are for the failing thread's own frames: three.
    let options = freezeframe_debuginfo::Options { variables_max: 7, ..Default::default() };
    let capture = stopped.capture_with(&options);
    expect![[r#"
        this: const Cart<shop::Item> * = 0x…
          *: Cart<shop::Item>
            items: vector<shop::Item, std::allocator<shop::Item> >
              [0]:  = <left out: the limit of variables is reached>
              [1]:  = <left out: the limit of variables is reached>
            state:  = <left out: the limit of variables is reached>
        coupon:  = <left out: the limit of variables is reached>
        count:  = <left out: the limit of variables is reached>
        longer:  = <left out: the limit of variables is reached>
        owned:  = <left out: the limit of variables is reached>
    "#]]
    .assert_eq(&show_variables(&capture, "checkout"));
    assert!(capture.not_captured.iter().any(|loss| loss.why.contains("limit")), "{:?}", capture.not_captured);
}

#[test]
fn arguments_that_only_the_caller_still_knows() {
    let program = build("entry.c", "cc", &["-g", "-O2"]);
    let capture = run_until_stop(&program.path).capture();
    expect![[r#"
        first: long int = 17
        second: long int = 5
        third: long int = 99
        kept: long int = <optimised out>
    "#]]
    .assert_eq(&show_variables(&capture, "work"));
    // What is known of `argc` and `argv` depends on whether the C library's debug information is installed.
    let main = show_variables(&capture, "main");
    assert!(main.ends_with("saved: long int = 5\n"), "{main}");
}

#[test]
fn containers_and_objects_of_cpp() {
    let program = build("containers.cpp", "c++", &["-std=c++17", "-g", "-O0"]);
    let capture = run_until_stop(&program.path).capture();
    expect![[r#"
        shape: const Shape & = 0x…
          *: Square
            Named: Named
              name: string = "named"
            Shape: Shape
              id: int = 1
            side: double = 2.0
        top: const Top * = 0x…
          *: Bottom
            Left: Left
              Top: Top
                top: int = 1
              left: int = 2
            Right: Right
              Top: Top
                top: int = 1
              right: int = 3
            bottom: int = 4
        ages: map<std::string, int, std::less<std::string >, std::allocator<std::pair<const std::string, int> > >
          ["ada"]: int = 36
          ["alan"]: int = 41
          ["password"]: int = <redacted: password>
        primes: set<int, std::less<int>, std::allocator<int> >
          [0]: int = 2
          [1]: int = 3
          [2]: int = 5
          [3]: int = 7
        one: unordered_map<int, std::string, std::hash<int>, std::equal_to<int>, std::allocator<std::pair<int const, std::string > > >
          [1]: string = "one"
        only: unordered_set<std::string, std::hash<std::string >, std::equal_to<std::string >, std::allocator<std::string > >
          [0]: string = "only"
        list: list<int, std::allocator<int> >
          [0]: int = 1
          [1]: int = 2
          [2]: int = 3
        forward: forward_list<int, std::allocator<int> >
          [0]: int = 4
          [1]: int = 5
        queue: deque<int, std::allocator<int> >
          [0]: int = 190
          [1]: int = 191
          [2]: int = 192
          [3]: int = 193
          [4]: int = 194
          [5]: int = 195
          [6]: int = 196
          [7]: int = 197
          [8]: int = 198
          [9]: int = 199
        nothing: deque<int, std::allocator<int> > = {}
        fixed: array<short int, 3>
          [0]: short int = 1
          [1]: short int = 2
          [2]: short int = 3
        some: optional<std::string > = "some"
        none: optional<std::string > = nullopt
        text: variant<int, std::string > = string
          [1]: string = "text"
        number: variant<int, std::string > = int
          [0]: int = 5
        triple: tuple<int, std::string, double>
          [0]: int = 1
          [1]: string = "two"
          [2]: double = 3.0
        pair: pair<int, char>
          first: int = 1
          second: char = 120 'x'
        shared: shared_ptr<Shape> = 0x… (shared by 2)
          *: Square
            Named: Named
              name: string = "named"
            Shape: Shape
              id: int = 1
            side: double = 2.0
        copy: shared_ptr<Shape> = 0x… (shared by 2)
          *: Square
            Named: Named
              name: string = "named"
            Shape: Shape
              id: int = 1
            side: double = 2.0
        weak: weak_ptr<Shape> = 0x… (shared by 2)
          *: Square
            Named: Named
              name: string = "named"
            Shape: Shape
              id: int = 1
            side: double = 2.0
        gone: weak_ptr<Shape> = (its object is gone)
        unique: unique_ptr<Shape, std::default_delete<Shape> > = 0x…
          *: Square
            Named: Named
              name: string = "named"
            Shape: Shape
              id: int = 1
            side: double = 2.0
        bits: vector<bool, std::allocator<bool> > = 4 bits: 1011
        nested: vector<std::vector<int, std::allocator<int> >, std::allocator<std::vector<int, std::allocator<int> > > >
          [0]: vector<int, std::allocator<int> >
            [0]: int = 1
          [1]: vector<int, std::allocator<int> >
            [0]: int = 2
            [1]: int = 3
        view: string_view = "view"
        counter: atomic<int> = 3
        pause: milliseconds = 250
        access: Access = READ | RUN
        odd: Access = 9 (none of its names)
        fields: Bits
          low: unsigned int = 5
          middle: int = -3
          high: long unsigned int = 135056262347
          flag: bool = true
        word: Word
          whole: unsigned int = 67305985
          bytes: unsigned char[4] = b"\x01\x02\x03\x04"
        member: int Bottom::* = offset 28
        method: double () Shape::* = virtual function 2
        function: void (*)() = 0x… <abort>
    "#]].assert_eq(&show_variables(&capture, "stop"));
}
