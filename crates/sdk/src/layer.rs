//! Traps at `tracing` events of level ERROR, and says in which spans they happened.
//!
//! Events below ERROR cost one comparison. Fields of spans are kept, bounded, only while a supervisor listens. The
//! layer filters nothing: it takes no part in `enabled` or callsite interest, so other layers see what they always
//! saw.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Registry, Scope};
use tracing_subscriber::{Layer, registry};

use crate::report::{
    FIELDS_MAX_BYTES, KIND_ERROR_EVENT, MESSAGE_MAX_BYTES, SPAN_MAX_BYTES, Site, TRACEPARENT_MAX_BYTES,
    armed, raise,
};
use crate::text::{BoundedText, OneLine};

/// Most bytes of fields kept per span.
const SPAN_FIELDS_MAX_BYTES: usize = 512;
/// Allocated at once, so that the fields of most spans take one allocation.
const SPAN_FIELDS_USUAL_BYTES: usize = 96;
/// Most spans of one event that are looked at, from the innermost outwards.
const SPANS_MAX: usize = 32;
/// Name of the field that carries the W3C trace context.
const TRACEPARENT: &str = "traceparent";

/// A layer that traps at ERROR events; put it next to the service's other layers.
///
/// ```
/// use tracing_subscriber::prelude::*;
/// let subscriber = tracing_subscriber::registry()
///     .with(tracing_subscriber::fmt::layer())
///     .with(freezeframe_sdk::layer());
/// # drop(subscriber);
/// ```
///
/// It asks for no level of its own. Where the other layers have filters of their own and nothing filters globally,
/// give it one too (`layer().with_filter(LevelFilter::INFO)`), else the callsites of lower levels stay enabled for it.
pub fn layer() -> ErrorEvents {
    ErrorEvents { _private: () }
}

/// See [`layer`].
#[derive(Debug)]
pub struct ErrorEvents {
    _private: (),
}

impl<S> Layer<S> for ErrorEvents
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR && armed() {
            report_event(event, ctx.event_scope(event));
        }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if !attributes.fields().is_empty() && armed() {
            keep_fields(ctx.span(id), |fields| attributes.record(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        if armed() {
            keep_fields(ctx.span(id), |fields| values.record(fields));
        }
    }
}

#[cold]
#[inline(never)]
fn report_event<'a, S>(event: &Event<'_>, scope: Option<Scope<'a, S>>)
where
    S: LookupSpan<'a>,
{
    let mut fields = EventFields::default();
    event.record(&mut fields);
    let (span, inherited) = describe(scope);
    let metadata = event.metadata();
    // `#[instrument(err)]` writes the error as a field and has no message.
    let message = fields.message.or(fields.error);
    raise(
        KIND_ERROR_EVENT,
        message.as_ref().map_or(metadata.name(), |text| text.as_str()),
        Site { file: metadata.file().unwrap_or_default(), line: metadata.line().unwrap_or_default() },
        fields.lines.as_str(),
        &span,
        fields.traceparent.as_ref().map_or(inherited.as_str(), |text| text.as_str()),
    );
}

/// Span context of the calling thread, as far as its subscriber is built on a [`Registry`].
pub(crate) fn current_context() -> (String, String) {
    tracing::dispatcher::get_default(|dispatch| {
        let Some(registry) = dispatch.downcast_ref::<Registry>() else { return Default::default() };
        let current = registry.current_span();
        let scope = current.id().and_then(|id| registry.span(id)).map(|span| span.scope());
        describe(scope)
    })
}

/// The spans of a scope as one text from the root inwards, and the innermost trace context.
fn describe<'a, S>(scope: Option<Scope<'a, S>>) -> (String, String)
where
    S: LookupSpan<'a>,
{
    let mut traceparent = None;
    let mut spans = Vec::new();
    for span in scope.into_iter().flatten().take(SPANS_MAX) {
        let extensions = span.extensions();
        let kept = extensions.get::<SpanFields>();
        let mut text = BoundedText::of(SPAN_MAX_BYTES, format_args!("{}", span.name()));
        if let Some(kept) = kept {
            if !kept.text.is_empty() {
                let _ = write!(text, "{{{}}}", kept.text.as_str());
            }
            if traceparent.is_none() {
                traceparent = kept.traceparent.as_ref().map(|value| value.as_str().to_owned());
            }
        }
        spans.push(text);
    }
    let mut joined = BoundedText::new(SPAN_MAX_BYTES);
    for (index, span) in spans.iter().rev().enumerate() {
        let separator = if index == 0 { "" } else { " > " };
        let _ = write!(joined, "{separator}{}", span.as_str());
    }
    (joined.into_string(), traceparent.unwrap_or_default())
}

/// What an event says.
struct EventFields {
    message: Option<BoundedText>,
    error: Option<BoundedText>,
    traceparent: Option<BoundedText>,
    lines: BoundedText,
}

impl Default for EventFields {
    fn default() -> Self {
        Self { message: None, error: None, traceparent: None, lines: BoundedText::new(FIELDS_MAX_BYTES) }
    }
}

impl EventFields {
    fn record(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        match field.name() {
            "message" => self.message = Some(BoundedText::of(MESSAGE_MAX_BYTES, value)),
            TRACEPARENT => self.traceparent = Some(BoundedText::of(TRACEPARENT_MAX_BYTES, value)),
            name => {
                if name == "error" {
                    self.error = Some(BoundedText::of(MESSAGE_MAX_BYTES, value));
                }
                self.lines.push_line(name, value);
            }
        }
    }
}

impl Visit for EventFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, format_args!("{value:?}"));
    }
}

