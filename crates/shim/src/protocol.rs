//! What daemon and shim say to each other: JSON messages, each after its length in four bytes (little endian).
//!
//! The first message in both directions is `Hello`. A daemon of another version may still release and kill: those two and
//! `Hello` never change. Unknown messages are errors of that connection, never of the instance.

use std::io;
use std::path::PathBuf;

use freezeframe_model::{
    Answer, Capture, EvaluateError, ExitReason, Fingerprint, HoldFacts, IncidentId, IncidentKind, InstanceId,
    LogLine, Question, Timestamp, Timings,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Version of this protocol.
pub const VERSION: u32 = 3;

/// The first version that knows `Inspect`; others know all that went before it.
pub const VERSION_OF_INSPECT: u32 = 3;

/// Last lines of an instance's output that are kept with an incident.
pub const LOG_LINES: usize = 200;

/// A message longer than this is refused (a capture with all its values stays below it by its budgets).
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Daemon → shim.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// First message of a connection.
    Hello {
        /// The daemon's [`VERSION`].
        version: u32,
    },
    /// Whether a hold would be granted: traps are planted or taken out accordingly.
    Permit {
        /// Plant them.
        permitted: bool,
    },
    /// Answer to `Trapped`: hold.
    Confirm {
        /// The trap that this answers.
        trap: u64,
        /// The incident that this becomes.
        incident: IncidentId,
        /// How long other requests may take to finish, in milliseconds.
        drain_ms: u64,
        /// `traceparent`s of the requests in flight, to find the failing one by.
        in_flight: Vec<String>,
    },
    /// Answer to `Trapped`: go on as without us.
    Refuse {
        /// The trap that this answers.
        trap: u64,
        /// Traps stay out for so long, in milliseconds.
        rearm_ms: u64,
    },
    /// The drain is over: hold now.
    Freeze,
    /// Let the held process run on.
    Resume {
        /// Trace and arm it again (the hold was given up), or leave it alone (released).
        take_back: bool,
    },
    /// Ask the instance to end (SIGTERM).
    Terminate,
    /// End the instance and everything it started.
    Kill,
    /// Write an ELF core of the held process.
    WriteCore {
        /// Where to; zstd-compressed.
        path: PathBuf,
        /// Bound of the memory in it, in bytes before compression.
        memory_bytes_max: u64,
        /// Which kinds of memory (`coredump_filter` of core(5)); the kernel's own choice where it is missing.
        #[serde(default)]
        filter: Option<u32>,
    },
    /// A debugger wants to attach.
    HandOver,
    /// The debugger has left.
    Reclaim,
    /// Nothing moves: stop everything and report it like a trap.
    CaptureStall,
    /// The capture of this incident is durable: the shim's copy is not needed any more.
    Stored {
        /// Which.
        incident: IncidentId,
    },
    /// Send the last lines that the instance wrote.
    Logs {
        /// How many at most.
        lines: usize,
    },
    /// `Exited` was taken note of: the shim may go.
    Farewell,
    /// What is the value of this, in the held process?
    Inspect {
        /// Of which incident.
        incident: IncidentId,
        /// Number of the question, to be repeated in the answer.
        number: u64,
        /// What is asked.
        question: Question,
    },
}

/// A trap, as far as it is known at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trapped {
    /// Number of this trap, to be repeated in the answer.
    pub trap: u64,
    /// How the error was noticed.
    pub kind: IncidentKind,
    /// The error's own words, redacted.
    pub message: String,
    /// The same error across instances and restarts.
    pub fingerprint: Fingerprint,
    /// Resident memory of the process in bytes.
    pub resident_bytes: u64,
    /// The failing request's `traceparent`, where the SDK knew it.
    pub traceparent: Option<String>,
    /// When.
    pub at: Timestamp,
    /// So far.
    pub timings: Timings,
    /// What could not be found out.
    pub diagnostics: Vec<String>,
}

/// What was read of the stopped process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Captured {
    /// Of which incident.
    pub incident: IncidentId,
    /// What the trap looked like at once.
    pub trapped: Trapped,
    /// Build of the executable.
    pub build_id: freezeframe_model::BuildId,
    /// Threads, frames, values; redacted.
    pub capture: Capture,
    /// The last lines before the trap; redacted.
    pub logs: Vec<LogLine>,
    /// `resumed_us` and `captured_us` set.
    pub timings: Timings,
}

/// A hold as the shim keeps it on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRecord {
    /// For which incident.
    pub incident: IncidentId,
    /// Of which error.
    pub fingerprint: Fingerprint,
    /// How.
    pub facts: HoldFacts,
    /// False while draining.
    pub firm: bool,
}

