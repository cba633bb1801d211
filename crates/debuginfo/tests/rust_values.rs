//! Frames and values of Rust programs, unoptimised and optimised.

mod common;

use common::{build, run_until_stop, show_own_frames, show_variables};
use expect_test::expect;

#[test]
fn unoptimised() {
    let program = build("values.rs", "rustc", &["--edition=2021", "-g"]);
    let capture = run_until_stop(&program.path).capture();
    expect![[r#"
        User values::stop values.rs:41
        User values::discount values.rs:49 (inlined)
        User values::price values.rs:91
        User values::main values.rs:110
        None
    "#]]
    .assert_eq(&show_own_frames(&capture));
    expect![[r#"
        order: u64 = 42
        customer: &values::Customer = 0x…
          *: Customer
            name: &str = "Grace"
            tags: Vec<alloc::string::String>
              [0]: String = "a"
              [1]: String = "b"
            level: Level = High
            password: String = <redacted: password>
            api_token: Option<alloc::string::String> = <redacted: token>
        numbers: &[i32]
          [0]: i32 = 1
          [1]: i32 = -2
          [2]: i32 = 3
        payment: &values::Payment = 0x…
          *: Payment = Card
            holder: String = "Ada"
            cents: u32 = 250
        shape: &dyn values::Shape = 0x…
          *: Square
            side: f64 = 1.5
        letter: char = 'ß'
        truth: bool = true
        negative: i8 = -5
        wide: u128 = 1267650600228229401496703205376
        ratio: f32 = 0.25
        nothing: Option<u32> = None
        some: Option<u32> = Some
          0: u32 = 7
        borrowed: Option<&str> = Some
          0: &str = "hello"
        niche: Option<&u32> = None
        result: Result<u8, alloc::string::String> = Err
          0: String = "bad \"thing\"\n"
        vector: Vec<u16>
          [0]: u16 = 1
          [1]: u16 = 2
          [2]: u16 = 3
        empty: Vec<u16>
        bytes: Vec<u8> = b"\x00A\xff"
        tuple: (u8, &str, f64)
          0: u8 = 1
          1: &str = "two"
          2: f64 = 3.0
        array: [[u8; 2]; 2]
          [0]: [u8; 2] = b"\x01\x02"
          [1]: [u8; 2] = b"\x03\x04"
        grid: [[i32; 2]; 2]
          [0]: [i32; 2]
            [0]: i32 = 1
            [1]: i32 = 2
          [1]: [i32; 2]
            [0]: i32 = 3
            [1]: i32 = 4
        voucher: Payment = Voucher
          0: u8 = 3
          1: Option<alloc::boxed::Box<values::Payment>> = Some
            0: alloc::boxed::Box<values::Payment> = 0x…
              *: Payment = Card
                holder: String = "Ada"
                cents: u32 = 250
        cash: Payment = Cash
        shared: Arc<alloc::string::String> = 0x… (shared by 1)
          *: String = "shared"
        counted: Rc<[u8; 2]> = 0x… (shared by 1)
          *: [u8; 2] = b"\x07\x08"
        text: Arc<str> = "arc text"
        lock: Mutex<i32> = unlocked
          data: i32 = 41
        map: HashMap<u32, &str>
          [1]: &str = "one"
        headers: HashMap<alloc::string::String, alloc::string::String>
          ["Authorization"]: String = <redacted: authorization>
        tree: BTreeMap<u32, u64>
          [0]: u64 = 0
          [1]: u64 = 10
          [2]: u64 = 20
        deque: VecDeque<u8>
          [0]: u8 = 2
          [1]: u8 = 3
          [2]: u8 = 4
          [3]: u8 = 5
        pause: Duration = 1.5s
        boxed: alloc::boxed::Box<dyn values::Shape> = 0x…
          *: Square
            side: f64 = 2.0
        path: PathBuf = "/tmp/x"
        unit: () = ()
        function: fn(u32) -> u32 = 0x… <values::stop>
        long: Vec<u32>
          [0]: u32 = 0
          [1]: u32 = 1
          [2]: u32 = 2
          [3]: u32 = 3
          [4]: u32 = 4
          [5]: u32 = 5
          [6]: u32 = 6
          [7]: u32 = 7
          [8]: u32 = 8
          [9]: u32 = 9
          [10]: u32 = 10
          [11]: u32 = 11
          [12]: u32 = 12
          [13]: u32 = 13
          [14]: u32 = 14
          [15]: u32 = 15
          [16]: u32 = 16
          [17]: u32 = 17
          [18]: u32 = 18
          [19]: u32 = 19
          [20]: u32 = 20
          [21]: u32 = 21
          [22]: u32 = 22
          [23]: u32 = 23
          [24]: u32 = 24
          [25]: u32 = 25
          [26]: u32 = 26
          [27]: u32 = 27
          [28]: u32 = 28
          [29]: u32 = 29
          [30]: u32 = 30
          [31]: u32 = 31
          [32]: u32 = 32
          [33]: u32 = 33
          [34]: u32 = 34
          [35]: u32 = 35
          [36]: u32 = 36
          [37]: u32 = 37
          [38]: u32 = 38
          [39]: u32 = 39
          [40]: u32 = 40
          [41]: u32 = 41
          [42]: u32 = 42
          [43]: u32 = 43
          [44]: u32 = 44
          [45]: u32 = 45
          [46]: u32 = 46
          [47]: u32 = 47
          [48]: u32 = 48
          [49]: u32 = 49
          [50]: u32 = 50
          [51]: u32 = 51
          [52]: u32 = 52
          [53]: u32 = 53
          [54]: u32 = 54
          [55]: u32 = 55
          [56]: u32 = 56
          [57]: u32 = 57
          [58]: u32 = 58
          [59]: u32 = 59
          [60]: u32 = 60
          [61]: u32 = 61
          [62]: u32 = 62
          [63]: u32 = 63
          …:  = <left out: 36 more>
        header: (alloc::string::String, alloc::string::String)
          0: String = "authorization"
          1: String = <redacted: authorization>
        raw: Vec<u8> = <redacted: url password>
    "#]]
    .assert_eq(&show_variables(&capture, "price"));
    expect![[r#"
        price: i64 = 42
        percent: u8 = 10
        factor: i64 = 90
    "#]]
    .assert_eq(&show_variables(&capture, "discount"));
    expect![[r#"
        customer: Customer
          name: &str = "Grace"
          tags: Vec<alloc::string::String>
            [0]: String = "a"
            [1]: String = "b"
          level: Level = High
          password: String = <redacted: password>
          api_token: Option<alloc::string::String> = <redacted: token>
        payment: Payment = Card
          holder: String = "Ada"
          cents: u32 = 250
        square: Square
          side: f64 = 1.5
    "#]]
    .assert_eq(&show_variables(&capture, "main"));
    expect!["values::stop (values.rs:41)"].assert_eq(&capture.site.to_string());
    assert!(
        capture.source.iter().any(|line| line.number == capture.site.line && line.text.contains("abort"))
    );
    let own = capture.modules.iter().find(|module| module.path.ends_with("program")).expect("the program");
    assert_eq!(own.debug_info, "full");
    assert!(!own.build_id.0.is_empty());
}

#[test]
fn optimised_and_panicking() {
    let program = build("optimised.rs", "rustc", &["--edition=2021", "-g", "-O", "-Cpanic=abort"]);
    let capture = run_until_stop(&program.path).capture();
    expect![[r#"
        User optimised::check optimised.rs:19
        User optimised::handle optimised.rs:27
        User optimised::main optimised.rs:33
        None
    "#]]
    .assert_eq(&show_own_frames(&capture));
    expect![[r#"
        order: &optimised::Order = 0x…
          *: Order
            id: u64 = 7
            items: Vec<(alloc::string::String, u32)>
              [0]: (alloc::string::String, u32)
                0: String = "pen"
                1: u32 = 4
              [1]: (alloc::string::String, u32)
                0: String = "ink"
                1: u32 = 9
        limit: u32 = 10
        verbose: bool = true
        sum: u32 = 13
        text: String = "pen=4;ink=9;"
    "#]]
    .assert_eq(&show_variables(&capture, "check"));
    expect![[r#"
        order: Order = <it was in a register whose value was not kept>
        requests: u64 = 5
        retries: u64 = 15
    "#]]
    .assert_eq(&show_variables(&capture, "handle"));
    expect!["optimised::check (optimised.rs:19)"].assert_eq(&capture.site.to_string());
}

#[test]
fn locals_of_async_functions_come_from_the_coroutine() {
    let program = build("coroutine.rs", "rustc", &["--edition=2021", "-g"]);
    let capture = run_until_stop(&program.path).capture();
    expect![[r#"
        User coroutine::load::{async_fn#0} coroutine.rs:19
        User coroutine::outer::{async_fn#0} coroutine.rs:26
        User coroutine::main coroutine.rs:33
        None
    "#]]
    .assert_eq(&show_own_frames(&capture));
    expect![[r#"
        user: String = "ada"
        id: u32 = 7
        before: u32 = 8
        name: String = "ada!"
        got: u32 = 5
        after: u32 = 13
        __awaitee: Once
          0: bool = true
    "#]]
    .assert_eq(&show_variables(&capture, "load::{async_fn#0}"));
    expect![[r#"
        user: String = "ada"
        attempts: u8 = 3
        __awaitee: {async_fn_env#0} = Suspend0 (line 16)
          user: String = "ada"
          before: u32 = 8
          name: String = "ada!"
          __awaitee: Once
            0: bool = true
          id: u32 = 7
    "#]]
    .assert_eq(&show_variables(&capture, "outer::{async_fn#0}"));
}

#[test]
fn locals_of_async_functions_survive_inlining() {
    let program = build("coroutine.rs", "rustc", &["--edition=2021", "-g", "-O"]);
    let capture = run_until_stop(&program.path).capture();
    let locals = show_variables(&capture, "load::{async_fn#0}");
    for expected in ["id: u32 = 7\n", "name: String = \"ada!\"\n", "before: u32 = 8\n"] {
        assert!(locals.contains(expected), "{locals}");
    }
}

#[test]
fn types_of_the_standard_library() {
    let program = build("std_types.rs", "rustc", &["--edition=2021", "-g"]);
    let capture = run_until_stop(&program.path).capture();
    expect![[r#"
        started: Instant = <clock>
        shared: Rc<dyn std_types::Shape> = 0x… (shared by 1)
          *: Square
            side: f64 = 2.0
        aligned: Arc<dyn std_types::Shape> = 0x… (shared by 2)
          *: Aligned
            0: u8 = 9
        also: Arc<dyn std_types::Shape> = 0x… (shared by 2)
          *: Aligned
            0: u8 = 9
        slice: Arc<[u32]>
          [0]: u32 = 1
          [1]: u32 = 2
          [2]: u32 = 3
        weak: Weak<[u32]>
          [0]: u32 = 1
          [1]: u32 = 2
          [2]: u32 = 3
        dangling: Weak<u32> = (of nothing)
        gone: Weak<u8> = (its value is gone)
        cell: Cell<u8> = 3
        borrowed: RefCell<u32> = borrowed 2 times
          value: u32 = 4
        first: Ref<u32>
          value: NonNull<u32> = 0x…
            *: u32 = 4
          borrow: BorrowRef
            borrow: &core::cell::Cell<isize> = 0x…
              *: Cell<isize> = 2
        second: Ref<u32>
          value: NonNull<u32> = 0x…
            *: u32 = 4
          borrow: BorrowRef
            borrow: &core::cell::Cell<isize> = 0x…
              *: Cell<isize> = 2
        changing: RefCell<alloc::string::String> = mutably borrowed
          value: String = "text"
        change: RefMut<alloc::string::String>
          value: NonNull<alloc::string::String> = "text"
          borrow: BorrowRefMut
            borrow: &core::cell::Cell<isize> = 0x…
              *: Cell<isize> = -1
          marker: PhantomData<&mut alloc::string::String> = PhantomData
        poisoned: Arc<std::sync::poison::mutex::Mutex<u8>> = 0x… (shared by 1)
          *: Mutex<u8> = unlocked, poisoned
            data: u8 = 1
        inner: Arc<std::sync::poison::mutex::Mutex<u8>> = 0x… (shared by 1)
          *: Mutex<u8> = unlocked, poisoned
            data: u8 = 1
        _failed: Result<(), alloc::boxed::Box<(dyn core::any::Any + core::marker::Send)>> = Err
          0: alloc::boxed::Box<(dyn core::any::Any + core::marker::Send)> = 0x1
            *: () = ()
        held: Mutex<u8> = locked
          data: u8 = 2
        guard: Result<std::sync::poison::mutex::MutexGuard<u8>, std::sync::poison::PoisonError<std::sync::poison::mutex::MutexGuard<u8>>> = Ok
          0: MutexGuard<u8>
            lock: &std::sync::poison::mutex::Mutex<u8> = 0x…
              *: Mutex<u8> = locked
                data: u8 = 2
            poison: Guard
              panicking: bool = false
        readers: RwLock<u16> = locked by 2 for reading
          data: u16 = 5
        reading: (core::result::Result<std::sync::poison::rwlock::RwLockReadGuard<u16>, std::sync::poison::PoisonError<std::sync::poison::rwlock::RwLockReadGuard<u16>>>, core::result::Result<std::sync::poison::rwlock::RwLockReadGuard<u16>, std::sync::poison::PoisonError<std::sync::poison::rwlock::RwLockReadGuard<u16>>>)
          0: Result<std::sync::poison::rwlock::RwLockReadGuard<u16>, std::sync::poison::PoisonError<std::sync::poison::rwlock::RwLockReadGuard<u16>>> = Ok
            0: RwLockReadGuard<u16>
              data: NonNull<u16> = 0x…
                *: u16 = 5
              inner_lock: &std::sys::sync::rwlock::futex::RwLock = 0x…
                *: RwLock
                  state: AtomicU32 = 2
                  writer_notify: AtomicU32 = 0
          1: Result<std::sync::poison::rwlock::RwLockReadGuard<u16>, std::sync::poison::PoisonError<std::sync::poison::rwlock::RwLockReadGuard<u16>>> = Ok
            0: RwLockReadGuard<u16>
              data: NonNull<u16> = 0x…
                *: u16 = 5
              inner_lock: &std::sys::sync::rwlock::futex::RwLock = 0x…
                *: RwLock
                  state: AtomicU32 = 2
                  writer_notify: AtomicU32 = 0
        writer: RwLock<u16> = locked for writing
          data: u16 = 6
        writing: Result<std::sync::poison::rwlock::RwLockWriteGuard<u16>, std::sync::poison::PoisonError<std::sync::poison::rwlock::RwLockWriteGuard<u16>>> = Ok
          0: RwLockWriteGuard<u16>
            lock: &std::sync::poison::rwlock::RwLock<u16> = 0x…
              *: RwLock<u16> = locked for writing
                data: u16 = 6
            poison: Guard
              panicking: bool = false
        once: OnceLock<u32> = 7
        unset: OnceLock<u32> = (not set yet)
        lazy: LazyLock<u32, fn() -> u32> = 8
        local: OnceCell<u8> = Some
          0: u8 = 9
        owned: Cow<str> = Owned
          0: String = "owned"
        lent: Cow<str> = Borrowed
          0: &str = "lent"
        c_text: CString = "c text"
        c_lent: &core::ffi::c_str::CStr = "c text"
        os_text: OsString = "os text"
        os_lent: &std::ffi::os_str::OsStr = "os text"
        path: &std::path::Path = "/tmp/x"
        set: HashSet<u8>
          [0]: u8 = 1
        sorted: BTreeSet<&str>
          [0]: &str = "a"
          [1]: &str = "b"
        heap: BinaryHeap<u8> = b"\x03\x01\x02"
        pause: Duration = 1.5ms
        birthday: SystemTime = 2001-09-09T01:46:40.000000005Z
        positive: Option<core::num::nonzero::NonZero<u32>> = Some
          0: NonZero<u32> = 4
        range: Range<u8>
          start: u8 = 1
          end: u8 = 5
        negative: i128 = -170141183460469231731687303715884105728
        captured: u8 = 3
        closure: {closure_env#2}
          captured: u8 = 3
        kept: ManuallyDrop<alloc::string::String> = "kept"
        nothing: MaybeUninit<u32> = <it may not have been initialised>
        pinned: Pin<alloc::boxed::Box<u32>> = 0x…
          *: u32 = 5
        nested: &[&[u8]]
          [0]: &[u8] = b"\x01\x02"
          [1]: &[u8] = b"\x03"
        words: &[&str]
          [0]: &str = "one"
          [1]: &str = "two"
        either: Either
          whole: u32 = 131073
          halves: [u16; 2]
            [0]: u16 = 1
            [1]: u16 = 2
    "#]].assert_eq(&show_variables(&capture, "stop").replace(&clock(&capture), "<clock>"));
}

/// What `Instant::now` said.
fn clock(capture: &freezeframe_model::Capture) -> String {
    let shown = show_variables(capture, "stop");
    let line = shown.lines().find(|line| line.starts_with("started:")).expect("an argument");
    line.split(" = ").nth(1).expect("a value").to_owned()
}