/// What is kept of a span's fields, in the registry's per-span storage.
struct SpanFields {
    /// `key=value` separated by spaces, on one line.
    text: BoundedText,
    traceparent: Option<BoundedText>,
}

impl SpanFields {
    fn new() -> Self {
        Self {
            text: BoundedText::with_room(SPAN_FIELDS_MAX_BYTES, SPAN_FIELDS_USUAL_BYTES),
            traceparent: None,
        }
    }

    fn record(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name() == TRACEPARENT {
            self.traceparent = Some(BoundedText::of(TRACEPARENT_MAX_BYTES, value));
            return;
        }
        let separator = if self.text.is_empty() { "" } else { " " };
        let _ = write!(self.text, "{separator}{}=", field.name());
        let _ = OneLine(&mut self.text).write_fmt(value);
    }
}

impl Visit for SpanFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, format_args!("{value:?}"));
    }
}

fn keep_fields<'a, S>(span: Option<registry::SpanRef<'a, S>>, record: impl FnOnce(&mut SpanFields))
where
    S: LookupSpan<'a>,
{
    let Some(span) = span else { return };
    // Taken out while the values are formatted: a value may itself look at this span.
    let mut fields = span.extensions_mut().remove::<SpanFields>().unwrap_or_else(SpanFields::new);
    record(&mut fields);
    span.extensions_mut().replace(fields);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::{Event, Subscriber, debug, debug_span, error, info_span, trace, warn};
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::layer::Context;
    use tracing_subscriber::prelude::*;

    use super::*;
    use crate::report::sink::{self, Armed, Seen};
    use crate::{KIND_HOLD, hold};

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// Counts the events that reach it.
    struct Count(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Count {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn traced(body: impl FnOnce()) -> Vec<Seen> {
        tracing::subscriber::with_default(registry().with(layer()), body);
        sink::take()
    }

    #[test]
    fn an_error_event_traps_with_fields_and_spans() {
        let _armed = Armed::yes();
        let mut line = 0;
        let seen = traced(|| {
            let request =
                info_span!("request", method = "POST", traceparent = PARENT, user = tracing::field::Empty);
            let _request = request.enter();
            request.record("user", 42);
            let _checkout = debug_span!("checkout").entered();
            line = line!() + 1;
            error!(order = 7, note = "two\nlines", "payment {} failed", "p-1");
        });
        assert_eq!(
            seen,
            [Seen {
                kind: KIND_ERROR_EVENT,
                message: "payment p-1 failed".into(),
                file: file!().into(),
                line,
                fields: "order=7\nnote=two\\nlines\n".into(),
                span: "request{method=POST user=42} > checkout".into(),
                traceparent: PARENT.into(),
            }]
        );
    }

    #[test]
    fn lesser_events_and_unarmed_errors_do_not_trap() {
        {
            let _armed = Armed::yes();
            assert_eq!(traced(|| warn!("only a warning")), []);
        }
        let _disarmed = Armed::no();
        assert_eq!(traced(|| error!("nobody listens")), []);
    }

    #[test]
    fn the_events_own_trace_context_wins() {
        let _armed = Armed::yes();
        let seen = traced(|| {
            let _span = info_span!("request", traceparent = "outer").entered();
            error!(traceparent = "inner", "broken");
            error!("broken again");
        });
        assert_eq!(
            seen.iter().map(|report| report.traceparent.as_str()).collect::<Vec<_>>(),
            ["inner", "outer"]
        );
    }

    #[test]
    fn an_error_field_stands_in_for_a_missing_message() {
        let _armed = Armed::yes();
        let seen = traced(|| error!(error = %"connection refused"));
        assert_eq!(seen[0].message, "connection refused");
        assert_eq!(seen[0].fields, "error=connection refused\n");
    }

    #[test]
    fn hold_knows_the_current_span() {
        let _armed = Armed::yes();
        let seen = traced(|| {
            let _span = info_span!("request", path = "/cart", traceparent = PARENT).entered();
            hold!("unreachable");
        });
        assert_eq!(
            (seen[0].kind, seen[0].span.as_str(), seen[0].traceparent.as_str()),
            (KIND_HOLD, "request{path=/cart}", PARENT)
        );
    }

    #[test]
    fn everything_from_the_service_is_bounded() {
        let _armed = Armed::yes();
        let long = "x".repeat(100_000);
        let seen = traced(|| {
            let mut spans = Vec::new();
            for _ in 0..200 {
                spans.push(info_span!("deep", value = %long, traceparent = %long).entered());
            }
            error!(value = %long, traceparent = %long, "{long}");
            while spans.pop().is_some() {}
        });
        let report = &seen[0];
        assert!(report.message.len() <= MESSAGE_MAX_BYTES);
        assert!(report.fields.len() <= FIELDS_MAX_BYTES);
        assert!(report.span.len() <= SPAN_MAX_BYTES);
        assert!(report.traceparent.len() <= TRACEPARENT_MAX_BYTES);
    }

    #[test]
    fn other_layers_see_what_they_always_saw() {
        let _armed = Armed::yes();
        let (all, some) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let subscriber = registry()
            .with(Count(some.clone()).with_filter(LevelFilter::DEBUG))
            .with(layer().with_filter(LevelFilter::ERROR))
            .with(layer())
            .with(Count(all.clone()));
        tracing::subscriber::with_default(subscriber, || {
            trace!("1");
            debug!("2");
            error!("3");
        });
        assert_eq!((all.load(Ordering::Relaxed), some.load(Ordering::Relaxed)), (3, 2));
        assert_eq!(sink::take().len(), 2, "both of ours, once each");
    }
}