/// Where an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It runs.
    Running,
    /// Everything stands still; the daemon's answer is awaited.
    Asking,
    /// Its failing thread stands still.
    Draining,
    /// It is held.
    Held,
    /// It was released and is not traced any more.
    Released,
    /// It has ended.
    Ended,
}

/// Why a question about the held process has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoAnswer {
    /// The expression has no value.
    Expression(EvaluateError),
    /// Too many other questions wait.
    Busy,
    /// The process could not be asked.
    Failed(String),
}

/// Shim → daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// First message of a connection.
    Hello {
        /// The shim's [`VERSION`].
        version: u32,
        /// Which instance it has.
        instance: InstanceId,
        /// Port that the instance was given.
        port: u16,
        /// First process of the instance; 0 where there is none.
        pid: i32,
        /// Where it stands.
        phase: Phase,
        /// Its hold, where there is one.
        held: Option<HeldRecord>,
        /// Why not all errors are noticed; empty where they are.
        limits: Vec<String>,
    },
    /// Lines that the instance wrote (not redacted: for the terminal that they would have gone to without us).
    Lines(Vec<LogLine>),
    /// Lines that were not passed on because the daemon did not keep up.
    LinesDropped(u64),
    /// Why not all errors are noticed; empty where they are.
    Limits(Vec<String>),
    /// Everything stands still: hold it?
    Trapped(Box<Trapped>),
    /// Errors that went through without a hold since the last report.
    PassedOver {
        /// How many.
        count: u64,
    },
    /// `traceparent`s nearest to the failing thread's frames; more than one means that it cannot be told.
    FailingRequest {
        /// Of which incident.
        incident: IncidentId,
        /// What was found.
        nearest: Vec<String>,
    },
    /// The capture; repeated at each connection until `Stored`.
    Captured(Box<Captured>),
    /// Held.
    Held {
        /// For which incident.
        incident: IncidentId,
        /// How.
        facts: HoldFacts,
        /// `held_us` set.
        timings: Timings,
    },
    /// The process got away.
    HoldFailed {
        /// For which incident.
        incident: IncidentId,
        /// How.
        why: String,
    },
    /// Answer to `Resume`.
    Resumed(Result<(), String>),
    /// Answer to `WriteCore`: bytes of memory written and left out.
    CoreWritten(Result<(u64, u64), String>),
    /// Answer to `HandOver`: the process to attach to.
    HandedOver(Result<i32, String>),
    /// Answer to `Reclaim`: whether the failing thread was moved.
    Reclaimed(Result<bool, String>),
    /// Answer to `Logs`; redacted.
    Logs(Vec<LogLine>),
    /// The instance has ended.
    Exited {
        /// How.
        reason: ExitReason,
        /// Its last lines; redacted.
        logs: Vec<LogLine>,
    },
    /// Answer to `Inspect`; redacted unless the question says otherwise.
    Inspected {
        /// Of which question.
        number: u64,
        /// What it came to.
        result: Box<Result<Answer, NoAnswer>>,
    },
}

/// A message with its length before it.
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).ok().filter(|length| *length as usize <= MESSAGE_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::other("message too long"))?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// Puts messages together from bytes that arrive in any pieces.
#[derive(Default)]
pub struct Decoder {
    bytes: Vec<u8>,
}

impl Decoder {
    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message; `None` where more bytes are needed. An error ends the connection.
    pub fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(head) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("message of {length} bytes")));
        }
        let Some(body) = self.bytes.get(4..4 + length) else { return Ok(None) };
        let message = serde_json::from_slice(body)?;
        self.bytes.drain(..4 + length);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_any_splitting() {
        let bytes = [encode(&Command::Freeze), encode(&Command::Logs { lines: 3 })]
            .into_iter()
            .collect::<io::Result<Vec<_>>>()
            .expect("encodes")
            .concat();
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        for byte in bytes {
            decoder.push(&[byte]);
            while let Some(command) = decoder.take::<Command>().expect("decodes") {
                seen.push(format!("{command:?}"));
            }
        }
        assert_eq!(seen, ["Freeze", "Logs { lines: 3 }"]);
    }

    #[test]
    fn hostile_bytes_are_errors() {
        for bytes in [&[0xff; 8][..], &[2, 0, 0, 0, b'{', b'x'], &[4, 0, 0, 0, b'n', b'u', b'l', b'l']] {
            let mut decoder = Decoder::default();
            decoder.push(bytes);
            assert!(decoder.take::<Command>().is_err(), "{bytes:?}");
        }
    }
}
