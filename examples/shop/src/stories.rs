//! How to use the shop from outside: what breaks it, and what does not.
//!
//! Nothing here is used by the shop itself; demonstrations and tests drive it with this.

use std::borrow::Cow;

/// An HTTP request of a user. Cookies are the client's business: whatever the shop sets goes back with the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Path and query.
    pub path: Cow<'static, str>,
    /// Of the body, where there is one.
    pub content_type: Option<&'static str>,
    /// Empty for `GET`.
    pub body: Cow<'static, str>,
    /// Sent at the same time as the request before it, on a connection of its own, instead of after its answer.
    pub at_once: bool,
}

/// A bug, and the journey of the user who meets it.
#[derive(Debug)]
pub struct Story {
    /// Stable name, in words and hyphens.
    pub name: &'static str,
    /// What goes wrong, in one line.
    pub summary: &'static str,
    /// The requests in their order; the last one (with those at once with it) meets the bug.
    pub journey: &'static [Request],
    /// What becomes of it without a supervisor.
    pub breaks: Breaks,
}

/// What becomes of a failing request, and of the process, without a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaks {
    /// A panic with this text in its message; the connection closes without an answer, the process goes on.
    Panic(&'static str),
    /// An answer with this status, and an ERROR event in the log.
    Status(u16),
    /// The last requests never get an answer; nor does `/health` from then on.
    Hang,
    /// An `ensure!` is false, with this text in its message; the request succeeds all the same.
    Assertion(&'static str),
    /// This signal ends the process, with the request or shortly after its answer.
    Signal(&'static str),
}

const JSON: &str = "application/json";

const fn get(path: &'static str) -> Request {
    Request {
        method: "GET",
        path: Cow::Borrowed(path),
        content_type: None,
        body: Cow::Borrowed(""),
        at_once: false,
    }
}

const fn post(path: &'static str, body: &'static str) -> Request {
    Request {
        method: "POST",
        path: Cow::Borrowed(path),
        content_type: Some(JSON),
        body: Cow::Borrowed(body),
        at_once: false,
    }
}

const fn post_at_once(path: &'static str, body: &'static str) -> Request {
    Request {
        method: "POST",
        path: Cow::Borrowed(path),
        content_type: Some(JSON),
        body: Cow::Borrowed(body),
        at_once: true,
    }
}

/// Everything that is known to be wrong with the shop.
pub const STORIES: &[Story] = &[
    Story {
        name: "divide-by-zero",
        summary: "a freight coupon is spread by weight over a cart of downloads, which weigh nothing",
        journey: &[
            post("/login", r#"{"login": "grace", "password": "grace-secret"}"#),
            get("/products/19"),
            post("/cart", r#"{"product_id": 19, "quantity": 1}"#),
            post("/cart", r#"{"product_id": 24, "quantity": 2}"#),
            get("/cart"),
            post("/checkout", r#"{"coupon": "FREIGHT5"}"#),
        ],
        breaks: Breaks::Panic("attempt to divide by zero"),
    },
    Story {
        name: "out-of-bounds",
        summary: "recommendations are kept by position but looked up by product number, and the numbers have a gap",
        journey: &[get("/products"), get("/products/40"), get("/recommendations/40")],
        breaks: Breaks::Panic("index out of bounds: the len is 25 but the index is 39"),
    },
    Story {
        name: "poisoned-lock",
        summary: "an article on pre-order has no lot yet; looking for its oldest one panics inside the inventory's lock, and every later use of the lock panics too",
        journey: &[
            get("/products/17"),
            post("/cart", r#"{"product_id": 17, "quantity": 1}"#),
            post("/cart", r#"{"product_id": 2, "quantity": 1}"#),
        ],
        breaks: Breaks::Panic("PoisonError"),
    },
    Story {
        name: "use-after-free",
        summary: "a loyalty card whose points have expired is closed, and then printed",
        journey: &[
            post("/login", r#"{"login": "joan", "password": "joan-secret"}"#),
            get("/orders/11"),
            get("/loyalty/13"),
        ],
        breaks: Breaks::Signal("SIGSEGV"),
    },
    Story {
        name: "server-error",
        summary: "nobody checks a review's rating before the database does",
        journey: &[
            get("/products/7"),
            post(
                "/reviews",
                r#"{"product_id": 7, "rating": 10, "body": "Ten out of ten, froths like a dream"}"#,
            ),
        ],
        breaks: Breaks::Status(500),
    },
    Story {
        name: "deadlock",
        summary: "two transfers between the same two pots, one in each direction, lock them in opposite order",
        journey: &[
            post("/login", r#"{"login": "ada", "password": "ada-secret"}"#),
            post("/transfer", r#"{"from": "wallet", "to": "gifts", "cents": 20000}"#),
            post_at_once("/transfer", r#"{"from": "gifts", "to": "wallet", "cents": 20000}"#),
        ],
        breaks: Breaks::Hang,
    },
    Story {
        name: "assertion",
        summary: "stock is checked per addition to the cart, not for their sum: the limited edition is oversold",
        journey: &[
            post("/login", r#"{"login": "radia", "password": "radia-secret"}"#),
            post("/cart", r#"{"product_id": 9, "quantity": 3}"#),
            post("/cart", r#"{"product_id": 9, "quantity": 3}"#),
            post("/checkout", "{}"),
        ],
        breaks: Breaks::Assertion("product 9 oversold: 5 on hand, 6 reserved"),
    },
    Story {
        name: "abort",
        summary: "the points of a huge licence order do not fit; the panic meets C frames and aborts the process",
        journey: &[
            post("/login", r#"{"login": "margaret", "password": "margaret-secret"}"#),
            get("/price/21"),
            post("/cart", r#"{"product_id": 21, "quantity": 900000000}"#),
            post("/checkout", "{}"),
        ],
        breaks: Breaks::Signal("SIGABRT"),
    },
];

/// The `n`-th of an endless mix of requests that all succeed, in any order and from any number of clients at once: six
/// in ten look at products, about one in five writes.
pub fn honest_request(n: u64) -> Request {
    // Spread, so that neighbours do not ask for the same; fixed, so that runs can be compared.
    let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let product = spread % 24 + 1;
    let in_stock = IN_STOCK.get((spread % IN_STOCK.len() as u64) as usize).copied().unwrap_or(1);
    let login = LOGINS.get((spread % LOGINS.len() as u64) as usize).copied().unwrap_or("ada");
    match n % 20 {
        0 => get("/"),
        1 => get("/products"),
        2 => get("/health"),
        3 => get("/cart"),
        4 => get_owned(format!("/orders/{}", spread % 20 + 1)),
        5 => get_owned(format!("/loyalty/{}", spread % 12 + 1)),
        6 => get_owned(format!("/price/{product}?coupon=WELCOME10")),
        7 => get_owned(format!("/price/{in_stock}?coupon=FREIGHT5")),
        8 | 9 => get_owned(format!("/recommendations/{product}")),
        10 => post_owned("/login", format!(r#"{{"login": "{login}", "password": "{login}-secret"}}"#)),
        11 | 12 => {
            post_owned("/cart", format!(r#"{{"product_id": {in_stock}, "quantity": {}}}"#, spread % 3 + 1))
        }
        13 => post_owned(
            "/checkout",
            format!(r#"{{"coupon": "SPRING15", "items": [{{"product_id": {in_stock}, "quantity": 1}}]}}"#),
        ),
        14 => post_owned(
            "/reviews",
            format!(
                r#"{{"product_id": {product}, "rating": {}, "body": "As described, quick delivery"}}"#,
                spread % 5 + 1
            ),
        ),
        _ => get_owned(format!("/products/{product}")),
    }
}

/// Products with a shelf that never runs empty.
const IN_STOCK: &[u64] = &[1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 18];
const LOGINS: &[&str] = &["ada", "grace", "linus", "margaret", "dennis", "barbara", "ken", "radia"];

fn get_owned(path: String) -> Request {
    Request { path: Cow::Owned(path), ..get("") }
}

fn post_owned(path: &'static str, body: String) -> Request {
    Request { body: Cow::Owned(body), ..post(path, "") }
}
