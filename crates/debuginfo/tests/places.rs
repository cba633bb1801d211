//! Values that do not simply lie in memory: in vector registers, in thread-local storage, behind pointers that were
//! optimised away.

mod common;

use common::{build, run_until_stop, show_variables};
use expect_test::expect;

#[test]
fn vector_registers_and_a_thread_local_variable() {
    let program = build("places.c", "gcc", &["-g", "-O2", "-DMODE=0"]);
    expect![[r#"
        ratio: double = 1.25
        small: float = 2.5
        four: lanes
          [0]: float = 1.5
          [1]: float = 2.5
          [2]: float = 3.5
          [3]: float = 1.0
        count: int = <optimised out>
        calls: int = 4
        doubled: double = 2.5
        twice: lanes
          [0]: float = 3.0
          [1]: float = 5.0
          [2]: float = 7.0
          [3]: float = 2.0
    "#]]
    .assert_eq(&show_variables(&run_until_stop(&program.path).capture(), "numbers"));
    for flags in [&["-static"] as &[&str], &["-no-pie"], &["-static-pie"], &["-gdwarf-4"]] {
        let flags = [&["-g", "-O2", "-DMODE=0"], flags].concat();
        let program = build("places.c", "gcc", &flags);
        let shown = show_variables(&run_until_stop(&program.path).capture(), "numbers");
        for expected in ["ratio: double = 1.25\n", "small: float = 2.5\n", "calls: int = 4\n"] {
            assert!(shown.contains(expected), "{flags:?}: {shown}");
        }
    }
}

#[test]
fn a_thread_local_variable_of_a_library() {
    for flags in [&[] as &[&str], &["-ftls-model=initial-exec"]] {
        let flags = [&["-g", "-O0", "-fPIC", "-shared", "-DLIBRARY"], flags].concat();
        let library = build("places.c", "gcc", &flags);
        let path = library.path.to_string_lossy().into_owned();
        let program = build("places.c", "gcc", &["-g", "-O0", "-DSHARED", "-DMODE=0", &path]);
        let capture = run_until_stop(&program.path).capture();
        expect![[r#"
            of_function: int = 6
        "#]]
        .assert_eq(&show_variables(&capture, "stop_here"));
    }
}

#[test]
fn optimised_pointers() {
    let program = build("places.c", "gcc", &["-g", "-O2", "-DMODE=1"]);
    expect![[r#"
        more: int = 2
        pair: const pair * = (the pointer itself is optimised out)
          *: const pair
            first: int = 2
            second: int = 40
        sum: int = 44
    "#]]
    .assert_eq(&show_variables(&run_until_stop(&program.path).capture(), "total"));
}
