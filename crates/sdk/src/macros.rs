//! `hold!` and `ensure!`: a test at the call site, everything else out of line.
//!
//! The message stays an unformatted `fmt::Arguments` until somebody is known to listen.

use std::fmt;

use crate::report::{KIND_ASSERTION, KIND_HOLD, MESSAGE_MAX_BYTES, Site, raise};
use crate::text::BoundedText;

/// Asks the supervisor to hold the process here. Does nothing without one, and the program goes on after it.
///
/// Takes the arguments of [`format!`]; they are evaluated only when a supervisor has armed the process.
///
/// ```
/// # let state = 3;
/// freezeframe_sdk::hold!("order left its life cycle: state {state}");
/// ```
#[macro_export]
macro_rules! hold {
    () => {
        $crate::hold!("hold")
    };
    ($($message:tt)+) => {
        if $crate::armed() {
            $crate::__private::hold(::core::format_args!($($message)+), ::core::file!(), ::core::line!());
        }
    };
}

/// Evaluates a condition exactly once and returns it; where it is false, asks the supervisor to hold the process here.
///
/// Unlike `assert!`, **the program goes on either way**: the returned `bool` is for the caller to act on, or to
/// ignore. The message takes the arguments of [`format!`], which are evaluated only when the condition is false and
/// a supervisor has armed the process; without a message it is the condition's source text.
///
/// ```
/// use freezeframe_sdk::ensure;
/// let balance = -5;
/// if !ensure!(balance >= 0, "account overdrawn: {balance}") {
///     // repair, refuse or go on
/// }
/// ensure!(balance < 100);
/// ```
#[macro_export]
macro_rules! ensure {
    ($condition:expr $(,)?) => {
        $crate::ensure!($condition, "{}", ::core::stringify!($condition))
    };
    ($condition:expr, $($message:tt)+) => {{
        let holds: bool = $condition;
        if !holds && $crate::armed() {
            $crate::__private::assertion(
                ::core::stringify!($condition),
                ::core::format_args!($($message)+),
                ::core::file!(),
                ::core::line!(),
            );
        }
        holds
    }};
}

/// The armed half of [`hold!`].
#[cold]
#[inline(never)]
pub fn hold(message: fmt::Arguments<'_>, file: &'static str, line: u32) {
    let (span, traceparent) = current_context();
    let message = BoundedText::of(MESSAGE_MAX_BYTES, message);
    raise(KIND_HOLD, message.as_str(), Site { file, line }, "", &span, &traceparent);
}

/// The armed half of [`ensure!`]: the condition's source text becomes the field `condition`.
#[cold]
#[inline(never)]
pub fn assertion(condition: &'static str, message: fmt::Arguments<'_>, file: &'static str, line: u32) {
    let (span, traceparent) = current_context();
    let message = BoundedText::of(MESSAGE_MAX_BYTES, message);
    let mut fields = BoundedText::new(crate::FIELDS_MAX_BYTES);
    fields.push_line("condition", format_args!("{condition}"));
    raise(KIND_ASSERTION, message.as_str(), Site { file, line }, fields.as_str(), &span, &traceparent);
}

#[cfg(feature = "tracing")]
fn current_context() -> (String, String) {
    crate::layer::current_context()
}

#[cfg(not(feature = "tracing"))]
fn current_context() -> (String, String) {
    (String::new(), String::new())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fmt;

    use crate::report::sink::{self, Armed, Seen};
    use crate::{KIND_ASSERTION, KIND_HOLD, MESSAGE_MAX_BYTES};

    /// Counts how often it is formatted.
    struct Counted<'a>(&'a Cell<u32>);

    impl fmt::Display for Counted<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.set(self.0.get() + 1);
            f.write_str("counted")
        }
    }

    #[test]
    fn hold_reports_message_and_place() {
        let _armed = Armed::yes();
        let zone = 9;
        let line = line!() + 1;
        hold!("zone {} has no carrier", zone);
        assert_eq!(
            sink::take(),
            [Seen {
                kind: KIND_HOLD,
                message: "zone 9 has no carrier".into(),
                file: file!().into(),
                line,
                ..Seen::default()
            }]
        );
    }

    #[test]
    fn ensure_reports_only_what_is_false_and_returns_it() {
        let _armed = Armed::yes();
        let left = -1;
        assert!(ensure!(left < 0, "never formatted"));
        assert_eq!(sink::take(), []);

        assert!(!ensure!(left >= 0, "{left} left"));
        let seen = sink::take();
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].kind, seen[0].message.as_str()), (KIND_ASSERTION, "-1 left"));
        assert_eq!(seen[0].fields, "condition=left >= 0\n");

        assert!(!ensure!(left == 7));
        assert_eq!(sink::take()[0].message, "left == 7");
    }

    #[test]
    fn condition_is_evaluated_once_and_messages_only_when_armed() {
        let (conditions, messages) = (Cell::new(0), Cell::new(0));
        let wrong = || {
            conditions.set(conditions.get() + 1);
            false
        };
        {
            let _disarmed = Armed::no();
            assert!(!ensure!(wrong(), "{}", Counted(&messages)));
            hold!("{}", Counted(&messages));
            assert_eq!((conditions.get(), messages.get()), (1, 0));
            assert_eq!(sink::take(), []);
        }
        let _armed = Armed::yes();
        assert!(!ensure!(wrong(), "{}", Counted(&messages)));
        hold!("{}", Counted(&messages));
        assert_eq!((conditions.get(), messages.get()), (2, 2));
        assert_eq!(sink::take().len(), 2);
    }

    #[test]
    fn every_thread_reports_its_own() {
        let _armed = Armed::yes();
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                std::thread::spawn(move || {
                    for call in 0..100 {
                        hold!("{thread}/{call}");
                    }
                    sink::take()
                })
            })
            .collect();
        for (thread, seen) in threads.into_iter().enumerate() {
            let seen = seen.join().unwrap();
            let messages: Vec<_> = seen.into_iter().map(|report| report.message).collect();
            assert_eq!(messages, (0..100).map(|call| format!("{thread}/{call}")).collect::<Vec<_>>());
        }
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let _armed = Armed::yes();
        hold!("{}", "ä".repeat(MESSAGE_MAX_BYTES));
        let message = &sink::take()[0].message;
        assert!(message.len() <= MESSAGE_MAX_BYTES && message.len() > MESSAGE_MAX_BYTES - 8);
        assert!(message.ends_with("ä…"), "{}", &message[message.len() - 8..]);
    }

    #[test]
    fn macros_work_in_expression_position() {
        let _armed = Armed::no();
        let chosen = match 3 {
            0 => 1,
            _ => {
                hold!();
                2
            }
        };
        assert_eq!(chosen, 2);
        let _: bool = ensure!(chosen == 2,);
    }
}
