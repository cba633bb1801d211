//! Starting a program so that it is in its cgroup and traced before its first instruction.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use crate::{Launch, StartError};

/// A forked child that waits for [`Waiting::go`] before it becomes the program.
pub(super) struct Waiting {
    pub(super) pid: i32,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    program: String,
    gate: OwnedFd,
    failure: OwnedFd,
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors into the array.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both descriptors are new and ours alone.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

fn c_string(text: &str) -> Result<CString, StartError> {
    CString::new(text).map_err(|_| StartError::ZeroByte(text.to_owned()))
}

/// Everything that the child needs, allocated before the fork: after it, only async-signal-safe calls are allowed.
struct Prepared {
    arguments: Vec<CString>,
    environment: Vec<CString>,
    directory: Option<CString>,
    entrance: Option<std::fs::File>,
    null: std::fs::File,
}

fn prepare(launch: &Launch) -> Result<Prepared, StartError> {
    let arguments = launch.command.iter().map(|word| c_string(word)).collect::<Result<Vec<_>, _>>()?;
    let overridden = |name: &str| launch.environment.iter().any(|(other, _)| other == name);
    let inherited = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        (!overridden(&name)).then_some((name, value))
    });
    let environment = inherited
        .chain(launch.environment.iter().cloned())
        .map(|(name, value)| c_string(&format!("{name}={value}")))
        .collect::<Result<Vec<_>, _>>()?;
    let directory = launch.directory.as_ref().map(|path| c_string(&path.to_string_lossy())).transpose()?;
    let entrance =
        launch.cgroup.as_ref().map(|cgroup| cgroup.entrance()).transpose().map_err(StartError::Create)?;
    let null = std::fs::File::open("/dev/null").map_err(StartError::Create)?;
    Ok(Prepared { arguments, environment, directory, entrance, null })
}

/// Forks. The child waits, in its cgroup, with its pipes, in a session of its own.
pub(super) fn fork(launch: &Launch) -> Result<Waiting, StartError> {
    let program = launch.command.first().cloned().ok_or(StartError::EmptyCommand)?;
    let prepared = prepare(launch)?;
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(&prepared.arguments), pointers(&prepared.environment));
    let pipes = || -> io::Result<_> { Ok((pipe()?, pipe()?, pipe()?, pipe()?)) };
    let ((stdout, stdout_in), (stderr, stderr_in), (gate_out, gate), (failure, failure_in)) =
        pipes().map_err(StartError::Create)?;
    // SAFETY: the child calls only async-signal-safe functions (see `become_program`) until it executes or exits.
    match unsafe { libc::fork() } {
        -1 => Err(StartError::Create(io::Error::last_os_error())),
        0 => become_program(
            &prepared,
            &arguments,
            &environment,
            [stdout_in.as_raw_fd(), stderr_in.as_raw_fd(), gate_out.as_raw_fd(), failure_in.as_raw_fd()],
            gate.as_raw_fd(),
        ),
        pid => Ok(Waiting { pid, stdout, stderr, program, gate, failure }),
    }
}

/// Runs in the child.
fn become_program(
    prepared: &Prepared,
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
    [stdout, stderr, gate, failure]: [i32; 4],
    gate_writer: i32,
) -> ! {
    // SAFETY: async-signal-safe calls on descriptors and strings that were prepared before the fork; the arrays end in null.
    unsafe {
        libc::setsid();
        // We block SIGCHLD and ignore SIGPIPE; programs expect neither, and both survive execution.
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let joined = prepared
            .entrance
            .as_ref()
            .is_none_or(|file| libc::write(file.as_raw_fd(), c"0".as_ptr().cast(), 1) == 1);
        let redirected = libc::dup2(prepared.null.as_raw_fd(), 0) == 0
            && libc::dup2(stdout, 1) == 1
            && libc::dup2(stderr, 2) == 2;
        let moved = prepared.directory.as_ref().is_none_or(|path| libc::chdir(path.as_ptr()) == 0);
        if joined && redirected && moved {
            // Our parent closes its end without a word when it dies or gives up.
            libc::close(gate_writer);
            let mut word = 0u8;
            if libc::read(gate, (&raw mut word).cast(), 1) != 1 {
                libc::_exit(126);
            }
            if let Some(&program) = arguments.first() {
                libc::execvpe(program, arguments.as_ptr(), environment.as_ptr());
            }
        }
        let error = *libc::__errno_location();
        libc::write(failure, (&raw const error).cast(), size_of::<i32>());
        libc::_exit(127)
    }
}

impl Waiting {
    /// Lets the child become the program; returns when it has, or could not.
    pub(super) fn go(self) -> Result<(i32, OwnedFd, OwnedFd), StartError> {
        let word = 1u8;
        // SAFETY: one byte from a valid place to a descriptor of ours.
        unsafe { libc::write(self.gate.as_raw_fd(), (&raw const word).cast(), 1) };
        let mut answer = Vec::new();
        std::fs::File::from(self.failure).take(4).read_to_end(&mut answer).map_err(StartError::Create)?;
        match <[u8; 4]>::try_from(answer.as_slice()) {
            Ok(code) => Err(StartError::Execute {
                program: self.program,
                source: io::Error::from_raw_os_error(i32::from_ne_bytes(code)),
            }),
            Err(_) => Ok((self.pid, self.stdout, self.stderr)),
        }
    }
}
