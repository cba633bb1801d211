//! One incident with something in every field.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "a module of several tests")]

use freezeframe_model::{
    AuditEntry, BlockedOn, BuildId, Capture, Exchange, FailingRequest, Fingerprint, Frame, FrameKind,
    HoldFacts, HoldStrength, InFlight, Incident, IncidentId, IncidentKind, IncidentState, InstanceId,
    LogLine, Loss, Module, NetworkCut, Note, Outcome, Owner, Record, RequestMatch, Site, SourceLine, Stream,
    Task, TaskState, Thread, ThreadState, Timestamp, Timings, Value, Variable, VariableRole,
};

/// 2026-11-21T03:11:58.042567Z
pub const AT: Timestamp = Timestamp(1_795_230_718_042_567);

/// An incident whose every text passes through `t`.
pub fn sample(t: impl Fn(&str) -> String) -> (Incident, Capture) {
    let site = Site { function: t("shop::pricing::total"), file: t("src/pricing.rs"), line: 118 };
    let request = |method: &str, path: &str, before_us| InFlight {
        traceparent: t("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        method: t(method),
        path: t(path),
        started_at: Timestamp(AT.0 - before_us),
        session: Some(7),
    };
    let exchange = |method: &str, path: &str, before_us, status, outcome| Exchange {
        request: request(method, path, before_us),
        instance: Some(InstanceId(2)),
        status,
        duration_us: 8_400,
        retried: status == 502,
        outcome,
    };
    let log =
        |before_us, stream, text: &str| LogLine { at: Timestamp(AT.0 - before_us), stream, text: t(text) };
    let incident = Incident {
        id: IncidentId(42),
        kind: IncidentKind::Panic,
        state: IncidentState::Held,
        message: t("attempt to divide by zero"),
        fingerprint: Fingerprint([0xab; 16]),
        site: site.clone(),
        service: t("shop"),
        instance: InstanceId(2),
        build_id: BuildId(vec![0x3f, 0xa9, 0xc1, 0xe0, 0x55]),
        captured_at: AT,
        updated_at: AT.plus_ms(2_100),
        count: 3,
        timings: Timings {
            stopped_us: Some(126),
            fingerprinted_us: Some(410),
            unrouted_us: Some(930),
            replaced_us: Some(1_240),
            resumed_us: Some(5_900),
            captured_us: Some(38_000),
            held_us: Some(2_004_000),
            stored_us: None,
        },
        hold: HoldFacts {
            strength: HoldStrength::Frozen,
            network: NetworkCut::Missing(t("CAP_NET_ADMIN")),
            pid: 4121,
            pid_start: 99,
            failing_tid: 4123,
            pending_signal: 0,
            signal: 0,
            cgroup: Some(t("/sys/fs/cgroup/freezeframe/shop-2")),
            resident_bytes: 48 << 20,
            lease_until: AT.plus_ms(4 * 3_600_000),
        },
        request: FailingRequest {
            request: Some(request("POST", "/checkout", 6_000)),
            matched_by: RequestMatch::Memory,
            in_flight: 3,
            others: vec![request("GET", "/products", 2_000), request("GET", "/cart", 1_000)],
            journey: vec![
                exchange("GET", "/cart", 18_000_000, 200, Outcome::Answered),
                exchange(
                    "PUT",
                    "/cart/coupon",
                    4_000_000,
                    502,
                    Outcome::UpstreamFailed(t("connection reset")),
                ),
            ],
        },
        logs: vec![
            log(18_000_000, Stream::Stdout, "INFO cart loaded items=1 user=8812"),
            log(4_000_000, Stream::Stdout, "WARN coupon service slow took_ms=1800"),
            log(900, Stream::Stderr, "thread 'tokio-3' panicked at src/pricing.rs:118:20:"),
            log(800, Stream::Stderr, "attempt to divide by zero"),
        ],
        requests_lost: 0,
        not_captured: vec![Loss { what: t("network cut"), why: t("missing CAP_NET_ADMIN") }],
    };
    (incident, capture(site, t))
}

/// What people wrote and did about it; `t` is a text that comes from outside.
pub fn record(t: &str) -> Record {
    let entry = |after_ms, who: &str, what: &str, detail: &str| AuditEntry {
        at: AT.plus_ms(after_ms),
        who: who.to_owned(),
        what: what.to_owned(),
        incident: Some(IncidentId(42)),
        detail: detail.to_owned(),
    };
    Record {
        owner: Some(Owner { who: "ada".to_owned(), at: AT.plus_ms(60_000) }),
        notes: vec![Note {
            id: 1,
            at: AT.plus_ms(90_000),
            who: "ada".to_owned(),
            text: format!("rates of {t} are empty since the import"),
        }],
        audit: vec![
            entry(2_300, "freezeframe", "alert", "delivered to pager"),
            entry(60_000, "ada", "acknowledge", ""),
            entry(70_000, "ada", "extend", "instance 2"),
        ],
    }
}

fn capture(site: Site, t: impl Fn(&str) -> String) -> Capture {
    let variable = |name: &str, type_name: &str, value: Value, children: Vec<Variable>| Variable {
        name: t(name),
        type_name: t(type_name),
        role: VariableRole::Local,
        value,
        children,
    };
    let text = |value: &str| Value::Text(t(value));
    let item = variable(
        "[0]",
        "shop::Item",
        Value::Composite,
        vec![
            variable("name", "alloc::string::String", text("\"Espresso beans\""), vec![]),
            variable("cents", "i64", text("1290"), vec![]),
        ],
    );
    let order = variable(
        "order",
        "&shop::Order",
        Value::Composite,
        vec![
            variable("id", "u64", text("1042"), vec![]),
            variable("items", "alloc::vec::Vec<shop::Item>", text("len 1"), vec![item]),
            variable("token", "alloc::string::String", Value::Redacted(t("looks like a jwt")), vec![]),
        ],
    );
    let frame = |function: &str, file: &str, line, kind, variables| Frame {
        function: t(function),
        file: t(file),
        line,
        inlined: function.contains("closure"),
        kind,
        address: 0x5555_5555_1234,
        module: Some(0),
        module_offset: 0x1234,
        variables,
    };
    let library = |function: &str| frame(function, "", 0, FrameKind::Library, vec![]);
    let waits = |id, customer: &str| Task {
        id: Some(id),
        name: t("shop::mail::send"),
        state: TaskState::Idle,
        spawned_at: Some(Site { function: String::new(), file: t("src/checkout.rs"), line: 80 }),
        waits_for: Some(t("tokio::time::sleep::Sleep")),
        thread: None,
        frames: vec![
            library("tokio::time::sleep::Sleep"),
            frame(
                "shop::mail::send",
                "src/mail.rs",
                22,
                FrameKind::User,
                vec![variable("customer", "&str", text(customer), vec![])],
            ),
        ],
    };
    let polled = Task {
        id: Some(9),
        name: t("shop::checkout"),
        state: TaskState::Running,
        thread: Some(4123),
        frames: vec![frame("shop::pricing::total", "src/pricing.rs", 118, FrameKind::User, vec![])],
        ..Task::default()
    };
    let failing = Thread {
        id: 4123,
        name: t("tokio-3"),
        failing: true,
        state: ThreadState::Running,
        syscall: None,
        blocked_on: None,
        frames: vec![
            frame(
                "core::panicking::panic_fmt",
                "/rustc/library/core/src/panicking.rs",
                75,
                FrameKind::Library,
                vec![],
            ),
            frame(
                "core::panicking::panic_const::panic_const_div_by_zero",
                "/rustc/library/core/src/panicking.rs",
                178,
                FrameKind::Library,
                vec![],
            ),
            frame(
                "shop::pricing::total",
                "src/pricing.rs",
                118,
                FrameKind::User,
                vec![
                    order,
                    variable("rate", "i64", text("0"), vec![]),
                    variable(
                        "iter",
                        "core::slice::Iter<shop::Item>",
                        Value::Unavailable(t("optimised out")),
                        vec![],
                    ),
                ],
            ),
            frame(
                "shop::checkout::{closure}",
                "src/checkout.rs",
                64,
                FrameKind::User,
                vec![variable("user", "u64", text("8812"), vec![])],
            ),
            frame("tokio::runtime::task::core::poll", "", 0, FrameKind::Library, vec![]),
        ],
        truncated: Some(t("no unwind information in libfoo.so")),
    };
    let waiting = Thread {
        id: 4122,
        name: t("tokio-2"),
        state: ThreadState::Sleeping,
        syscall: Some(t("futex")),
        blocked_on: Some(BlockedOn {
            kind: t("futex"),
            address: 0x7fff_0000_1000,
            owner: Some(4123),
            guessed: true,
        }),
        frames: vec![frame("shop::stock::reserve", "src/stock.rs", 31, FrameKind::User, vec![])],
        ..Thread::default()
    };
    let idle = Thread {
        id: 4121,
        name: t("shop"),
        state: ThreadState::Sleeping,
        syscall: Some(t("epoll_wait")),
        frames: vec![frame("epoll_wait", "", 0, FrameKind::Library, vec![])],
        ..Thread::default()
    };
    let source = [
        (115, "pub fn total(order: &Order, rates: &Rates) -> i64 {"),
        (116, "    let mut sum = 0;"),
        (117, "    let rate = rates.of(order.currency);"),
        (118, "    sum += order.cents() / rate;"),
        (119, "    sum"),
        (120, "}"),
    ];
    Capture {
        threads: vec![failing, waiting, idle],
        tasks: vec![polled, waits(5, "\"Ada\""), waits(6, "\"Grace\"")],
        modules: vec![Module { path: t("/srv/shop"), ..Module::default() }],
        site,
        source: source.map(|(number, text)| SourceLine { number, text: t(text) }).to_vec(),
        not_captured: vec![Loss { what: t("locals of frame 4"), why: t("stripped binary") }],
        all_stop_us: 5_774,
        decode_us: 32_000,
    }
}
