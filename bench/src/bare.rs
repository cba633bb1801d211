//! A service without Freezeframe: the other side of every comparison. Its output is read as a log collector would read it.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::daemon::Setup;
use crate::error::BenchError;
use crate::load;
use crate::process;
use crate::scratch;

const START_LIMIT: Duration = Duration::from_secs(20);

/// Ends with the measurement.
pub(crate) struct Bare {
    child: Child,
    address: SocketAddr,
}

impl Bare {
    /// The same command as in `setup`, with environment variables in place of its.
    pub(crate) fn start(setup: &Setup, environment: &[(&str, String)]) -> Result<Self, BenchError> {
        let port = scratch::free_port()?;
        let (program, arguments) =
            setup.command.split_first().ok_or_else(|| BenchError::NotAsExpected("no command".to_owned()))?;
        let mut command = Command::new(program);
        command.args(arguments).env("PORT", port.to_string());
        command.envs(environment.iter().map(|(name, value)| (*name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process::spawn_apart(&mut command).map_err(BenchError::io(program.as_str()))?;
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            process::drain(stdout, |_| {});
            process::drain(stderr, |_| {});
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let bare = Self { child, address };
        process::wait_for("the service", START_LIMIT, Duration::from_millis(10), || {
            Ok(load::ask(address, "GET", setup.ready_path, "").ok().filter(|answer| answer.status == 200))
        })?;
        Ok(bare)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
