//! The signal that ended a process, in words (sigaction(2)).

/// A signal as a core notes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreSignal {
    /// Its number.
    pub number: i32,
    /// `si_code`, where the core has `siginfo`.
    pub code: Option<i32>,
    /// `si_addr`, where the core has `siginfo`; means something for faults only.
    pub address: Option<u64>,
}

impl CoreSignal {
    /// `SIGSEGV`; `signal 64` where it has no name.
    pub fn name(&self) -> String {
        let name = match self.number {
            3 => "SIGQUIT",
            4 => "SIGILL",
            5 => "SIGTRAP",
            6 => "SIGABRT",
            7 => "SIGBUS",
            8 => "SIGFPE",
            11 => "SIGSEGV",
            24 => "SIGXCPU",
            25 => "SIGXFSZ",
            31 => "SIGSYS",
            number => return format!("signal {number}"),
        };
        name.to_owned()
    }

    /// What it means, as a supervised process's signal is worded: `SIGSEGV: address 0x0 is not mapped`.
    pub fn words(&self) -> String {
        let address = self.address.unwrap_or_default();
        let what = match (self.number, self.code) {
            // Sent by somebody, rather than raised by an instruction.
            (4 | 5 | 7 | 8 | 11, Some(..=0)) => "sent by a process".to_owned(),
            (11, Some(1)) => format!("address {address:#x} is not mapped"),
            (11, Some(2)) => format!("no permission for address {address:#x}"),
            (11, Some(0x80)) => "general protection fault (a non-canonical address, for example)".to_owned(),
            (7, Some(1)) => format!("misaligned address {address:#x}"),
            (7, Some(2)) => format!("address {address:#x} lies behind the end of its file"),
            (8, Some(1)) => "integer division by zero or overflow".to_owned(),
            (8, Some(2)) => "integer overflow".to_owned(),
            (8, Some(_)) => "arithmetic error".to_owned(),
            (4, Some(_)) => format!("illegal instruction at {address:#x}"),
            (6, _) => "the program aborted".to_owned(),
            (31, _) => "a system call that is not allowed".to_owned(),
            _ => return self.name(),
        };
        format!("{}: {what}", self.name())
    }
}
