//! The error's own words: a panic's payload, the SDK's report, a signal's code.

use freezeframe_debuginfo::Memory;
use freezeframe_model::IncidentKind;

/// Longer texts are not read.
const TEXT_MAX: usize = 64 * 1024;

/// A non-empty UTF-8 text in the process.
fn text(memory: &dyn Memory, address: u64, length: u64) -> Option<String> {
    let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
    String::from_utf8(memory.read_bytes(address, length, TEXT_MAX).ok()?).ok()
}

/// The message of a panic, from the payload that `rust_panic` is called with.
///
/// The payload is a trait object of a type private to the standard library: `StaticStrPayload(&str)`,
/// `FormatStringPayload { inner: &Arguments, string: Option<String> }` (filled by the panic hook), or one that holds the
/// `&str` or `String` of `panic_any`. There is no debug information for them, so their few words are tried as a
/// `String { capacity, pointer, length }` and as a `&str { pointer, length }`; only readable UTF-8 counts.
pub(super) fn of_panic(memory: &dyn Memory, payload: u64) -> Option<String> {
    let mut words = [0; 4];
    for (at, slot) in words.iter_mut().enumerate() {
        *slot = memory.read_u64(payload.checked_add(8 * at as u64)?).ok()?;
    }
    let as_string = |w: &[u64]| match w {
        [capacity, pointer, length] if capacity >= length && *capacity < (1 << 32) => {
            text(memory, *pointer, *length)
        }
        _ => None,
    };
    let as_str = || text(memory, words[0], words[1]);
    words.windows(3).find_map(as_string).or_else(as_str)
}

/// What the SDK reports: layout of `freezeframe_sdk::Report`, version 1.
pub(super) struct SdkReport {
    pub(super) kind: IncidentKind,
    pub(super) message: String,
    pub(super) traceparent: Option<String>,
}

pub(super) fn of_sdk(memory: &dyn Memory, report: u64) -> Result<SdkReport, String> {
    let field = |offset: u64| report.checked_add(offset).and_then(|address| memory.read_u64(address).ok());
    let string = |offset: u64| text(memory, field(offset)?, field(offset + 8)?);
    let head = field(0).ok_or("the SDK's report is not readable")?;
    let (version, kind) = (head & 0xffff_ffff, head >> 32);
    if version != 1 {
        return Err(format!("the SDK's report has version {version}, this supervisor knows 1"));
    }
    let kind = match kind {
        2 => IncidentKind::Assertion,
        3 => IncidentKind::ErrorEvent,
        _ => IncidentKind::Hold,
    };
    let mut message = string(8).unwrap_or_default();
    // File and line are at 24..48; the site comes from the stack.
    for (offset, label) in [(48, "fields"), (64, "in span")] {
        if let Some(text) = string(offset) {
            let text = text.trim_end().replace('\n', ", ");
            message = if offset == 48 {
                format!("{message} ({text})")
            } else {
                format!("{message}, {label} {text}")
            };
        }
    }
    Ok(SdkReport { kind, message, traceparent: string(80) })
}

pub(super) fn signal_name(signal: i32) -> String {
    match signal {
        libc::SIGSEGV => "SIGSEGV".to_owned(),
        libc::SIGBUS => "SIGBUS".to_owned(),
        libc::SIGFPE => "SIGFPE".to_owned(),
        libc::SIGILL => "SIGILL".to_owned(),
        libc::SIGABRT => "SIGABRT".to_owned(),
        libc::SIGSYS => "SIGSYS".to_owned(),
        other => format!("signal {other}"),
    }
}

/// What a signal means, from its `siginfo` (sigaction(2)).
pub(super) fn of_signal(info: Option<&libc::siginfo_t>, signal: i32) -> String {
    let name = signal_name(signal);
    let Some(info) = info else { return name };
    // SAFETY: the kernel filled in the member for faults; for other signals the bits are unused and any value is valid.
    let address = unsafe { info.si_addr() } as u64;
    let what = match (signal, info.si_code) {
        (libc::SIGSEGV, 1) => format!("address {address:#x} is not mapped"),
        (libc::SIGSEGV, 2) => format!("no permission for address {address:#x}"),
        (libc::SIGSEGV, 0x80) => "general protection fault (a non-canonical address, for example)".to_owned(),
        (libc::SIGBUS, 1) => format!("misaligned address {address:#x}"),
        (libc::SIGBUS, 2) => format!("address {address:#x} lies behind the end of its file"),
        (libc::SIGFPE, 1) => "integer division by zero or overflow".to_owned(),
        (libc::SIGFPE, 2) => "integer overflow".to_owned(),
        (libc::SIGFPE, _) => "arithmetic error".to_owned(),
        (libc::SIGILL, _) => format!("illegal instruction at {address:#x}"),
        (libc::SIGABRT, _) => "the program aborted".to_owned(),
        (libc::SIGSYS, _) => "a system call that is not allowed".to_owned(),
        _ => return name,
    };
    format!("{name}: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use freezeframe_debuginfo::Snapshot;

    fn memory(regions: &[(u64, &[u8])]) -> Snapshot {
        let mut memory = Snapshot::default();
        regions.iter().for_each(|(address, bytes)| memory.add(*address, bytes.to_vec()));
        memory
    }

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn panic_messages_are_found_in_each_kind_of_payload() {
        let formatted = words(&[0x9000, 40, 0x2000, 28]);
        let literal = words(&[0x2000, 28, 0, 0]);
        let string = words(&[64, 0x2000, 28, 0]);
        for payload in [formatted, literal, string] {
            let memory = memory(&[(0x1000, &payload), (0x2000, b"attempt to divide by zero :-(")]);
            assert_eq!(of_panic(&memory, 0x1000).as_deref(), Some("attempt to divide by zero :-"));
        }
    }

    #[test]
    fn hostile_payloads_give_no_message() {
        for payload in [[u64::MAX; 4], [0; 4], [1, 0x2000, u64::MAX, 3], [0x2000, 1 << 40, 0, 0]] {
            let memory = memory(&[(0x1000, &words(&payload)), (0x2000, &[0xff; 16])]);
            assert_eq!(of_panic(&memory, 0x1000), None);
        }
        assert_eq!(of_panic(&memory(&[]), u64::MAX - 3), None);
        assert!(of_sdk(&memory(&[]), u64::MAX - 3).is_err());
    }

    #[test]
    fn sdk_reports_are_read() {
        let message = b"stock went negative";
        let mut report = (1u64 | (2 << 32)).to_le_bytes().to_vec();
        report.extend(words(&[0x2000, message.len() as u64, 0, 0, 0, 0, 0, 0, 0, 0x3000, 55]));
        let parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let memory = memory(&[(0x1000, &report), (0x2000, message), (0x3000, parent)]);
        let read = of_sdk(&memory, 0x1000).expect("a valid report");
        assert_eq!(read.kind, IncidentKind::Assertion);
        assert_eq!(read.message, "stock went negative");
        assert_eq!(read.traceparent.as_deref(), std::str::from_utf8(parent).ok());
    }
}
